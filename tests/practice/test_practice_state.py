from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from kagglerun.practice.paths import PracticePaths
from kagglerun.practice.state import Status, Store, Upload, forget_submissions

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def store(paths: PracticePaths) -> Store:
    return Store(paths.database)


def enter(store: Store, token: str, now: datetime, daily: int = 2, slug: str = "small") -> int | None:
    upload = Upload(token, slug, "a.csv", 3)
    store.add_upload(upload, now)
    submission = store.add_submission(upload, "message", now, daily)
    return submission.ref if submission else None


def test_the_allowance_is_whole_again_at_midnight_utc(store: Store) -> None:
    evening = NOON.replace(hour=23, minute=59, second=59, microsecond=999_999)
    assert enter(store, "a", NOON)
    assert enter(store, "b", evening)
    assert enter(store, "c", evening) is None
    assert enter(store, "d", evening + timedelta(microseconds=1))
    assert store.used_today("small", evening) == 3  # counted from the day's start on
    assert store.used_today("small", evening + timedelta(seconds=1)) == 1


def test_the_day_is_utcs_wherever_the_clock_stands(store: Store) -> None:
    tokyo = timezone(timedelta(hours=9))
    assert enter(store, "a", datetime(2026, 3, 2, 8, 0, tzinfo=tokyo), daily=1)
    assert enter(store, "b", datetime(2026, 3, 1, 23, 30, tzinfo=UTC), daily=1) is None
    assert enter(store, "c", datetime(2026, 3, 2, 9, 0, tzinfo=tokyo), daily=1)


def test_a_submission_that_could_not_be_scored_gives_its_slot_back(store: Store) -> None:
    first = enter(store, "a", NOON, daily=1)
    assert first is not None
    assert enter(store, "b", NOON, daily=1) is None
    store.finish(first, error="no column")
    assert enter(store, "b2", NOON, daily=1)


def test_competitions_have_allowances_of_their_own(store: Store) -> None:
    assert enter(store, "a", NOON, daily=1)
    assert enter(store, "b", NOON, daily=1, slug="other")


def test_what_was_written_is_read_back(store: Store) -> None:
    ref = enter(store, "a", NOON)
    assert ref is not None
    assert [submission.ref for submission in store.pending()] == [ref]
    store.finish(ref, 0.1 + 0.2, None)
    found = store.submission(ref)
    assert found is not None
    assert (found.status, found.public_score, found.private_score) == (Status.COMPLETE, 0.1 + 0.2, None)
    assert (found.time, found.description, found.file_name) == (NOON, "message", "a.csv")
    assert store.pending() == []
    assert store.submission_of_token("a") == found
    assert store.submission(ref + 1) is None


def test_forgetting_gives_the_allowance_back_removes_files_and_keeps_accepted_rules(
    store: Store, paths: PracticePaths
) -> None:
    enter(store, "a", NOON)
    enter(store, "other", NOON, slug="other")
    store.accept_rules("small", NOON)
    for token in ("a", "other"):
        paths.upload(token).parent.mkdir(exist_ok=True)
        paths.upload(token).touch()
    assert forget_submissions(paths, "small") == 1
    assert store.used_today("small", NOON) == 0
    assert store.rules_accepted("small")
    assert not paths.upload("a").exists()
    assert paths.upload("other").exists()
    assert len(store.submissions("other")) == 1

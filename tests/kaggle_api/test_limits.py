"""What may still be submitted today."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from local_kaggle import Reply, ScriptedKaggle

from kagglerun.config.card import CompetitionFacts
from kagglerun.errors import KaggleError
from kagglerun.kaggle_api.limits import deadline_is_over, next_midnight, read_allowance

NOW = datetime(2026, 5, 4, 23, 30, tzinfo=UTC)
FACTS = CompetitionFacts(slug="coins", max_daily_submissions=5)


def _listed(*dates_and_states: tuple[str, str]) -> Reply:
    return Reply(200, {"submissions": [{"ref": 1, "date": date, "status": state} for date, state in dates_and_states]})


def test_the_servers_own_count_is_taken(scripted: ScriptedKaggle) -> None:
    scripted.answers["GetSubmissionLimits"] = Reply(200, {"numToday": 3, "numTotal": 40, "numAllowedNow": 2})
    allowance = read_allowance(scripted.client(), FACTS, NOW)
    assert (allowance.left, allowance.used, allowance.per_day) == (2, 3, 5)
    assert allowance.text == "2 of 5 left today (UTC)"
    assert allowance.resets == datetime(2026, 5, 5, tzinfo=UTC)


def test_zero_everywhere_means_not_on_a_team_yet_and_not_used_up(scripted: ScriptedKaggle) -> None:
    scripted.answers["GetSubmissionLimits"] = Reply(200, {})
    scripted.answers["ListSubmissions"] = Reply(200, {})
    assert read_allowance(scripted.client(), FACTS, NOW).left == 5


def test_the_list_is_counted_over_the_utc_day_where_there_is_no_count(scripted: ScriptedKaggle) -> None:
    scripted.answers["ListSubmissions"] = _listed(
        ("2026-05-04T23:00:00Z", "COMPLETE"),
        ("2026-05-04T00:00:00Z", "PENDING"),
        ("2026-05-04T12:00:00Z", "ERROR"),
        ("2026-05-03T23:59:59Z", "COMPLETE"),
    )
    allowance = read_allowance(scripted.client(), FACTS, NOW)
    assert (allowance.left, allowance.used) == (3, 2)


def test_an_unknown_daily_number_is_not_guessed(scripted: ScriptedKaggle) -> None:
    scripted.answers["ListSubmissions"] = Reply(200, {})
    allowance = read_allowance(scripted.client(), CompetitionFacts(slug="coins"), NOW)
    assert allowance.left is None
    assert "not known" in allowance.text


def test_midnight_is_utc() -> None:
    assert next_midnight(datetime.fromisoformat("2026-05-04T22:30:00-04:00")) == datetime(2026, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("deadline", "over"), [(None, False), ("2026-05-04T23:29:00Z", True), ("2026-05-04T23:31:00Z", False)]
)
def test_deadline(deadline: str | None, over: bool) -> None:
    assert deadline_is_over(CompetitionFacts(slug="coins", deadline=deadline), NOW) is over


def test_a_deadline_that_is_no_time_is_an_error() -> None:
    with pytest.raises(KaggleError, match="soon"):
        deadline_is_over(CompetitionFacts(slug="coins", deadline="soon"))

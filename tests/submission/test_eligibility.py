"""Whether a competition takes a submission now."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from kagglerun.config.card import CompetitionFacts
from kagglerun.errors import SubmissionRefused
from kagglerun.submission.eligibility import check_open, deadline_text

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def _facts(**values: Any) -> CompetitionFacts:
    return CompetitionFacts(**{"slug": "coins", "user_has_entered": True, **values})


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("practice/coins", "kagglerun practice accept coins"),
        ("coins", "https://www.kaggle.com/competitions/coins/rules"),
    ],
)
def test_rules_that_are_not_accepted_are_refused_with_the_way_to_accept_them(name: str, hint: str) -> None:
    with pytest.raises(SubmissionRefused, match="is not entered") as caught:
        check_open(_facts(user_has_entered=False), name)
    assert hint in str(caught.value.hint)
    assert caught.value.exit_code == 3


def test_notebooks_are_taken_where_files_are_not() -> None:
    with pytest.raises(SubmissionRefused, match="takes notebooks only"):
        check_open(_facts(notebooks_only=True), "coins")
    check_open(_facts(notebooks_only=True), "coins", notebook=True)


@pytest.mark.parametrize(
    ("deadline", "text"),
    [
        (None, "none"),
        ("2026-05-01T23:59:00Z", "2026-05-01 23:59 UTC, in 12 hours"),
        ("2026-05-11T23:59:00", "2026-05-11 23:59 UTC, in 10 days"),
        ("2026-04-30T00:00:00Z", "2026-04-30 00:00 UTC, over"),
        ("2099-01-01T00:00:00Z", "far away (2099)"),
    ],
)
def test_the_deadline_is_told_with_the_time_that_is_left(deadline: str | None, text: str) -> None:
    assert deadline_text(_facts(deadline=deadline), NOW) == text

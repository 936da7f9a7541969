"""What the server tells, as plain frozen records."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from kagglerun.config.card import CompetitionFacts
from kagglerun.errors import DataError, KaggleError
from kagglerun.kaggle_api.page_text import plain_text


@dataclass(frozen=True)
class RemoteFile:
    """A data file of a competition.

    Attributes:
        name: path inside the competition's data, with forward slashes.
        bytes: size.
        created: when it was published (UTC), where the server says so.
    """

    name: str
    bytes: int
    created: datetime | None = None


def require_listed(listed: Sequence[RemoteFile], names: Iterable[str]) -> None:
    """Every listed file must be in the archive. Sizes are not compared: a list may give those of packed files.

    Args:
        listed: what the server lists.
        names: the archive's own names, not made safe.

    Raises:
        DataError: one is not; names it.
    """
    have = {part for name in names for part in (name, name.rsplit("/", 1)[-1])}
    missing = [file.name for file in listed if file.name not in have]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(f"it lacks {missing[0]}{others} of the competition's file list", hint="try again later")


class SubmissionState(StrEnum):
    """How far the scoring of a submission is."""

    PENDING = "pending"
    COMPLETE = "complete"
    ERROR = "error"


@dataclass(frozen=True)
class SubmissionRecord:
    """A submission as the server lists it.

    Attributes:
        ref: the server's number for it.
        file_name: name of the uploaded file.
        description: the message sent with it.
        date: when it arrived (UTC).
        state: pending, complete or error.
        public_score: score on the public part; None while pending or hidden.
        private_score: score on the private part, where the server shows it.
        error: why it could not be scored.
        team: name of the team that it counts for; empty where the server does not say.
    """

    ref: int
    file_name: str
    description: str
    date: datetime | None
    state: SubmissionState
    public_score: float | None = None
    private_score: float | None = None
    error: str | None = None
    team: str = ""


@dataclass(frozen=True)
class SubmissionLimits:
    """The server's count of submissions and what is left.

    Attributes:
        today: valid submissions since midnight UTC.
        total: valid submissions ever.
        allowed_now: how many more may be made before midnight UTC.
        limited_by_total: the competition's lifetime limit, not the daily one, is what binds.
    """

    today: int
    total: int
    allowed_now: int
    limited_by_total: bool = False


def competition_facts(
    slug: str, said: Any, pages: Sequence[Any] | None = None, places: Sequence[Any] | None = None
) -> CompetitionFacts:
    """The facts in the official client's ApiCompetition.

    Args:
        slug: the competition's slug.
        said: the ApiCompetition.
        pages: its ApiCompetitionPages, where the server shows them.
        places: its leaderboard's first ApiLeaderboardSubmissions, where the server shows them.
    """
    scores = _scores(places or ())
    return CompetitionFacts(
        slug=slug,
        url=said.url or None,
        title=said.title or None,
        evaluation_metric=said.evaluation_metric or None,
        max_daily_submissions=said.max_daily_submissions or None,
        deadline=_iso(said.deadline),
        notebooks_only=said.is_kernels_submissions_only,
        submissions_disabled=said.submissions_disabled,
        user_has_entered=said.user_has_entered,
        awards_points=said.awards_points,
        pages={page.name.strip().lower(): plain_text(page.content) for page in pages or () if page.content},
        leaderboard_first=scores[0] if scores else None,
        leaderboard_last=scores[-1] if scores else None,
    )


def _scores(places: Sequence[Any]) -> list[float]:
    """Scores in the order of the places; places without a number are left out."""
    found = []
    for place in places:
        with suppress(TypeError, ValueError):
            found.append(float(place.score))
    return [score for score in found if math.isfinite(score)]


def submission_record(item: Any) -> SubmissionRecord:
    """The record in the official client's ApiSubmission.

    Raises:
        KaggleError: a score is not a number.
    """
    return SubmissionRecord(
        ref=int(item.ref or 0),
        file_name=item.file_name or "",
        description=item.description or "",
        date=utc(item.date),
        state=SubmissionState(item.status.name.lower()),
        public_score=_score(item.public_score),
        private_score=_score(item.private_score),
        error=item.error_description or None,
        team=item.team_name or "",
    )


def _score(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        raise KaggleError(f"the server gives the score {text!r}, which is not a number") from None


def utc(moment: datetime | None) -> datetime | None:
    """The official client's times are UTC without saying so."""
    return None if moment is None else moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _iso(moment: datetime | None) -> str | None:
    aware = utc(moment)
    return None if aware is None else aware.strftime("%Y-%m-%dT%H:%M:%SZ")

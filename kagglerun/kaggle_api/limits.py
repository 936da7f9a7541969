"""What may still be submitted: the allowance of the day, and whether submissions are taken at all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from kagglerun.config.card import CompetitionFacts
from kagglerun.errors import CompetitionNotFound, KaggleError
from kagglerun.kaggle_api.client import KaggleClient
from kagglerun.kaggle_api.records import SubmissionLimits, SubmissionRecord, SubmissionState


@dataclass(frozen=True)
class Allowance:
    """Submissions left today.

    Attributes:
        left: how many more may be made before `resets`; None when neither the server nor the competition says.
        used: how many were made since midnight UTC.
        per_day: the competition's daily number, where known.
        resets: the next midnight UTC.
        limited_by_total: the competition's lifetime number, not the daily one, is what binds.
        total: submissions ever, by the server's own count; None where it has none.
    """

    left: int | None
    used: int
    per_day: int | None
    resets: datetime
    limited_by_total: bool = False
    total: int | None = None

    @property
    def text(self) -> str:
        """For people: `3 of 10 left today (UTC)`."""
        if self.left is None:
            return f"{self.used} used today (UTC), the daily number is not known"
        of = f" of {self.per_day}" if self.per_day else ""
        ever = ", and then no more: the competition's number in all is what binds" if self.limited_by_total else ""
        return f"{self.left}{of} left today (UTC){ever}"


def read_allowance(client: KaggleClient, facts: CompetitionFacts, now: datetime | None = None) -> Allowance:
    """Ask how many submissions are left today.

    The server's own count is taken where it has one; else the list of submissions is counted over the UTC day.

    Args:
        client: where the competition is.
        facts: what the server says about the competition.
        now: the time; by default this moment.

    Raises:
        KaggleError: neither the count nor the list could be read.
    """
    moment = now or datetime.now(UTC)
    resets = next_midnight(moment)
    try:
        said = client.limits(facts.slug)
    except CompetitionNotFound:
        said = None  # servers before 2026 have no such call
    if said is not None and not _says_nothing(said):
        per_day = facts.max_daily_submissions
        return Allowance(said.allowed_now, said.today, per_day, resets, said.limited_by_total, said.total)
    used = count_today(client.submissions(facts.slug), moment)
    per_day = facts.max_daily_submissions
    return Allowance(None if per_day is None else max(0, per_day - used), used, per_day, resets)


def _says_nothing(said: SubmissionLimits) -> bool:
    """Kaggle answers zero to everything for who is not on a team yet, although they may submit."""
    return said.today == said.total == said.allowed_now == 0


def count_today(submissions: tuple[SubmissionRecord, ...], now: datetime) -> int:
    """Submissions since midnight UTC; those that could not be scored do not count."""
    midnight = next_midnight(now) - timedelta(days=1)
    return sum(
        item.date is not None and item.date >= midnight and item.state is not SubmissionState.ERROR
        for item in submissions
    )


def next_midnight(now: datetime) -> datetime:
    """The next midnight UTC, when the count of the day starts again."""
    utc = now.astimezone(UTC)
    return utc.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def deadline_is_over(facts: CompetitionFacts, now: datetime | None = None) -> bool:
    """Whether the competition's deadline has passed; False when it has none.

    Raises:
        KaggleError: the deadline is not a time.
    """
    if facts.deadline is None:
        return False
    try:
        deadline = datetime.fromisoformat(facts.deadline)
    except ValueError:
        raise KaggleError(f"the deadline of {facts.slug} is {facts.deadline!r}, which is not a time") from None
    deadline = deadline if deadline.tzinfo else deadline.replace(tzinfo=UTC)
    return (now or datetime.now(UTC)) > deadline

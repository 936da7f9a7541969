"""Whether a competition takes a submission now: asked of the server before anything else is done."""

from __future__ import annotations

from datetime import UTC, datetime

from kagglerun.config.card import CompetitionFacts
from kagglerun.errors import AllowanceUsedUp, SubmissionRefused
from kagglerun.kaggle_api.limits import Allowance, deadline_is_over

_KAGGLE = "https://www.kaggle.com/competitions"


def check_open(facts: CompetitionFacts, name: str, late: bool = False, notebook: bool = False) -> None:
    """Check that the competition takes submissions of this account.

    Args:
        facts: what the server says about it.
        name: the competition as the user names it.
        late: send although the deadline is over; Kaggle scores it without ranking it.
        notebook: a notebook is to be submitted, not a file.

    Raises:
        SubmissionRefused: it is not entered, takes none, only notebooks, or the deadline is over.
    """
    if facts.submissions_disabled:
        raise SubmissionRefused(f"{name} takes no submissions any more")
    if deadline_is_over(facts) and not late:
        raise SubmissionRefused(
            f"the deadline of {name} was {facts.deadline}",
            hint="add --late to have it scored without being ranked, where the competition allows that",
        )
    if not facts.user_has_entered:
        raise SubmissionRefused(
            f"{name} is not entered with this account: its rules are not accepted", hint=_how_to_enter(facts, name)
        )
    if facts.notebooks_only and not notebook:
        raise SubmissionRefused(
            f"{name} takes notebooks only, no files",
            hint="kagglerun submit RUN packages a run as a notebook, rehearses and submits it",
        )


def check_allowance(allowance: Allowance, name: str) -> None:
    """Check that a submission is left today.

    Raises:
        AllowanceUsedUp: none is.
    """
    if allowance.left == 0:
        when = (
            "" if allowance.limited_by_total else f"; the count starts again at {allowance.resets:%Y-%m-%d %H:%M} UTC"
        )
        which = "in all" if allowance.limited_by_total else "today"
        of = f" of {allowance.per_day}" if allowance.per_day and not allowance.limited_by_total else ""
        raise AllowanceUsedUp(f"{name}: no submission is left {which} ({allowance.used}{of} used today){when}")


def deadline_text(facts: CompetitionFacts, now: datetime | None = None) -> str:
    """The deadline for people: `2026-12-01 23:59 UTC, in 9 days`; of one that is far away the year only."""
    if facts.deadline is None:
        return "none"
    deadline = datetime.fromisoformat(facts.deadline)
    deadline = (deadline if deadline.tzinfo else deadline.replace(tzinfo=UTC)).astimezone(UTC)
    hours = (deadline - (now or datetime.now(UTC))).total_seconds() / 3600
    if hours > 24 * 365:
        return f"far away ({deadline.year})"
    if hours < 0:
        return f"{deadline:%Y-%m-%d %H:%M} UTC, over"
    left = f"in {hours:.0f} hours" if hours < 72 else f"in {hours / 24:.0f} days"
    return f"{deadline:%Y-%m-%d %H:%M} UTC, {left}"


def _how_to_enter(facts: CompetitionFacts, name: str) -> str:
    source, _, slug = name.rpartition("/")
    if source == "practice":
        return f"kagglerun practice accept {slug}"
    return f"open {_KAGGLE}/{facts.slug}/rules, join and accept them, then run the same command again"

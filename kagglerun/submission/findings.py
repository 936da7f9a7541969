"""What a check of a submission file finds: an error keeps it from being sent, a warning is for the reader to judge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from kagglerun.errors import SubmissionInvalid

_MOST_SHOWN = 3
"""Errors that one message names; the others are counted."""


class Level(StrEnum):
    """What follows from a finding."""

    ERROR = "error"
    """The competition would refuse the file, or score what was not meant; it is not sent."""
    WARNING = "warning"
    """Odd, and perhaps meant so."""


@dataclass(frozen=True)
class Finding:
    """One thing that a check found.

    Attributes:
        level: see `Level`.
        what: what was seen and where, one sentence without a period.
        why: what would come of it.
        hint: what to do, where that is known.
    """

    level: Level
    what: str
    why: str
    hint: str | None = None


def error(what: str, why: str, hint: str | None = None) -> Finding:
    """A finding that keeps the file from being sent."""
    return Finding(Level.ERROR, what, why, hint)


def warning(what: str, why: str, hint: str | None = None) -> Finding:
    """A finding that is only told."""
    return Finding(Level.WARNING, what, why, hint)


def of_level(findings: Iterable[Finding], level: Level) -> tuple[Finding, ...]:
    """Those of one level, in their order."""
    return tuple(finding for finding in findings if finding.level is level)


def refuse(findings: Sequence[Finding], otherwise: str) -> None:
    """Raise where there is an error among the findings.

    Args:
        findings: what was found.
        otherwise: the hint where the first error has none.

    Raises:
        SubmissionInvalid: names the errors, a line each, at most three.
    """
    errors = of_level(findings, Level.ERROR)
    if not errors:
        return
    shown = [one.what for one in errors[:_MOST_SHOWN]]
    if len(errors) > _MOST_SHOWN:
        shown[-1] += f" (and {len(errors) - _MOST_SHOWN} more errors: kagglerun submit --check)"
    raise SubmissionInvalid("\n".join(shown), hint=errors[0].hint or otherwise)

"""When trials that fail one after another end a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from kagglerun.errors import TrainingError
from kagglerun.sweep.trials import Trial, TrialState, told

ANY_KIND = 2
"""So many times the limit of one kind may fail in a row when the kinds differ."""


def failures_that_end_it(trials: Sequence[Trial], limit: int) -> list[Trial]:
    """The failures at the end of those told that end the sweep, in order; none where they do not.

    Args:
        trials: all trials so far.
        limit: that many in a row of the same kind end it, or ANY_KIND times as many of any kind.
    """
    known = told(trials)
    failed = list(takewhile(lambda trial: trial.state is TrialState.FAIL, reversed(known)))
    alike = list(takewhile(lambda trial: _kind(trial) == _kind(failed[0]), failed))
    streak = alike if len(alike) >= limit else failed if len(failed) >= ANY_KIND * limit else []
    return streak[::-1]


def refuse_to_go_on_failing(trials: Sequence[Trial], limit: int) -> None:
    """Stop when the newest results are failures only.

    Raises:
        TrainingError: see `failures_that_end_it`.
    """
    streak = failures_that_end_it(trials, limit)
    if not streak:
        return
    last = streak[-1]
    assert last.failure is not None
    kinds = sorted({_kind(trial) for trial in streak})
    how = f"all with {kinds[0]}" if len(kinds) == 1 else f"with {', '.join(kinds)}"
    raise TrainingError(
        f"{len(streak)} trials in a row failed, {how}; the last (trial {last.number}): {last.failure.message}",
        hint="mend the cause, then `kagglerun resume` tries them again",
    )


def _kind(trial: Trial) -> str:
    return trial.failure.kind if trial.failure else ""

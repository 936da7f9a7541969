"""How far a sweep is, in words and numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kagglerun.sweep.budget import Budget
from kagglerun.sweep.forecast import busy_seconds, seconds_left, trial_seconds
from kagglerun.sweep.proposal import describe
from kagglerun.sweep.study import StudySpec
from kagglerun.sweep.summary import StudySummary, summarise
from kagglerun.sweep.trials import Trial, TrialState
from kagglerun.sweep.workers import EpochDone, FoldDone

_HOUR = 3600.0
_MOST_OVERHEAD = 5.0
_SHARE_OF_TIME = 0.05
"""Of the coordinator's time that may go into saying how far it is: with thousands of trials that takes milliseconds."""


@dataclass(frozen=True)
class _Standing:
    """What was worked out last.

    Attributes:
        state: number of trials, and of those that have ended; nothing changed while they are the same.
        summary: of these trials.
        at: when it was worked out.
        cost: seconds that took.
    """

    state: tuple[int, int]
    summary: StudySummary
    at: float
    cost: float


class SweepProgress:
    """Keeps what the events of trials say about their progress.

    Args:
        spec: the study.
        budget: what it may spend; its limits end the sweep earlier, and its account is shown.
        clock: seconds that never go back.
    """

    def __init__(
        self, spec: StudySpec, budget: Budget | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._spec = spec
        self._budget = budget
        self._clock = clock
        self._folds = list(spec.config.cv.folds or range(spec.config.cv.n_splits))
        self._latest = ""
        self._shares: dict[int, float] = {}
        self._began: tuple[float, int, float] | None = None
        self._standing: _Standing | None = None
        self._eta: tuple[_Standing | None, float, float | None] | None = None

    def note(self, event: EpochDone | FoldDone) -> None:
        """Keep an event as the latest."""
        position = self._folds.index(event.fold) if event.fold in self._folds else event.fold
        where = f"trial {event.number}  fold {position + 1}/{len(self._folds)}"
        if isinstance(event, EpochDone):
            self._latest = f"{where}  {self._step_name()} {event.epoch + 1}/{event.epochs}"
            done = position + (event.epoch + 1) / max(1, event.epochs)
        else:
            self._latest = f"{where}  scored {event.score:.5g}"
            done = position + 1.0
        self._shares[event.number] = min(1.0, done / len(self._folds))

    def _step_name(self) -> str:
        return "tree" if self._spec.config.model.kind == "tabular_boosting" else "epoch"

    def started(self, number: int) -> None:
        """A trial has begun."""
        self._latest = f"trial {number}"

    def ended(self) -> None:
        """No trial is in work any more."""
        self._latest = ""
        self._standing = None

    def text(self, trials: Sequence[Trial]) -> str:
        """One line: `3/20 trials  trial 3  fold 2/5  epoch 4/10  best 0.9812 ± 0.0021 (trial 1)`.

        Behind ± stands the standard error of the best score over folds.
        """
        summary = self._summarised(trials)
        parts = [f"{summary.done}/{summary.wanted} trials", self._latest]
        if summary.pruned:
            parts.append(f"{summary.pruned} stopped early")
        if summary.best:
            parts.append(f"best {with_noise(summary)} (trial {summary.best.number})")
        return "  ".join(part for part in parts if part)

    def numbers(self, trials: Sequence[Trial]) -> Mapping[str, Any]:
        """The same for programs, with the time left and what was spent."""
        summary = self._summarised(trials)
        best = summary.best
        spent = self._budget.spent if self._budget else None
        return {
            "trials_done": summary.done,
            "trials_pruned": summary.pruned,
            "trials_failed": summary.failed,
            "trials": summary.wanted,
            "best": best.value if best else None,
            "best_standard_error": best.certainty.standard_error if best else None,
            "best_trial": best.number if best else None,
            "best_run": best.run_id if best else None,
            "fold_fits_saved": round(summary.share_saved, 4),
            "hours": round(spent.seconds / _HOUR, 4) if spent else None,
            "gpu_hours": round(spent.gpu_seconds / _HOUR, 4) if spent else None,
            "eta_seconds": self._eta_seconds(trials),
        }

    def _summarised(self, trials: Sequence[Trial]) -> StudySummary:
        """The summary of the trials, or a little earlier one where it would take too much of the time."""
        now, before = self._clock(), self._standing
        if before is not None and now - before.at < before.cost / _SHARE_OF_TIME:
            return before.summary
        state = (len(trials), sum(trial.is_finished for trial in trials))
        if before is not None and before.state == state:
            return before.summary
        summary = summarise(self._spec, trials)
        self._standing = _Standing(state, summary, now, self._clock() - now)
        return summary

    def _eta_seconds(self, trials: Sequence[Trial]) -> float | None:
        """Seconds until all trials have ended or the budget is spent, whichever comes first; new once a second."""
        now = self._clock()
        if self._eta is None or self._eta[0] is not self._standing or now - self._eta[1] > 1.0:
            self._eta = (self._standing, now, self._new_eta_seconds(trials))
        return self._eta[2]

    def _new_eta_seconds(self, trials: Sequence[Trial]) -> float | None:
        shares = [self._shares.get(trial.number, 0.0) for trial in trials if trial.state is TrialState.RUNNING]
        left = seconds_left(self._spec, trials, shares, self._overhead(trials, sum(shares)))
        limits = [limit for limit in (left, self._budget_seconds()) if limit is not None]
        return round(min(limits), 1) if left is not None else None

    def _overhead(self, trials: Sequence[Trial], shares: float) -> float:
        """Time that passed since this process began for each second of trials, counted once two rounds have ended."""
        ended = sum(trial.is_finished for trial in trials)
        if self._began is None:
            self._began = (self._clock(), ended, busy_seconds(trials))
        began, ended_before, busy_before = self._began
        at_once = min(self._spec.config.sweep.n_workers, self._spec.lag)
        busy = busy_seconds(trials) - busy_before + shares * (trial_seconds(self._spec, trials) or 0.0)
        if ended - ended_before < 2 * at_once or busy <= 0:
            return 1.0
        return min(_MOST_OVERHEAD, max(1.0, (self._clock() - began) * at_once / busy))

    def _budget_seconds(self) -> float | None:
        """Seconds until a limit of time or GPUs ends the sweep; None without one."""
        if self._budget is None:
            return None
        sweep, spent = self._spec.config.sweep, self._budget.spent
        limits = []
        if sweep.hours:
            limits.append(sweep.hours * _HOUR - spent.seconds)
        if sweep.until:
            limits.append(datetime.fromisoformat(sweep.until).timestamp() - time.time())
        if sweep.gpu_hours and spent.gpu_seconds > 0:
            limits.append((sweep.gpu_hours * _HOUR - spent.gpu_seconds) * spent.seconds / spent.gpu_seconds)
        return max(0.0, min(limits)) if limits else None


def with_noise(summary: StudySummary) -> str:
    """The best score with its standard error: `0.9812 ± 0.0021`."""
    assert summary.best is not None
    error = summary.best.certainty.standard_error
    return f"{summary.best.value:.5g}" + (f" ± {error:.2g}" if error else "")


def describe_end(trial: Trial, best: Trial | None) -> str:
    """One line on a trial that has ended."""
    if trial.failure:
        return f"trial {trial.number} failed: {trial.failure.kind}: {trial.failure.message}  [{describe(trial.params)}]"
    if trial.stopped:
        return f"trial {trial.number} stopped: {trial.stopped}  [{describe(trial.params)}]"
    mark = "  (best so far)" if best and best.number == trial.number else ""
    return f"trial {trial.number}: {trial.value:.5g} in {trial.seconds:.0f} s{mark}  [{describe(trial.params)}]"

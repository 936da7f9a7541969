"""How far a sweep is, in words and numbers."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from kagglerun.sweep.proposal import describe
from kagglerun.sweep.study import StudySpec
from kagglerun.sweep.trials import Trial, TrialState, best_trial, n_done
from kagglerun.sweep.workers import EpochDone, FoldDone


class SweepProgress:
    """Keeps what the events of trials say about their progress."""

    def __init__(self, spec: StudySpec) -> None:
        self._spec = spec
        self._latest = ""

    def note(self, event: EpochDone | FoldDone) -> None:
        """Keep an event as the latest."""
        cv = self._spec.config.cv
        folds = list(cv.folds or range(cv.n_splits))
        position = folds.index(event.fold) + 1 if event.fold in folds else event.fold + 1
        where = f"trial {event.number}  fold {position}/{len(folds)}"
        self._latest = (
            f"{where}  {self._step_name()} {event.epoch + 1}/{event.epochs}"
            if isinstance(event, EpochDone)
            else f"{where}  scored {event.score:.5g}"
        )

    def _step_name(self) -> str:
        return "tree" if self._spec.config.model.kind == "tabular_boosting" else "epoch"

    def started(self, number: int) -> None:
        """A trial has begun."""
        self._latest = f"trial {number}"

    def ended(self) -> None:
        """No trial is in work any more."""
        self._latest = ""

    def text(self, trials: Sequence[Trial]) -> str:
        """One line: `3/20 trials  trial 3  fold 2/5  epoch 4/10  best 0.9812 (trial 1)`."""
        best = best_trial(trials, self._spec.greater_is_better)
        parts = [f"{n_done(trials)}/{self._spec.config.sweep.trials} trials", self._latest]
        if best:
            parts.append(f"best {best.value:.5g} (trial {best.number})")
        return "  ".join(part for part in parts if part)

    def numbers(self, trials: Sequence[Trial]) -> Mapping[str, Any]:
        """The same for programs."""
        best = best_trial(trials, self._spec.greater_is_better)
        return {
            "trials_done": n_done(trials),
            "trials_failed": sum(trial.state is TrialState.FAIL for trial in trials),
            "trials": self._spec.config.sweep.trials,
            "best": best.value if best else None,
            "best_trial": best.number if best else None,
            "best_run": self._spec.run_id(best.number) if best else None,
            "eta_seconds": self._eta_seconds(trials),
        }

    def _eta_seconds(self, trials: Sequence[Trial]) -> float | None:
        seconds = [trial.seconds for trial in trials if trial.seconds is not None]
        if not seconds:
            return None
        sweep = self._spec.config.sweep
        left = max(0, sweep.trials - n_done(trials))
        return round(statistics.median(seconds) * left / min(sweep.n_workers, self._spec.lag), 1)


def describe_end(trial: Trial, best: Trial | None) -> str:
    """One line on a trial that has ended."""
    if trial.failure:
        return f"trial {trial.number} failed: {trial.failure.kind}: {trial.failure.message}  [{describe(trial.params)}]"
    if trial.stopped:
        return f"trial {trial.number} stopped: {trial.stopped}  [{describe(trial.params)}]"
    mark = "  (best so far)" if best and best.number == trial.number else ""
    return f"trial {trial.number}: {trial.value:.5g} in {trial.seconds:.0f} s{mark}  [{describe(trial.params)}]"

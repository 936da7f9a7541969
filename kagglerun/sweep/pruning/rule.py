"""When a trial is to be stopped early: a rule that travels with its task.

The coordinator makes it from the results that trial n may know (0..n-lag) and nothing else, so that a trial is
stopped at the same point whenever, wherever and however often it is executed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cutoff:
    """The least score (in the metric's direction) with which a trial goes on.

    Attributes:
        fold: position of the fold among those the trial runs, counted from 0; 0 where there is an epoch.
        epoch: after this epoch of the first fold, counted from 0; None: after the fold.
        score: the trial is stopped when it is worse: its validation score after the epoch, or the mean score of its
            folds so far.
        why: in a few words, e.g. "no earlier curve rose enough from there".
    """

    fold: int
    epoch: int | None
    score: float
    why: str


@dataclass(frozen=True)
class StopRule:
    """When to stop a trial.

    Attributes:
        rival: id of the run whose out-of-fold predictions the trial's are paired with; None: no such test.
        references: ids of further complete runs that sharpen the test, the best first; see `pruning.known_runs`.
        errors: error level spent after each fold, one value a fold that has a test; see `pruning.sequential`.
        cutoffs: scores that the trial must reach.
        greater_is_better: direction of the scores.
    """

    rival: str | None = None
    references: tuple[str, ...] = ()
    errors: tuple[float, ...] = ()
    cutoffs: tuple[Cutoff, ...] = ()
    greater_is_better: bool = True

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> StopRule:
        """The rule that `dataclasses.asdict` wrote."""
        cutoffs = tuple(Cutoff(**cutoff) for cutoff in values["cutoffs"])
        lists = {name: tuple(values[name]) for name in ("references", "errors")}
        return cls(values["rival"], cutoffs=cutoffs, greater_is_better=values["greater_is_better"], **lists)

    @property
    def runs(self) -> tuple[str, ...]:
        """Ids of the runs whose predictions the test needs."""
        return () if self.rival is None else (self.rival, *self.references)

    def cutoff(self, fold: int, epoch: int | None, score: float) -> Cutoff | None:
        """The cutoff that a trial does not reach there, if any; a score that is no number is nobody's to judge.

        Args:
            fold: position of the fold, counted from 0.
            epoch: epoch of it, counted from 0; None: its end.
            score: see `Cutoff.score`.
        """
        sign = 1.0 if self.greater_is_better else -1.0
        missed = [
            cutoff
            for cutoff in self.cutoffs
            if (cutoff.fold, cutoff.epoch) == (fold, epoch) and sign * score < sign * cutoff.score
        ]
        return missed[0] if missed else None

"""Successive halving over folds and epochs: of the trials that reach a rung, one in eta goes on.

Asynchronous, as in ASHA (Li and others 2020): a trial is compared with the earlier trials it may know, and waits for
none. Which ones it may know follows from its number, so the rungs say the same however many workers there are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from kagglerun.sweep.pruning.rule import Cutoff
from kagglerun.sweep.trials import Trial


@dataclass(frozen=True)
class Rung:
    """Where trials are compared.

    Attributes:
        fold: position of the fold, counted from 0.
        epoch: after this epoch of the first fold, counted from 0; None: after the fold.
    """

    fold: int
    epoch: int | None

    def score(self, trial: Trial) -> float | None:
        """What a trial had reached there; None where it did not get so far, or has no finite score."""
        if self.epoch is None:
            scores = trial.scores_on_the_way[: self.fold + 1]
            return _mean(scores) if len(scores) == self.fold + 1 else None
        return trial.curve[self.epoch] if self.epoch < len(trial.curve) else None


def rungs(n_folds: int, epochs: int, eta: int) -> tuple[Rung, ...]:
    """The rungs below a whole run, each with eta times the work of the one before.

    Args:
        n_folds: folds of a whole run.
        epochs: epochs of a fold; 1 where the model has none.
        eta: one trial in eta goes on.
    """
    work, found = n_folds * epochs, []
    share = eta
    while work // share >= 1:
        done = work // share
        folds = done // epochs
        found.append(Rung(folds - 1, None) if folds else Rung(0, done - 1))
        share *= eta
    return tuple(dict.fromkeys(reversed(found)))


def halving_cutoffs(
    known: Sequence[Trial], n_folds: int, epochs: int, eta: int, greater_is_better: bool
) -> tuple[Cutoff, ...]:
    """The least score with which a trial is among the best 1/eta at each rung.

    Args:
        known: the trials that it may know; at a rung fewer than eta - 1 stop nobody.
        n_folds: folds of a whole run.
        epochs: epochs of a fold; 1 where the model has none.
        eta: one trial in eta goes on.
        greater_is_better: direction of the scores.
    """
    cutoffs = []
    for rung in rungs(n_folds, epochs, eta):
        scores = sorted(
            (score for trial in known if (score := rung.score(trial)) is not None), reverse=greater_is_better
        )
        going_on = (len(scores) + 1) // eta
        if going_on:
            why = f"the best {going_on} of {len(scores) + 1} trials go on from there"
            cutoffs.append(Cutoff(rung.fold, rung.epoch, scores[going_on - 1], why))
    return tuple(cutoffs)


def _mean(scores: Sequence[float | None]) -> float | None:
    finite = [score for score in scores if score is not None]
    return math.fsum(finite) / len(finite) if len(finite) == len(scores) else None

"""Cutoffs within the first fold, from the learning curves of earlier trials.

A trial is stopped after an epoch when even the largest rise that any earlier trial made from that epoch on, and a
quarter more, would leave it behind the best one. A trial's score of one fold says only so much about its score over
all folds, so the best one's is lowered by twice the standard error of such a difference, as seen between earlier
trials.

The idea that earlier curves bound what can still come is that of Domhan, Springenberg and Hutter (2015) and of Klein
and others (2017), here without a model of the curves.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from kagglerun.sweep.pruning.rule import Cutoff
from kagglerun.sweep.trials import Trial

_LEAST_CURVES = 5
_MORE_THAN_EVER = 1.25
_STANDARD_ERRORS = 2.0
"""Measured on 60 networks each for digits and breast cancer (20 epochs, accuracy and log loss, studies of 40 trials):
22-37 % of the first fold's epochs saved with 4 curves, the best trial lost in none of 400 studies; with 1.0 and 1.0 it
was lost in up to 11 %."""
_MOST_CUTOFFS = 32
_WHY = "no earlier curve rose enough from there"


def curve_cutoffs(known: Sequence[Trial], rival: Trial, greater_is_better: bool) -> tuple[Cutoff, ...]:
    """The least validation score after each epoch of the first fold but the last.

    Args:
        known: the trials that it may know.
        rival: the best one of them, which is complete.
        greater_is_better: direction of the scores.

    Returns:
        none where fewer than five trials have a whole first fold with epochs; of many epochs some.
    """
    sign = 1.0 if greater_is_better else -1.0
    whole = [trial for trial in known if trial.curve and _first(trial) is not None]
    target = _first(rival)
    if target is None or len(whole) < _LEAST_CURVES:
        return ()
    least = sign * target - _STANDARD_ERRORS * math.sqrt(2) * _noise_of_a_fold(known)
    cutoffs = []
    for epoch in _spread(max(len(trial.curve) for trial in whole) - 1):
        rises = [rise for trial in whole if (rise := _rise(trial, epoch, sign)) is not None]
        if len(rises) >= _LEAST_CURVES:
            cutoffs.append(Cutoff(0, epoch, sign * (least - _MORE_THAN_EVER * max(0.0, *rises)), _WHY))
    return tuple(cutoffs)


def _first(trial: Trial) -> float | None:
    """The score of a trial's first fold."""
    return trial.scores_on_the_way[0] if trial.scores_on_the_way else None


def _rise(trial: Trial, epoch: int, sign: float) -> float | None:
    """How much better the fold ended than it was after an epoch."""
    end, there = _first(trial), trial.curve[epoch] if epoch < len(trial.curve) else None
    return None if end is None or there is None else sign * (end - there)


def _noise_of_a_fold(known: Sequence[Trial]) -> float:
    """Standard deviation, between complete trials, of the first fold's score less the trial's."""
    gaps = [first - trial.value for trial in known if trial.value is not None and (first := _first(trial)) is not None]
    return statistics.stdev(gaps) if len(gaps) > 1 else 0.0


def _spread(n_epochs: int) -> list[int]:
    """Epochs 0 to n-1, or some of them, evenly spread."""
    if n_epochs <= _MOST_CUTOFFS:
        return list(range(n_epochs))
    return sorted({round(step * (n_epochs - 1) / (_MOST_CUTOFFS - 1)) for step in range(_MOST_CUTOFFS)})

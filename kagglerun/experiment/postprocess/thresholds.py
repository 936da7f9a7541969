"""Thresholds of yes/no predictions and weights of classes, found on rows whose truth is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from kagglerun.experiment.postprocess.climb import (
    Numbers,
    between,
    climb,
    nearest_of_best,
    one_by_one,
    with_present,
)
from kagglerun.experiment.postprocess.counted import Counted, Counts
from kagglerun.experiment.postprocess.steps import ClassWeights, Thresholds

Score = Callable[[Numbers], float]
"""Predictions for the rows of a fit, (n, k), to their score; greater is better."""

_MOST_CUTS = 255
_MOST_CUTS_OF_CLASS = 63
_MOST_CUTS_ASKED = 31
"""Where each candidate costs a call of the metric."""
_MOST_CUTS_OF_TARGET_ASKED = 15
_ROUNDS = 4
_MOST_ASKED = 5
"""Targets or classes up to which each gets candidates of its own where each costs a call of the metric."""
_LEAST_ROWS = 50
"""Rows of a target or class from which on it gets a threshold or weight of its own."""
_MOST_ROWS = 50_000
"""Rows that weights of classes are searched with, evenly spread over all: more do not move them."""
_TINY = 1e-15


def fit_thresholds(
    values: Numbers, truths: NDArray[np.bool_], score: Score, counted: Counted | None, each: bool
) -> Thresholds:
    """One threshold for all columns, then perhaps one for each that has enough positive rows.

    F-scores of all decisions, or of rows, have one best threshold for all labels where probabilities are right
    (Lipton, Elkan and Narayanaswamy 2014); means over labels have one for each.

    Args:
        values: (n, k) probabilities.
        truths: (n, k).
        score: of predictions for these rows.
        counted: the same from counts, where the metric allows it: of both classes for k = 1, else of the targets.
        each: the metric is the mean of the columns' own.
    """
    k = values.shape[1]
    own = [place for place in range(k) if k > 1 and _enough(truths[:, place])]
    if counted is None:
        return _by_asking(values, own, score)

    def of_columns(counts: Counts) -> Numbers:
        return counted(_both_classes(counts, len(values)) if k == 1 else counts)

    points = np.full(k, _best_cut(values, truths, of_columns))
    for place in own if each else ():
        points[place] = _best_cut(values[:, [place]], truths[:, [place]], counted)
    return Thresholds(tuple(map(float, points)))


def _by_asking(values: Numbers, own: list[int], score: Score) -> Thresholds:
    """Thresholds by a call of the metric for each candidate."""

    def scored(points: Numbers) -> float:
        return score(Thresholds(tuple(points)).apply(values))

    k = values.shape[1]
    cuts = _usable(between(values.ravel(), _MOST_CUTS_ASKED))
    points = np.full(k, nearest_of_best(cuts, np.asarray([scored(np.full(k, cut)) for cut in cuts]), 0.5))
    if k <= _MOST_ASKED:

        def candidates(place: int, _: Numbers) -> Numbers:
            return _usable(between(values[:, place], _MOST_CUTS_OF_TARGET_ASKED))

        points = climb(points, own, one_by_one(candidates, scored), rounds=1)
    return Thresholds(tuple(map(float, points)))


def fit_class_weights(
    values: Numbers, classes: NDArray[np.int64], score: Score, counted: Counted | None
) -> ClassWeights:
    """Weights by the classes' frequency, then one for each class that has enough rows.

    Args:
        values: (n, k) probabilities.
        classes: (n,) the true one of each row.
        score: of predictions for these rows.
        counted: the same from counts, where the metric allows it.
    """
    k = values.shape[1]
    chosen = np.linspace(0, len(values) - 1, min(len(values), _MOST_ROWS)).astype(np.int64)
    logs, truths = np.log(np.maximum(values[chosen], _TINY)), classes[chosen]
    rows = np.bincount(classes, minlength=k)
    own = [place for place in range(k) if rows[place] >= _LEAST_ROWS]

    def scored(shifts: Numbers) -> float:
        if counted is not None:
            return float(counted(_counts_of(logs + shifts, truths)))
        return score(_weights(shifts).apply(values))

    rarity = -np.log(np.maximum(rows, 1) / max(1, rows.sum()))
    powers = [0.0, 0.25, 0.5, 0.75, 1.0]
    best = nearest_of_best(np.asarray(powers), np.asarray([scored(power * rarity) for power in powers]), 0.0)
    shifts = best * rarity
    if counted is not None:
        shifts = climb(shifts, own, _Line(logs, truths, counted), _ROUNDS)
    elif len(own) <= _MOST_ASKED:
        around = np.linspace(-1.5, 1.5, 13)
        shifts = climb(shifts, own, one_by_one(lambda place, now: now[place] + around, scored), rounds=2)
    return _weights(shifts)


class _Line:
    """What the counts become when one class's logarithm is shifted and the others stay.

    Args:
        logs: (n, k) logarithms of the probabilities.
        truths: (n,) true classes.
        counted: the metric from counts.
    """

    def __init__(self, logs: Numbers, truths: NDArray[np.int64], counted: Counted) -> None:
        self._logs, self._truths, self._counted = logs, truths, counted
        self._actual = np.bincount(truths, minlength=logs.shape[1]).astype(np.float64)

    def __call__(self, place: int, shifts: Numbers) -> tuple[Numbers, Numbers]:
        """Shifts at which rows change sides, as many rows between any two, and the score at each."""
        needed, rival = self._needed(place, shifts)
        tried = with_present(between(needed, _MOST_CUTS_OF_CLASS), place, shifts)
        shape = (len(tried), self._logs.shape[1])
        won_from = np.searchsorted(tried, needed, side="right")
        right, own = self._truths == rival, self._truths == place
        won = _won(won_from, rival, shape)
        given = np.bincount(rival, minlength=shape[1]) - won
        hits = np.bincount(rival[right], minlength=shape[1]) - _won(won_from[right], rival[right], shape)
        given[:, place] = won.sum(axis=1)
        hits[:, place] = _won(won_from[own], rival[own], shape).sum(axis=1)
        return tried, self._counted(Counts(hits, given, self._actual))

    def _needed(self, place: int, shifts: Numbers) -> tuple[Numbers, NDArray[np.int64]]:
        """The shift that each row needs to be given the class, and the class that it is given else."""
        others = self._logs + shifts
        others[:, place] = -np.inf
        rival = others.argmax(axis=1)
        best = np.take_along_axis(others, rival[:, None], axis=1)[:, 0]
        return np.asarray(best - self._logs[:, place]), rival


def _won(won_from: NDArray[np.int64], rival: NDArray[np.int64], shape: tuple[int, int]) -> Numbers:
    """For each candidate and rival, how many rows the rival has lost."""
    candidates, k = shape
    flat = np.bincount(won_from * k + rival, minlength=(candidates + 1) * k)
    return np.asarray(flat.reshape(candidates + 1, k)[:candidates].cumsum(axis=0), dtype=np.float64)


def _best_cut(values: Numbers, truths: NDArray[np.bool_], counted: Counted) -> float:
    """The best threshold for all of these columns, (n, k), by counts (..., k)."""
    cuts = _usable(between(values.ravel(), _MOST_CUTS))
    found = [_counts_at(cuts, values[:, place], truths[:, place]) for place in range(values.shape[1])]
    hits, given = (np.column_stack([pair[kind] for pair in found]) for kind in range(2))
    return nearest_of_best(cuts, counted(Counts(hits, given, truths.sum(axis=0).astype(np.float64))), 0.5)


def _counts_at(cuts: Numbers, values: Numbers, truths: NDArray[np.bool_]) -> tuple[Numbers, Numbers]:
    """Hits and given labels of one column at each threshold."""
    order = np.argsort(values, kind="stable")
    below = np.searchsorted(values[order], cuts, side="left")
    passed = np.concatenate([[0.0], np.cumsum(truths[order], dtype=np.float64)])
    return passed[-1] - passed[below], (len(values) - below).astype(np.float64)


def _both_classes(counts: Counts, n_rows: int) -> Counts:
    """Counts of the positives, (..., 1), as those of both classes, (..., 2)."""
    actual = np.concatenate([n_rows - counts.actual, counts.actual])
    given = np.concatenate([n_rows - counts.given, counts.given], axis=-1)
    right = n_rows - counts.given - (counts.actual - counts.hits)
    return Counts(np.concatenate([right, counts.hits], axis=-1), given, actual)


def _counts_of(scores: Numbers, truths: NDArray[np.int64]) -> Counts:
    """Counts of the classes with the largest scores."""
    k = scores.shape[1]
    chosen = scores.argmax(axis=1)
    found = [np.bincount(rows, minlength=k) for rows in (chosen[chosen == truths], chosen, truths)]
    return Counts(*(numbers.astype(np.float64) for numbers in found))


def _weights(shifts: Numbers) -> ClassWeights:
    """Weights whose largest logarithm is 0."""
    return ClassWeights(tuple(map(float, np.exp(shifts - shifts.max()))))


def _usable(cuts: Numbers) -> Numbers:
    """Thresholds above 0 and below 1, a half among them."""
    return np.union1d(cuts[(cuts > 0) & (cuts < 1)], [0.5])


def _enough(truths: NDArray[np.bool_]) -> bool:
    """Whether there are rows enough on both sides."""
    positives = int(truths.sum())
    return min(positives, len(truths) - positives) >= _LEAST_ROWS

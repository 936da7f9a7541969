"""Thresholds of yes/no predictions and weights of classes, found on rows whose truth is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from kagglerun.experiment.postprocess.climb import Numbers, between, climb, nearest_of_best, one_by_one
from kagglerun.experiment.postprocess.counted import Counted, Counts
from kagglerun.experiment.postprocess.steps import ClassWeights, Thresholds

Score = Callable[[Numbers], float]
"""Predictions for the rows of a fit, (n, k), to their score; greater is better."""

_MOST_CUTS = 255
_MOST_CUTS_ASKED = 31
"""Where each candidate costs a call of the metric."""
_MOST_CUTS_OF_CLASS = 63
_ROUNDS = 5
_ROUNDS_ASKED = 2
_MOST_ASKED = 30
"""Targets or classes up to which each gets candidates of its own where each costs a call of the metric."""
_LEAST_ROWS = 50
"""Rows of a target or class from which on it gets a threshold or weight of its own."""
_MOST_ROWS = 200_000
"""Rows that weights of classes are searched with, evenly spread over all: more move none of them."""
_TINY = 1e-15


def fit_thresholds(values: Numbers, truths: NDArray[np.bool_], score: Score, counted: Counted | None) -> Thresholds:
    """One threshold for all columns, then one for each that has enough positive rows.

    Args:
        values: (n, k) probabilities.
        truths: (n, k).
        score: of predictions for these rows.
        counted: the same from counts, where the metric allows it: of both classes for k = 1, else of the targets.
    """
    k = values.shape[1]
    if k == 1 and counted is not None:

        def of_both(counts: Counts) -> Numbers:
            return counted(_both_classes(counts, len(values)))

        return Thresholds((_by_counts(values[:, 0], truths[:, 0], of_both),))

    def scored(points: Numbers) -> float:
        return score(Thresholds(tuple(points)).apply(values))

    cuts = _usable(between(values.ravel(), _MOST_CUTS_ASKED))
    common = nearest_of_best(cuts, np.asarray([scored(np.full(k, cut)) for cut in cuts]), 0.5)
    own = [place for place in range(k) if k > 1 and _enough(truths[:, place])]
    points = np.full(k, common)
    if counted is not None:
        for place in own:
            # The score is a mean over targets, so each is free of the others.
            points[place] = _by_counts(values[:, place], truths[:, place], counted)
    elif len(own) <= _MOST_ASKED:
        ask = one_by_one(scored)
        points = climb(points, own, lambda place, _: _usable(between(values[:, place], 15)), ask, _ROUNDS_ASKED)
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
        line = _Line(logs, truths, counted)
        shifts = climb(shifts, own, line.candidates, line.scores, _ROUNDS)
    elif len(own) <= _MOST_ASKED:
        around = np.linspace(-1.5, 1.5, 13)
        shifts = climb(shifts, own, lambda place, now: now[place] + around, one_by_one(scored), _ROUNDS_ASKED)
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

    def candidates(self, place: int, shifts: Numbers) -> Numbers:
        """Shifts at which rows change sides, as many rows between any two."""
        return between(self._needed(place, shifts)[0], _MOST_CUTS_OF_CLASS)

    def scores(self, place: int, shifts: Numbers, tried: Numbers) -> Numbers:
        """The score at each shift, (len(tried),)."""
        k = self._logs.shape[1]
        needed, rival = self._needed(place, shifts)
        wins_from = np.searchsorted(tried, needed, side="right")
        right = self._truths == rival
        own = self._truths == place
        lost = _sums(wins_from, rival, (len(tried), k))
        lost_hits = _sums(wins_from[right], rival[right], (len(tried), k))
        given = np.bincount(rival, minlength=k) - lost
        hits = np.bincount(rival[right], minlength=k) - lost_hits
        given[:, place] = lost.sum(axis=1)
        hits[:, place] = _sums(wins_from[own], rival[own], (len(tried), k)).sum(axis=1)
        actual = np.bincount(self._truths, minlength=k).astype(np.float64)
        return self._counted(Counts(hits.astype(np.float64), given.astype(np.float64), actual))

    def _needed(self, place: int, shifts: Numbers) -> tuple[Numbers, NDArray[np.int64]]:
        """The shift that each row needs to be given the class, and the class that it is given else."""
        others = self._logs + shifts
        others[:, place] = -np.inf
        rival = others.argmax(axis=1)
        best = np.take_along_axis(others, rival[:, None], axis=1)[:, 0]
        return np.asarray(best - self._logs[:, place]), rival


def _sums(wins_from: NDArray[np.int64], rival: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[np.int64]:
    """For each candidate and rival how many rows it has won."""
    candidates, k = shape
    flat = np.bincount(wins_from * k + rival, minlength=(candidates + 1) * k)
    return np.asarray(flat.reshape(candidates + 1, k)[:candidates].cumsum(axis=0))


def _by_counts(values: Numbers, truths: NDArray[np.bool_], counted: Counted) -> float:
    """The best threshold of one column, whose counts are (..., 1)."""
    cuts = _usable(between(values, _MOST_CUTS))
    order = np.argsort(values, kind="stable")
    below = np.searchsorted(values[order], cuts, side="left")
    passed = np.concatenate([[0.0], np.cumsum(truths[order], dtype=np.float64)])
    hits, given = passed[-1] - passed[below], (len(values) - below).astype(np.float64)
    return nearest_of_best(cuts, counted(Counts(hits[:, None], given[:, None], passed[-1:])), 0.5)


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

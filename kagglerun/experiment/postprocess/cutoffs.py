"""Cut-offs between ordered labels, found on rows whose truth is known.

The field's `OptimizedRounder` minimises by Nelder-Mead, which often stays at a start that is no optimum: scores are
steps. Here each cut-off in turn goes to the best place between its neighbours, from two starts, until none moves.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kagglerun.experiment.postprocess.climb import Line, Numbers, between, climb, one_by_one, with_present

Score = Callable[[Numbers], float]
"""Cut-offs to the score of what they give; greater is better."""

_MOST_PLACES = 511
_MOST_PLACES_ASKED = 63
_ROUNDS = 50
_ROUNDS_ASKED = 3


def fit_cutoffs(values: Numbers, truths: Numbers, labels: Numbers, score: Score, is_qwk: bool) -> Numbers:
    """The cut-offs between labels, (len(labels) - 1,), ascending.

    Args:
        values: (n,) numbers that order the rows.
        truths: (n,) the true labels.
        labels: (m,) ascending.
        score: of cut-offs, by the metric itself.
        is_qwk: it is the quadratic weighted kappa, which sums tell for all places at once.
    """
    places = between(values, _MOST_PLACES if is_qwk else _MOST_PLACES_ASKED)
    if len(places) == 0:
        return _midpoints(labels)

    def candidates(place: int, cuts: Numbers) -> Numbers:
        low = cuts[place - 1] if place else -np.inf
        high = cuts[place + 1] if place + 1 < len(cuts) else np.inf
        return places[(places >= low) & (places <= high)]

    kappa = _Kappa(values, truths, labels)

    def by_sums(place: int, cuts: Numbers) -> tuple[Numbers, Numbers]:
        tried = with_present(candidates(place, cuts), place, cuts)
        return tried, kappa.scores(place, cuts, tried)

    line: Line = by_sums if is_qwk else one_by_one(candidates, score)
    everywhere = range(len(labels) - 1)
    starts = (_midpoints(labels), _like_the_truths(values, truths, labels))
    ends = [climb(start, everywhere, line, _ROUNDS if is_qwk else _ROUNDS_ASKED) for start in starts]
    # Of equally good ones the first, as everywhere.
    return ends[int(np.argmax([score(end) for end in ends]))]


class _Kappa:
    """The quadratic weighted kappa from sums over the rows below a cut-off.

    Args:
        values: (n,).
        truths: (n,).
        labels: (m,) ascending.
    """

    def __init__(self, values: Numbers, truths: Numbers, labels: Numbers) -> None:
        order = np.argsort(values, kind="stable")
        self._values = values[order]
        self._labels = labels - labels[0]
        shifted = truths[order] - labels[0]
        self._below = np.concatenate([[0.0], np.cumsum(shifted)])
        self._squares = float((shifted**2).sum())

    def scores(self, place: int, cuts: Numbers, tried: Numbers) -> Numbers:
        """The kappa with each of these at a place, (len(tried),)."""
        sums = [self._sums(at, cuts[at : at + 1]) for at in range(len(cuts)) if at != place]
        given, squares, products = (
            sum(parts) + own for parts, own in zip(_turned(sums), self._sums(place, tried), strict=True)
        )
        n, last, whole = len(self._values), self._labels[-1], self._below[-1]
        given, squares, products = last * n - given, last**2 * n - squares, last * whole - products
        apart = self._squares + squares - 2 * products
        expected = self._squares + squares - 2 * whole * given / n
        return np.asarray(np.where(expected > 0, 1 - apart / np.where(expected > 0, expected, 1.0), 1.0))

    def _sums(self, at: int, cuts: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """What a cut-off takes from the sums of labels, of their squares, and of labels times truths."""
        below = np.searchsorted(self._values, cuts, side="left")
        low, high = self._labels[at], self._labels[at + 1]
        return (high - low) * below, (high**2 - low**2) * below, (high - low) * self._below[below]


def _turned(sums: list[tuple[Numbers, Numbers, Numbers]]) -> list[list[Numbers]]:
    return [[parts[kind] for parts in sums] for kind in range(3)]


def _midpoints(labels: Numbers) -> Numbers:
    """Where rounding cuts."""
    return np.asarray((labels[:-1] + labels[1:]) / 2, dtype=np.float64)


def _like_the_truths(values: Numbers, truths: Numbers, labels: Numbers) -> Numbers:
    """Cut-offs that give each label as often as it is true."""
    shares = np.searchsorted(np.sort(truths), labels[1:], side="left") / len(truths)
    return np.asarray(np.quantile(values, shares), dtype=np.float64)

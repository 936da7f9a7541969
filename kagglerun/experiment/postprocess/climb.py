"""The search that all fits share: one coordinate after the other, each to the best of its candidates."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

Candidates = Callable[[int, Numbers], Numbers]
"""(place, the coordinates as they are) to the values worth trying there."""
Line = Callable[[int, Numbers], tuple[Numbers, Numbers]]
"""(place, the coordinates as they are) to the values tried there, the present one among them, and the score of each;
greater is better."""

_NOT_WORTH = 1e-12
"""Scores that differ by less are equal."""


def climb(start: Numbers, places: Sequence[int], line: Line, rounds: int) -> Numbers:
    """The coordinates after at most so many rounds over these places, or when a round changes none.

    The same arguments give the same result. Of equally good values the one nearest to the present one is taken, so
    what does not matter stays as it is.
    """
    found = np.array(start, dtype=np.float64)
    for _ in range(rounds):
        before = found.copy()
        for place in places:
            found[place] = nearest_of_best(*line(place, found), found[place])
        if (found == before).all():
            break
    return found


def nearest_of_best(tried: Numbers, scores: Numbers, to: float) -> float:
    """The value with the best score; of equally good ones the nearest to `to`."""
    finite = np.where(np.isfinite(scores), scores, -np.inf)
    best = tried[finite >= finite.max() - _NOT_WORTH]
    return float(best[np.abs(best - to).argmin()])


def one_by_one(candidates: Candidates, score: Callable[[Numbers], float]) -> Line:
    """A line along which the whole coordinates are scored, one candidate after the other."""

    def line(place: int, found: Numbers) -> tuple[Numbers, Numbers]:
        tried = with_present(candidates(place, found), place, found)
        return tried, np.asarray([score(replaced(found, place, value)) for value in tried], dtype=np.float64)

    return line


def with_present(values: Numbers, place: int, found: Numbers) -> Numbers:
    """The values and the present one, ascending."""
    return np.union1d(values, found[place : place + 1])


def replaced(found: Numbers, place: int, value: float) -> Numbers:
    """The coordinates with another value at a place."""
    changed = found.copy()
    changed[place] = value
    return changed


def between(values: Numbers, most: int) -> Numbers:
    """At most so many numbers, each between two neighbours among the values, as many values between any two.

    Args:
        values: (n,), finite.
        most: how many numbers.

    Returns:
        ascending; empty where all values are equal.
    """
    ordered = np.sort(values)
    if len(ordered) == 0:
        return ordered
    distinct = np.flatnonzero(np.diff(ordered) > 0)
    if len(distinct) > most:
        wanted = np.linspace(0, len(ordered) - 1, most + 2)[1:-1]
        distinct = np.unique(distinct[np.minimum(np.searchsorted(distinct, wanted), len(distinct) - 1)])
    middle = (ordered[distinct] + ordered[distinct + 1]) / 2
    return np.unique(np.where(middle > ordered[distinct], middle, ordered[distinct + 1]))

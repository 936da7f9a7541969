"""Weights by looking at the metric: the best prefix of equal parts, and hill climbing with replacement.

Caruana, Niculescu-Mizil, Crew, Ksikes: Ensemble selection from libraries of models, ICML 2004: start with the best
few, then add whichever member (again) helps the metric most; do that for several random halves of the members (bags),
and take the mean, which keeps the search from fitting the rows that it looks at. With many rows one climb among all
members does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kagglerun.ensemble.blend import Values
from kagglerun.ensemble.judge import Scorer
from kagglerun.randomness import generator

_MOST_STEPS = 24
_PATIENCE = 3
"""Additions without a better score after which a climb ends."""
_MOST_BAGS = 10
_LEAST_BAGS = 3
_VALUES_PER_BAG = 120_000
"""The more numbers a score is taken of, the less a search can fit them and the fewer bags are needed."""
_ALL_IN_A_BAG = 4


def best_prefix(stack: Values, score: Scorer, greater_is_better: bool) -> NDArray[np.float64]:
    """Equal weights of the first members, as many as score best, (m,).

    Args:
        stack: (m, rows, k) predictions, the best member first.
        score: of the mean, (rows, k).
        greater_is_better: direction of the score.
    """
    count, _ = _prefix(stack, list(range(len(stack))), score, greater_is_better)
    return np.asarray([1.0 / count if index < count else 0.0 for index in range(len(stack))])


def climb(stack: Values, score: Scorer, greater_is_better: bool, seed: int) -> NDArray[np.float64]:
    """Weights by bagged hill climbing with replacement, (m,), their sum 1.

    Args:
        stack: (m, rows, k) predictions, the best member first.
        score: of a mean, (rows, k).
        greater_is_better: direction of the score.
        seed: the bags follow from it.
    """
    m = len(stack)
    bags = min(int(_VALUES_PER_BAG // stack[0].size), _MOST_BAGS)
    if m <= _ALL_IN_A_BAG or bags < _LEAST_BAGS:
        bags = 1  # of all members: few halves would leave good ones out
    weights = np.zeros(m)
    for bag in range(bags):
        members = list(range(m)) if bags == 1 else _bag(m, seed, bag)
        weights += _climb_once(stack, members, score, greater_is_better)
    return weights / bags


def _bag(m: int, seed: int, bag: int) -> list[int]:
    """A random half of the members, never fewer than four, in their order."""
    size = max(_ALL_IN_A_BAG, (m + 1) // 2)
    return sorted(map(int, generator(seed, "ensemble", "bag", bag, m).permutation(m)[:size]))


def _climb_once(stack: Values, members: Sequence[int], score: Scorer, greater_is_better: bool) -> NDArray[np.float64]:
    """Weights of one climb, (m,): those of the best of all means on the way."""
    sign = 1.0 if greater_is_better else -1.0
    start, reached = _prefix(stack, members, score, greater_is_better)
    counts = np.zeros(len(stack))
    counts[list(members[:start])] = 1.0
    total = stack[list(members[:start])].sum(axis=0)
    best, best_counts, since = sign * reached, counts.copy(), 0
    for _ in range(_MOST_STEPS):
        size = counts.sum() + 1.0
        found = [sign * score((total + stack[member]) / size) for member in members]
        chosen = int(np.argmax(np.nan_to_num(found, nan=-np.inf)))
        counts[members[chosen]] += 1.0
        total = total + stack[members[chosen]]
        if found[chosen] > best:
            best, best_counts, since = found[chosen], counts.copy(), 0
            continue
        since += 1
        if since == _PATIENCE:
            break
    return np.asarray(best_counts / best_counts.sum(), dtype=np.float64)


def _prefix(stack: Values, members: Sequence[int], score: Scorer, greater_is_better: bool) -> tuple[int, float]:
    """How many of the first members have the best mean, and its score; the fewest of equal ones."""
    sign = 1.0 if greater_is_better else -1.0
    total = np.zeros_like(stack[0])
    best, count = -np.inf, 1
    for size, member in enumerate(members, 1):
        total = total + stack[member]
        found = sign * score(total / size)
        if found > best:
            best, count = found, size
    return count, sign * best

"""Rank correlation of a few pairs of scores, with an interval that holds for a few.

Intervals are Fisher's with the variances that Bonett and Wright (2000) give for rank correlations: 0.437 / (n - 4) for
Kendall's tau, (1 + r^2 / 2) / (n - 3) for Spearman's rho. A bootstrap of so few pairs covers far too seldom: repeated
pairs are ties. p is exact up to eight pairs (all orders), and by drawn orders above.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kagglerun.metrics.arrays import average_ranks
from kagglerun.randomness import generator

Numbers = NDArray[np.float64]

LEAST_PAIRS = 5
"""With fewer no interval says anything."""
_Z = 1.959963984540054
_EXACT_UP_TO = 8
_DRAWS = 20_000


@dataclass(frozen=True)
class Correlation:
    """A rank correlation.

    Attributes:
        value: -1 to 1; 0 where one side does not vary.
        low: lower end of its 95 % interval.
        high: upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class RankAgreement:
    """How far two orders of the same things agree.

    Attributes:
        pairs: how many things.
        kendall: tau-b: chance of two things to be in the same order minus that of the other order.
        spearman: rho: correlation of the ranks.
        p: chance of a tau at least as far from 0 among orders that have nothing to do with each other.
    """

    pairs: int
    kendall: Correlation
    spearman: Correlation
    p: float


def rank_agreement(x: Numbers, y: Numbers) -> RankAgreement:
    """Rank correlations of two scores of the same things.

    Args:
        x: (n,) finite, n at least 2.
        y: (n,) finite.
    """
    n = len(x)
    tau, rho = kendall(x, y), spearman(x, y)
    kept = 1 - 2 / (n * (n - 1)), 1 - 6 / (n * (n**2 - 1))
    of_tau = math.sqrt(0.437 / (n - 4)) if n >= LEAST_PAIRS else math.inf
    of_rho = math.sqrt((1 + rho**2 / 2) / (n - 3)) if n >= LEAST_PAIRS else math.inf
    return RankAgreement(n, _with_interval(tau, of_tau, kept[0]), _with_interval(rho, of_rho, kept[1]), _p(x, y, tau))


def kendall(x: Numbers, y: Numbers) -> float:
    """Kendall's tau-b; 0 where one side does not vary."""
    one, other = _signs(x), _signs(y)
    both = math.sqrt(float((one**2).sum()) * float((other**2).sum()))
    return float((one * other).sum()) / both if both else 0.0


def spearman(x: Numbers, y: Numbers) -> float:
    """Spearman's rho, ties with their mean rank; 0 where one side does not vary."""
    one, other = (average_ranks(side) - (len(x) + 1) / 2 for side in (x, y))
    both = math.sqrt(float(one @ one) * float(other @ other))
    return float(one @ other) / both if both else 0.0


def _signs(values: Numbers) -> Numbers:
    one, other = np.triu_indices(len(values), 1)
    return np.sign(np.asarray(values, dtype=np.float64)[one] - np.asarray(values, dtype=np.float64)[other])


def _with_interval(value: float, error: float, most: float) -> Correlation:
    """Fisher's interval. Perfect agreement is taken as half a swap short of it, or it would be certain."""
    if not math.isfinite(error):
        return Correlation(value, -1.0, 1.0)
    at = math.atanh(min(max(value, -most), most))
    low, high = math.tanh(at - _Z * error), math.tanh(at + _Z * error)
    return Correlation(value, -1.0 if value < -most else low, 1.0 if value > most else high)


def _p(x: Numbers, y: Numbers, tau: float) -> float:
    n = len(x)
    one = np.zeros((n, n))
    one[np.triu_indices(n, 1)] = _signs(x)
    one -= one.T
    other = np.zeros((n, n))
    other[np.triu_indices(n, 1)] = _signs(y)
    other -= other.T
    both = math.sqrt(float((one**2).sum()) * float((other**2).sum()))
    if not both:
        return 1.0
    if n <= _EXACT_UP_TO:
        orders = np.array(list(itertools.permutations(range(n))))
    else:
        orders = generator(0, "rank agreement", n).permuted(np.tile(np.arange(n), (_DRAWS, 1)), axis=1)
    found = np.zeros(len(orders))
    for row in range(n):  # one row of the pairs at a time: all at once would take gigabytes
        found += (one[row] * other[orders[:, row][:, None], orders]).sum(axis=1)
    as_far = np.abs(found / both) >= abs(tau) - 1e-12
    return float(as_far.mean()) if n <= _EXACT_UP_TO else float((as_far.sum() + 1) / (len(orders) + 1))

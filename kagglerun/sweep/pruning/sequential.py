"""Error spending: how much of the allowed error a test may use after each fold.

A test that is repeated after every fold errs more often than one that is done once. The chance to err is therefore
spent in portions (Lan and DeMets 1983), and each look's own level follows from what the earlier looks have spent and
from how strongly the looks' statistics are correlated (Armitage, McPherson and Rowe 1969).
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from kagglerun.metrics.metric import Array  # the coordinator needs no metric

Spending = Literal["early", "pocock", "obrien_fleming", "uniform"]
"""Shape of the error spent: mostly at the first looks, almost evenly, nearly all at the end, the same at each look.

Measured on 480 simulated studies (tests/benchmarks/pruning.py) with an error of 0.04: early spending saved 47 % of the
fold fits and Pocock's 45 %, for 1.5 % and 1.0 % of the best configs lost; O'Brien and Fleming's was behind both. On 600
further studies early spending saved 46 % for 1.8 %.
"""

_NORMAL = NormalDist()
_FARTHEST = 8.0
_EARLY = 0.4  # the power of the share: Kim and DeMets (1987)
_POINTS = 401  # odd, for Simpson's rule; the levels are then right to seven digits
_LEAST_SHARE = 1e-12


def errors_spent(n_folds: int, error: float, spending: Spending = "early") -> tuple[float, ...]:
    """The error spent at the test after each fold but the last, where stopping would save nothing.

    Args:
        n_folds: folds that a trial has.
        error: chance to err, over all tests together.
        spending: its shape; see Lan and DeMets (1983).

    Returns:
        n_folds - 1 portions whose sum is `error`.
    """
    looks = n_folds - 1
    spent = [_spent_until(look / looks, error, spending) for look in range(looks + 1)] if looks else []
    return tuple(after - before for before, after in pairwise(spent))


def _spent_until(share: float, error: float, spending: Spending) -> float:
    """The error spent when a share of the looks, 0 to 1, is done."""
    if share == 0:
        return 0.0
    if spending == "pocock":
        return error * math.log(1 + (math.e - 1) * share)
    if spending == "early":
        return float(error * share**_EARLY)
    if spending == "obrien_fleming":
        return 2 * _NORMAL.cdf(_NORMAL.inv_cdf(error / 2) / math.sqrt(share))
    return error * share


@lru_cache(maxsize=1024)
def nominal_levels(errors: tuple[float, ...], information: tuple[float, ...]) -> tuple[float, ...]:
    """Level of each test, on its own, with which the tests together spend the errors.

    They are exact for normal statistics; for Student's t the same levels are used for its p-values (Jennison and
    Turnbull 2000, section 4.4).

    Args:
        errors: error to be spent at each look.
        information: what has been seen at each look, ascending, in any unit, e.g. rows.

    Returns:
        one-sided levels, one a look; 0 where nothing is spent.
    """
    levels: list[float] = []
    points, density = np.zeros(1), np.ones(1)  # all the mass at 0, where the sum of nothing is
    before = 0.0
    for error, seen in zip(errors, information, strict=True):
        step = math.sqrt(seen - before)
        bound = _bound(error, points, density, step)
        levels.append(0.0 if bound is None else _NORMAL.cdf(bound / math.sqrt(seen)))
        points, density = _carried(points, density, step, bound, math.sqrt(seen))
        before = seen
    return tuple(levels)


def _bound(error: float, points: Array, mass: Array, step: float) -> float | None:
    """The sum below which a trial is stopped, so that just this error is spent; None when nothing is to be spent."""
    if error <= _LEAST_SHARE:
        return None
    low, high = float(points.min()) - _FARTHEST * step, float(points.max()) + _FARTHEST * step
    for _ in range(80):
        middle = (low + high) / 2
        below = float(mass @ _cumulative((middle - points) / step))
        low, high = (middle, high) if below < error else (low, middle)
    return (low + high) / 2


def _carried(points: Array, mass: Array, step: float, bound: float | None, scale: float) -> tuple[Array, Array]:
    """The distribution of the sum among trials that go on: points, and the mass that Simpson's rule gives each."""
    lowest = -_FARTHEST * scale if bound is None else max(bound, -_FARTHEST * scale)
    after = np.linspace(lowest, _FARTHEST * scale, _POINTS)
    weights = np.ones(_POINTS)
    weights[1:-1:2], weights[2:-1:2] = 4, 2
    gaps = (after[:, None] - points) / step
    density = np.exp(-(gaps**2) / 2) @ mass / (step * math.sqrt(2 * math.pi))
    return after, density * weights * (after[1] - after[0]) / 3


def _cumulative(values: Array) -> Array:
    from scipy.special import ndtr

    return np.asarray(ndtr(values), dtype=np.float64)

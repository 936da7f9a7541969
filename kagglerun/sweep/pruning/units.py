"""Which rows count as one: the groups of grouped folds, and neighbours in time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kagglerun.metrics.metric import Array


def group_units(groups: npt.ArrayLike) -> Array:
    """(n,) int64: rows of one group are one unit."""
    values = np.asarray(groups)
    values = values.astype(str) if values.dtype == object else values
    return np.unique(values, return_inverse=True)[1].reshape(-1)


def time_units(times: npt.ArrayLike, folds: Array) -> Array:
    """(n,) int64: rows of a fold that are close in time are one unit.

    A fold with m moments is cut into blocks of the cube root of m moments each, rounded up: the order of length with
    which a block bootstrap is most accurate (Künsch 1989; Hall, Horowitz and Jing 1995). Rows of one moment stay
    together.

    Args:
        times: (n,) numbers or datetimes.
        folds: (n,) int64 fold of each row.
    """
    moments = np.unique(np.asarray(times), return_inverse=True)[1].reshape(-1)
    units = np.zeros(len(moments), dtype=np.int64)
    used = 0
    for fold in np.unique(folds):
        inside = folds == fold
        order = np.unique(moments[inside], return_inverse=True)[1].reshape(-1)
        length = int(np.ceil((int(order.max()) + 1) ** (1 / 3) - 1e-9))
        units[inside] = used + order // length
        used = int(units[inside].max()) + 1
    return units

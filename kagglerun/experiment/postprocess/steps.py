"""Maps of predictions to predictions, each row by itself: the same rows give the same bits in any company.

All take and give float64 (n, k) in the form that models predict in, so that what writes and scores predictions decides
as ever: a label from 0.5 on, or the largest of a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

_BELOW_HALF = float(np.nextafter(0.5, 0.0))
_TINY = 1e-15
"""Probabilities are held this far from 0 and 1 where their logarithm is taken, as scikit-learn's log loss once did."""


class Step(Protocol):
    """One map; a frozen dataclass of numbers and tuples, which JSON holds without loss."""

    def apply(self, values: Values) -> Values:
        """Predictions, float64 (n, k), mapped; the argument stays as it is."""


@dataclass(frozen=True)
class Thresholds:
    """Moves each column's threshold to 0.5: piecewise linear, rising, 0 stays 0 and 1 stays 1.

    Attributes:
        points: above 0 and below 1, one a column: from there on a label is given.
    """

    points: tuple[float, ...]

    def apply(self, values: Values) -> Values:
        """Probabilities (n, k) of yes/no targets, mapped."""
        points = np.asarray(self.points)
        # Never rounded up to 0.5: what lies below the threshold stays below.
        below = np.minimum(0.5 * values / points, _BELOW_HALF)
        above = 0.5 + 0.5 * (values - points) / (1.0 - points)
        return np.asarray(np.where(values >= points, above, below), dtype=np.float64)


@dataclass(frozen=True)
class ClassWeights:
    """Each class's probability times its weight; rows are divided by their sum again.

    Attributes:
        weights: above 0, one a class.
    """

    weights: tuple[float, ...]

    def apply(self, values: Values) -> Values:
        """Probabilities (n, classes), weighted."""
        return _shares(values * np.asarray(self.weights))


@dataclass(frozen=True)
class ClassCutoffs:
    """The class into whose interval a row's expected rating falls.

    Attributes:
        points: ascending, one fewer than classes; from a point on the next rating is given.
        ratings: the classes' numbers, one a column.
    """

    points: tuple[float, ...]
    ratings: tuple[float, ...]

    def apply(self, values: Values) -> Values:
        """Probabilities (n, classes) as 1 for the class that is given and 0 for the others."""
        order = np.argsort(np.asarray(self.ratings), kind="stable")
        placed = order[np.searchsorted(np.asarray(self.points), expected_rating(values, self.ratings), side="right")]
        return np.asarray(np.eye(len(self.ratings))[placed], dtype=np.float64)


@dataclass(frozen=True)
class ValueCutoffs:
    """The whole number into whose interval a value falls.

    Attributes:
        points: ascending, one fewer than labels; from a point on the next label is given.
        labels: the numbers that are given, ascending.
    """

    points: tuple[float, ...]
    labels: tuple[float, ...]

    def apply(self, values: Values) -> Values:
        """Numbers (n, k), each column cut at the same points."""
        placed = np.searchsorted(np.asarray(self.points), values, side="right")
        return np.asarray(np.asarray(self.labels)[placed], dtype=np.float64)


@dataclass(frozen=True)
class Temperature:
    """Log odds, or logarithms of a row's probabilities, divided by a temperature (Guo and others 2017).

    Attributes:
        temperature: above 0; above 1 makes predictions less sure.
        exclusive: a row's columns are classes of which one is right; else each column is a yes/no target.
    """

    temperature: float
    exclusive: bool

    def apply(self, values: Values) -> Values:
        """Probabilities (n, k), calibrated."""
        if not self.exclusive:
            return sigmoid(log_odds(values) / self.temperature)
        scaled = np.log(np.clip(np.ascontiguousarray(values), _TINY, None)) / self.temperature
        return _shares(np.exp(scaled - scaled.max(axis=1, keepdims=True)))


@dataclass(frozen=True)
class Platt:
    """Each column's log odds through a line and back (Platt 1999); of classes the rows are divided by their sum.

    Attributes:
        slopes: one a column, from 0 on.
        intercepts: one a column.
        exclusive: see `Temperature`.
    """

    slopes: tuple[float, ...]
    intercepts: tuple[float, ...]
    exclusive: bool

    def apply(self, values: Values) -> Values:
        """Probabilities (n, k), calibrated."""
        calibrated = sigmoid(log_odds(values) * np.asarray(self.slopes) + np.asarray(self.intercepts))
        return _shares(calibrated) if self.exclusive else calibrated


@dataclass(frozen=True)
class Isotonic:
    """Each column through a rising curve of straight pieces; of classes the rows are divided by their sum.

    Attributes:
        knots: of each column the probabilities at which the curve bends, ascending.
        heights: of each column what they become, rising.
        exclusive: see `Temperature`.
    """

    knots: tuple[tuple[float, ...], ...]
    heights: tuple[tuple[float, ...], ...]
    exclusive: bool

    def apply(self, values: Values) -> Values:
        """Probabilities (n, k), calibrated."""
        mapped = [
            np.interp(np.ascontiguousarray(values[:, place]), knots, heights)
            for place, (knots, heights) in enumerate(zip(self.knots, self.heights, strict=True))
        ]
        calibrated = np.column_stack(mapped).astype(np.float64)
        return _shares(calibrated) if self.exclusive else calibrated


@dataclass(frozen=True)
class SumToOne:
    """Columns that together are one question: in each row they are divided by their sum.

    Attributes:
        groups: positions of the columns of each group.
    """

    groups: tuple[tuple[int, ...], ...]

    def apply(self, values: Values) -> Values:
        """Probabilities (n, k); columns of no group stay as they are."""
        changed = np.array(values, dtype=np.float64)
        for group in self.groups:
            places = list(group)
            changed[:, places] = _shares(changed[:, places])
        return changed


@dataclass(frozen=True)
class Floor:
    """Probabilities held within a floor and one minus it; of classes the rows are divided by their sum.

    Attributes:
        floor: above 0 and below 0.5.
        exclusive: see `Temperature`.
    """

    floor: float
    exclusive: bool

    def apply(self, values: Values) -> Values:
        """Probabilities (n, k), held within."""
        held = np.clip(np.ascontiguousarray(values), self.floor, 1.0 - self.floor)
        return _shares(held) if self.exclusive else held


@dataclass(frozen=True)
class Clip:
    """Numbers held within a range, one a column.

    Attributes:
        low: the least values.
        high: the greatest values.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    def apply(self, values: Values) -> Values:
        """Numbers (n, k), held within."""
        return np.asarray(np.clip(values, np.asarray(self.low), np.asarray(self.high)), dtype=np.float64)


def expected_rating(values: Values, ratings: tuple[float, ...]) -> Values:
    """Mean of the classes' numbers by their probabilities (n, classes), as (n,); rows need not sum to one."""
    # No matrix product: BLAS may add up a row otherwise when it stands among other rows.
    return np.asarray((_shares(values) * np.asarray(ratings)).sum(axis=1), dtype=np.float64)


def log_odds(values: Values) -> Values:
    """log(p / (1 - p)), finite also for 0 and 1."""
    held = np.clip(np.ascontiguousarray(values), _TINY, 1.0 - _TINY)
    return np.asarray(np.log(held) - np.log1p(-held), dtype=np.float64)


def sigmoid(values: Values) -> Values:
    """1 / (1 + exp(-v)), without overflow."""
    decayed = np.exp(-np.abs(values))
    return np.asarray(np.where(values >= 0, 1.0, decayed) / (1.0 + decayed), dtype=np.float64)


def _shares(rows: Values) -> Values:
    """Rows divided by their sum; a row of zeros becomes equal shares."""
    rows = np.ascontiguousarray(rows)  # in another order NumPy adds up a row otherwise
    sums = rows.sum(axis=1, keepdims=True)
    shares = np.where(sums > 0, rows / np.where(sums > 0, sums, 1.0), 1.0 / rows.shape[1])
    return np.asarray(shares, dtype=np.float64)

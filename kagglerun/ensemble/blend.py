"""How the predictions of several runs become one: weights of the members, and the space in which they are added.

Pure NumPy, row by row: a row's result does not depend on the rows beside it, so that a hidden test set of any size,
cut into any chunks, gives the same bits for the same rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kagglerun.errors import DataError

Values = NDArray[np.float64]

LEAST_PROBABILITY = 1e-6
"""Probabilities are kept this far from 0 and 1 before their logarithm is taken."""


class Space(StrEnum):
    """What is added up."""

    VALUE = "value"
    """The predictions themselves."""
    RANK = "rank"
    """Each value's rank among its member's out-of-fold predictions, from 0 to 1, one column at a time; the mean rank
    becomes the value that has this rank on average over the members, so that the result is on their scale."""
    LOGIT = "logit"
    """Log-odds of each column's probability."""
    LOG = "log"
    """Logarithms of the probabilities of classes, whose sum over a row is 1 again afterwards."""
    LOG1P = "log1p"
    """log(1 + value), for metrics that compare logarithms."""


@dataclass(frozen=True)
class Member:
    """One run's part in a blend.

    Attributes:
        run: its id.
        weights: one a prediction column, (k,).
        quantiles: its out-of-fold predictions' quantiles, evenly spaced from the least to the greatest, k rows of
            equally many; None where ranks are not added.
    """

    run: str
    weights: tuple[float, ...]
    quantiles: tuple[tuple[float, ...], ...] | None = None

    @property
    def share(self) -> float:
        """Its weight, the mean over the columns."""
        return sum(self.weights) / len(self.weights)


@dataclass(frozen=True)
class Blend:
    """A weighted sum of members in some space.

    Attributes:
        space: what is added.
        parts: the members, the heaviest first.
        intercept: added to the sum, one a column.
        lowest: results below are raised to it; None for no bound.
        highest: results above are lowered to it.
        sums_to_one: rows are divided by their sum: probabilities of classes.
    """

    space: Space
    parts: tuple[Member, ...]
    intercept: tuple[float, ...]
    lowest: float | None = None
    highest: float | None = None
    sums_to_one: bool = False

    @property
    def members(self) -> tuple[str, ...]:
        """Run ids, the heaviest first: in this order they should be predicted where time may run out."""
        return tuple(part.run for part in self.parts)

    def combine(self, values: Mapping[str, NDArray[Any]]) -> Values:
        """Predictions of the whole, float64 (n, k).

        Args:
            values: run id to the member's predictions, float64 (n, k), all for the same rows. Members that are missing
                are done without, see `without`.

        Raises:
            DataError: no member is there, or one has another shape.
        """
        missing = [run for run in self.members if run not in values]
        if missing:
            return self._reduced(missing).combine(values)
        total = np.zeros(self._shape(values), dtype=np.float64)
        for part in self.parts:
            for column, weight in enumerate(part.weights):
                if weight:
                    total[:, column] += weight * self._lifted(part, np.asarray(values[part.run]), column)
        total += np.asarray(self.intercept, dtype=np.float64)
        return self._lowered(total)

    def without(self, missing: Collection[str]) -> str:
        """What `combine` does where some members are missing, as a sentence."""
        gone = [part for part in self.parts if part.run in set(missing)]
        if not gone:
            return f"all {len(self.parts)} members take part"
        left = len(self.parts) - len(gone)
        whole = sum(part.share for part in self.parts) or 1.0
        lost = sum(part.share for part in gone) / whole
        return (
            f"without {', '.join(part.run for part in gone)} ({lost:.0%} of the weight) the other {left} of "
            f"{len(self.parts)} members weigh more, in proportion"
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; see `from_dict`."""
        members = [
            {
                "run": part.run,
                "weight": part.share,
                "weights": list(part.weights),
                **({"quantiles": [list(row) for row in part.quantiles]} if part.quantiles is not None else {}),
            }
            for part in self.parts
        ]
        return {
            "space": str(self.space),
            "members": members,
            "intercept": list(self.intercept),
            "lowest": self.lowest,
            "highest": self.highest,
            "sums_to_one": self.sums_to_one,
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Blend:
        """Read back what `to_dict` gave; further keys do not matter.

        Raises:
            DataError: it is not what `to_dict` gives.
        """
        try:
            parts = tuple(
                Member(
                    str(member["run"]),
                    tuple(map(float, member["weights"])),
                    _rows_of(member["quantiles"]) if member.get("quantiles") is not None else None,
                )
                for member in saved["members"]
            )
            blend = cls(
                Space(saved["space"]),
                parts,
                tuple(map(float, saved["intercept"])),
                saved.get("lowest"),
                saved.get("highest"),
                bool(saved.get("sums_to_one", False)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"this is no ensemble as kagglerun writes it: {error!r}") from error
        if not blend.parts or any(len(part.weights) != len(blend.intercept) for part in blend.parts):
            raise DataError("this is no ensemble as kagglerun writes it: members or weights are missing")
        return blend

    def _reduced(self, missing: Iterable[str]) -> Blend:
        """The blend of the others: in each column their weights are raised to the same sum.

        A column whose weights were all with the missing ones takes the others in equal parts.
        """
        gone = set(missing)
        left = [part for part in self.parts if part.run not in gone]
        if not left:
            raise DataError("none of the ensemble's members has predictions")
        whole = np.asarray([part.weights for part in self.parts]).sum(axis=0)
        kept = np.asarray([part.weights for part in left])
        sums = kept.sum(axis=0)
        usable = np.abs(sums) > 1e-12
        raised = np.where(usable, kept * (whole / np.where(usable, sums, 1.0)), whole / len(left))
        parts = tuple(replace(part, weights=tuple(map(float, row))) for part, row in zip(left, raised, strict=True))
        return replace(self, parts=parts)

    def _shape(self, values: Mapping[str, NDArray[Any]]) -> tuple[int, int]:
        rows, k = len(values[self.parts[0].run]), len(self.intercept)
        for part in self.parts:
            if values[part.run].shape != (rows, k):
                raise DataError(
                    f"the predictions of {part.run} have the shape {values[part.run].shape}, not {(rows, k)}"
                )
        return rows, k

    def _lifted(self, part: Member, values: NDArray[Any], column: int) -> Values:
        quantiles = part.quantiles[column] if part.quantiles is not None else None
        return lift(values[:, column], self.space, quantiles)

    def _lowered(self, total: Values) -> Values:
        """From the space back to predictions."""
        if self.space is Space.RANK:
            total = self._values_at(total)
        elif self.space is Space.LOGIT:
            total = 1.0 / (1.0 + np.exp(-total))
        elif self.space is Space.LOG:
            total = np.exp(total - total.max(axis=1, keepdims=True))
        elif self.space is Space.LOG1P:
            total = np.expm1(total)
        if self.lowest is not None or self.highest is not None:
            total = np.clip(total, self.lowest, self.highest)
        if self.sums_to_one or self.space is Space.LOG:
            total = _over_their_sum(total)
        return total

    def _values_at(self, ranks: Values) -> Values:
        """The values at mean ranks, (n, k): the members' quantiles there, weighted as the members are."""
        found = np.empty_like(ranks)
        for column in range(ranks.shape[1]):
            parts = [(part.weights[column], part.quantiles[column]) for part in self.parts if part.quantiles]
            whole = sum(weight for weight, _ in parts) or 1.0
            quantiles = sum(weight / whole * np.asarray(row) for weight, row in parts)
            levels = np.linspace(0.0, 1.0, len(parts[0][1]))
            found[:, column] = np.interp(ranks[:, column], levels, np.asarray(quantiles))
        return found


def lift(values: NDArray[Any], space: Space, quantiles: Iterable[float] | None = None) -> Values:
    """One column of predictions, (n,), in a space.

    Args:
        values: the predictions.
        space: which.
        quantiles: for ranks, see `Member`.
    """
    given = np.asarray(values, dtype=np.float64)
    if space is Space.RANK:
        assert quantiles is not None, "ranks need the member's quantiles"
        return rank_among(given, np.asarray(quantiles, dtype=np.float64))
    if space is Space.LOGIT:
        inside = np.clip(given, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
        return np.asarray(np.log(inside) - np.log1p(-inside))
    if space is Space.LOG:
        return np.asarray(np.log(np.clip(given, LEAST_PROBABILITY, None)))
    if space is Space.LOG1P:
        return np.asarray(np.log1p(np.maximum(given, LEAST_PROBABILITY - 1)))
    return given


def rank_among(values: Values, quantiles: Values) -> Values:
    """Share of the out-of-fold predictions below each value, (n,), from 0 to 1, linear between quantiles.

    Among equal quantiles the value's rank is their middle, as an average rank is.
    """
    levels = np.linspace(0.0, 1.0, len(quantiles))
    knots, first = np.unique(quantiles, return_index=True)
    last = len(quantiles) - 1 - np.unique(quantiles[::-1], return_index=True)[1]
    if len(knots) == 1:
        return np.where(values < knots[0], 0.0, np.where(values > knots[0], 1.0, 0.5))
    middles = (levels[first] + levels[last]) / 2
    return np.asarray(np.interp(values, knots, middles), dtype=np.float64)


def _rows_of(saved: Iterable[Iterable[float]]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(map(float, row)) for row in saved)


def _over_their_sum(rows: Values) -> Values:
    """Rows divided by their sum, added column by column so that bits do not depend on the number of rows."""
    sums = rows[:, 0].copy()
    for column in range(1, rows.shape[1]):
        sums += rows[:, column]
    usable = sums > 0
    divided = rows / np.where(usable, sums, 1.0)[:, None]
    return np.asarray(np.where(usable[:, None], divided, 1.0 / rows.shape[1]), dtype=np.float64)

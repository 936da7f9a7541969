"""What the training rows' targets say of a submission's values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kagglerun.config.card import Card, Task
from kagglerun.data.long_layout import is_paired
from kagglerun.data.table_files import read_cells
from kagglerun.errors import DataError
from kagglerun.metrics.labels import label_text
from kagglerun.submission.findings import Finding, warning
from kagglerun.submission.words import count_of, place_of
from kagglerun.workspace import CompetitionPaths

_BEYOND = 0.5
"""Values further outside than this part of the targets' range are told."""
_FRACTIONS = 0.5
_EDGE = 0.001
"""Share of the training rows beyond which a submission's median lies on another scale."""


@dataclass(frozen=True)
class TrainingTargets:
    """The target columns of the training table.

    Attributes:
        cells: a column a target, every cell its text; without columns where no table holds them.
    """

    cells: pd.DataFrame

    @cached_property
    def numbers(self) -> dict[str, NDArray[np.float64]]:
        """Finite values of each target."""
        found = {}
        for name in self.cells:
            values = pd.to_numeric(self.cells[name], errors="coerce").to_numpy(np.float64)
            found[str(name)] = values[np.isfinite(values)]
        return found

    def column_cells(self, column: str) -> list[str]:
        """The training rows' own cells of a submission's column: of the target of that name, else of the only one."""
        if column in self.cells:
            return list(self.cells[column])
        return list(self.cells.iloc[:, 0]) if len(self.cells.columns) == 1 else []

    def class_shares(self, card: Card) -> tuple[float, ...]:
        """Share of each of the card's classes among the training rows; empty where that is not known."""
        if len(self.cells.columns) != 1 or not card.classes or not len(self.cells):
            return ()
        shares = self.cells.iloc[:, 0].map(label_text).value_counts(normalize=True)
        known = {label_text(_number_or_text(str(text))): float(share) for text, share in shares.items()}
        return tuple(known.get(label_text(label), 0.0) for label in card.classes)

    def check_range(self, column: str, values: pd.Series[Any], card: Card) -> Iterator[Finding]:
        """Compare numbers with the training targets' own.

        Args:
            column: the submission's column.
            values: its numbers.
            card: tells which targets it predicts.
        """
        known = self._of(column, card)
        if card.task is not Task.REGRESSION or len(known) < 2 or np.ptp(known) == 0:
            return
        low, high = float(known.min()), float(known.max())
        other_scale = _other_scale(column, values, known)
        if other_scale is not None:
            yield other_scale
            return
        yield from _outside(column, values, low, high)
        if (values % 1 == 0).all() and (known % 1 != 0).mean() > _FRACTIONS:
            yield warning(
                f"every value of {column!r} is a whole number, and most training targets are not",
                "rounding loses what lies between",
                "write the predictions as they are",
            )
        if low < 0 or not (values < 0).any():
            return
        yield warning(
            f"{count_of(values < 0, column)} below 0, the first in {place_of(values < 0)}; no training target is",
            "metrics with a logarithm refuse numbers below 0, and the truth is probably never there",
            "clip them at 0",
        )

    def _of(self, column: str, card: Card) -> NDArray[np.float64]:
        if is_paired(card):
            return np.concatenate([*self.numbers.values(), np.empty(0)])
        targets, columns = list(card.targets), list(card.submission_columns)
        if column in self.numbers:
            return self.numbers[column]
        if len(targets) == len(columns) and targets[columns.index(column)] in self.numbers:
            return self.numbers[targets[columns.index(column)]]
        return np.empty(0)


def training_targets(paths: CompetitionPaths, card: Card) -> TrainingTargets:
    """Read the training rows' targets; none where these are not columns of a table that is here."""
    name = card.files.train_labels or card.files.train_table
    if name is None or not card.targets or not (paths.data / name).is_file():
        return TrainingTargets(pd.DataFrame())
    try:
        return TrainingTargets(read_cells(paths.data / name, columns=list(card.targets)))
    except DataError:  # training says what is wrong with it; a submission can be checked without
        return TrainingTargets(pd.DataFrame())


def _number_or_text(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _other_scale(column: str, values: pd.Series[Any], known: NDArray[np.float64]) -> Finding | None:
    """A finding where the file's middle lies beyond nearly all targets, as of logarithms that were not undone."""
    edges = np.quantile(known, (_EDGE, 1 - _EDGE))
    middle = float(values.median())
    if edges[0] <= middle <= edges[1]:
        return None
    hint = None
    if known.min() >= 0 and np.log1p(known.min()) <= middle <= np.log1p(known.max()):
        hint = "they look like logarithms of the targets: undo them with expm1 (or exp)"
    elif middle < 700 and edges[0] <= np.exp(middle) <= edges[1]:
        hint = "they look like logarithms of the targets: undo them with exp"
    return warning(
        f"the median of {column!r} is {middle:g}; nearly all training targets lie from {edges[0]:g} to {edges[1]:g}",
        "the predictions are on another scale than the targets, or of another target",
        hint,
    )


def _outside(column: str, values: pd.Series[Any], low: float, high: float) -> Iterator[Finding]:
    beyond = _BEYOND * (high - low)
    outside = (values < low - beyond) | (values > high + beyond)
    if outside.any():
        yield warning(
            f"{count_of(outside, column)} far outside of the training targets ({low:g} to {high:g}), "
            f"the first is {values[outside].iloc[0]:g} in {place_of(outside)}",
            "a few such rows can decide a metric of squared errors",
            "look at these rows; clip them if they are no news",
        )

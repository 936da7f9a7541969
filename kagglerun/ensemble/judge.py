"""The competition's metric of predictions for some of the rows, as often as a search wants it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kagglerun.config.card import Card
from kagglerun.ensemble.blend import Values
from kagglerun.experiment.checks import writes_cells
from kagglerun.experiment.prepare import Prepared
from kagglerun.metrics import Metric, columns_needed, score_rows
from kagglerun.randomness import generator

Positions = NDArray[np.int64]
"""Positions among the out-of-fold predictions, which are not the numbers of training rows where some have none."""
Scorer = Callable[[Values], float]


@dataclass(frozen=True)
class Judge:
    """Scores predictions as runs are scored.

    Attributes:
        prepared: the competition, made ready as for a run.
        rows: training row of each out-of-fold prediction, int64 (n,).
    """

    prepared: Prepared
    rows: NDArray[np.int64]

    @property
    def greater_is_better(self) -> bool:
        """Direction of the scores."""
        return self.prepared.metric.greater_is_better

    @property
    def targets(self) -> NDArray[Any]:
        """Targets of the rows: (n,) int64 class indices, else float64 (n, t)."""
        targets: NDArray[Any] = self.prepared.data.targets[self.rows]
        return targets

    @property
    def groups(self) -> NDArray[Any] | None:
        """Group of each row; None where the card names none."""
        groups = self.prepared.data.groups
        return None if groups is None else groups[self.rows]

    def on(self, positions: Positions) -> Scorer:
        """The function that scores predictions, float64 (len(positions), k), for these rows."""
        prepared, rows = self.prepared, self.rows[positions]
        if writes_cells(prepared.hooks) or prepared.card.submission_layout == "label_list":
            return lambda values: prepared.score(rows, values)
        return _scorer(prepared.metric, prepared.card, prepared, rows)

    def score(self, positions: Positions, values: Values) -> float:
        """Score of predictions for these rows."""
        return self.on(positions)(values)

    def gain(self, score: float, over: float) -> float:
        """By how much a score is better than another one."""
        return score - over if self.greater_is_better else over - score

    def sampled(self, positions: Positions, most: int, seed: int, purpose: str) -> Positions:
        """At most so many of the rows, drawn at random; all where the metric looks at groups of rows."""
        looks_at_groups = columns_needed(self.prepared.metric, self.prepared.card.metric_parameters)
        if len(positions) <= most or looks_at_groups or self.groups is not None:
            return positions
        chosen = generator(seed, "ensemble", purpose, len(positions)).permutation(len(positions))[:most]
        return positions[np.sort(chosen)]


def _scorer(metric: Metric, card: Card, prepared: Prepared, rows: NDArray[np.int64]) -> Scorer:
    """Targets and the table's columns are looked up once: a search scores some thousand times."""
    data = prepared.data
    needed = {*card.ids, *card.targets, *columns_needed(metric, card.metric_parameters)}
    table = data.train[[name for name in data.train.columns if name in needed]].iloc[rows]
    targets = data.targets[rows]
    return lambda values: score_rows(metric, card, targets, values, table)

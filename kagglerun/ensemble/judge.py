"""The competition's metric of predictions for some of the rows, as often as a search wants it.

Where predictions are post-processed (cut-offs, thresholds), they are scored after it: fitted on the rows that weights
were fitted on too, and judged on others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kagglerun.config.card import Card, Task
from kagglerun.ensemble.blend import Values
from kagglerun.experiment.checks import writes_cells
from kagglerun.experiment.postprocess import Postprocess
from kagglerun.experiment.postprocess.fit import Problem, fit
from kagglerun.experiment.postprocess.nested import nested
from kagglerun.experiment.prepare import Prepared
from kagglerun.metrics import Metric, columns_needed, score_rows
from kagglerun.randomness import generator

Positions = NDArray[np.int64]
"""Positions among the out-of-fold predictions, which are not the numbers of training rows where some have none."""
Scorer = Callable[[Values], float]

_DECIDE = ("cutoffs", "thresholds")
"""Post-processing that decides, so that what the metric says of predictions before it tells little."""


@dataclass(frozen=True)
class Judge:
    """Scores predictions as runs are scored.

    Attributes:
        prepared: the competition, made ready as for a run.
        rows: training row of each out-of-fold prediction, int64 (n,).
    """

    prepared: Prepared
    rows: NDArray[np.int64]

    @cached_property
    def problem(self) -> Problem:
        """What post-processing is fitted for."""
        return Problem.of(self.prepared)

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

    def search(self, positions: Positions) -> tuple[Scorer, bool]:
        """What a search for weights looks at, and whether more of it is better.

        The metric; where labels are decided afterwards, the squared distance to the truths instead: a search by labels
        cut at places that will move finds weights for the wrong places.
        """
        if self.problem.method not in _DECIDE:
            return self.on(positions), self.greater_is_better
        truths = as_numbers(self.targets[positions], self.prepared.input.task, self.prepared.input.n_outputs)
        return (lambda values: float(((values - truths) ** 2).mean())), False

    def fit_postprocess(self, positions: Positions, values: Values) -> Postprocess | None:
        """What is fitted on predictions for these rows; None where predictions stay as they are."""
        return None if self.problem.changes_nothing else fit(self.problem, self.rows[positions], values)

    def postprocessed(self, positions: Positions, folds: NDArray[np.int64], values: Values) -> Values:
        """Each fold's rows after what was fitted on the other folds, (len(positions), k)."""
        found = nested(self.problem, self.rows[positions], folds, values)
        return values if found is None else found.values

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


def as_numbers(targets: NDArray[Any], task: Task, n_outputs: int) -> Values:
    """Targets in the shape of predictions, float64 (n, k): classes as columns of 0 and 1."""
    if task is Task.MULTICLASS:
        table = np.zeros((len(targets), n_outputs))
        table[np.arange(len(targets)), np.asarray(targets, dtype=np.int64)] = 1.0
        return table
    return np.asarray(targets, dtype=np.float64).reshape(len(targets), -1)

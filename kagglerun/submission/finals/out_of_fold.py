"""Out-of-fold predictions of several runs of the same rows, scored on any choice of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kagglerun.config.load import load_config
from kagglerun.errors import DataError
from kagglerun.experiment.checks import writes_cells
from kagglerun.experiment.postprocess import read as read_postprocess
from kagglerun.experiment.predictions import Predictions, read_predictions
from kagglerun.experiment.prepare import Prepared, prepare
from kagglerun.metrics import losses_of_rows
from kagglerun.workspace import RunPaths, Workspace

Numbers = NDArray[np.float64]
Positions = NDArray[np.int64]


@dataclass(frozen=True)
class OutOfFold:
    """What k runs predicted for the same n training rows.

    Attributes:
        run_ids: the runs.
        prepared: the competition, which scores.
        rows: int64 (n,), positions in the training table.
        values: one float64 (n, outputs) a run, post-processed.
        clusters: int64 (n,), rows that belong together (of one group, or of one query), numbered from 0; None where
            each row stands alone.
        test_rows: rows of the test table.
    """

    run_ids: tuple[str, ...]
    prepared: Prepared
    rows: Positions
    values: tuple[Numbers, ...]
    clusters: Positions | None
    test_rows: int

    @property
    def repeats(self) -> bool:
        """Whether a row may be drawn twice; the cells that hooks write are matched by ids, which must differ."""
        return not writes_cells(self.prepared.hooks)

    def scores(self, positions: Positions) -> Numbers:
        """The metric of each run for some of the n rows, (k,) float64; NaN where it is not defined for them.

        Args:
            positions: int64, into the n rows; they may repeat where `repeats`.
        """
        return np.asarray([self._score(positions, values) for values in self.values], dtype=np.float64)

    def _score(self, positions: Positions, values: Numbers) -> float:
        try:
            return self.prepared.score(self.rows[positions], values[positions])
        except DataError:
            return float("nan")  # an AUC of one class alone, a group without relevant items

    def losses(self) -> Numbers | None:
        """Loss of each row under each run, (n, k) float64, lower is better; None where the metric has none."""
        data, found = self.prepared.data, []
        if not self.repeats:
            return None
        table, targets = data.train.iloc[self.rows], data.targets[self.rows]
        for values in self.values:
            loss = losses_of_rows(self.prepared.metric, self.prepared.card, targets, values, table)
            if loss is None or not np.isfinite(loss).all():
                return None
            found.append(loss)
        return np.column_stack(found)


def load_out_of_fold(workspace: Workspace, runs: Sequence[RunPaths]) -> OutOfFold:
    """Read the predictions of comparable runs, and what scores them.

    Args:
        workspace: where the competition is.
        runs: comparable ones, at least one.

    Raises:
        DataError: predictions are missing, or are of other rows; the data changed since the runs were made.
        ConfigError: the competition cannot be scored any more.
    """
    # An ensemble's own config trains nothing.
    plain = next((run for run in runs if not run.ensemble.is_file()), runs[0])
    prepared = prepare(workspace, load_config(plain.config))
    read = [read_predictions(run.oof) for run in runs]
    first = read[0].rows
    if first is None:
        raise DataError(f"{runs[0].oof} does not say which rows it is of", hint="kagglerun train    (makes a new run)")
    for run, oof in zip(runs, read, strict=True):
        if oof.rows is None or not np.array_equal(oof.rows, first) or first.max() >= len(prepared.data.train):
            raise DataError(f"the run {run.run_id} predicted other rows than {runs[0].run_id}", hint="kagglerun runs")
    return OutOfFold(
        run_ids=tuple(run.run_id for run in runs),
        prepared=prepared,
        rows=first,
        values=tuple(_processed(run, oof) for run, oof in zip(runs, read, strict=True)),
        clusters=_clusters(prepared, first),
        test_rows=len(prepared.data.test),
    )


def _processed(run: RunPaths, oof: Predictions) -> Numbers:
    """As they are submitted. What was fitted on all rows is near enough here, where only differences count."""
    step = read_postprocess(run)
    return oof.values if step is None else step.apply(oof.values)


def _clusters(prepared: Prepared, rows: Positions) -> Positions | None:
    """Rows that come into a test set together: by the metric's groups, else by the card's."""
    parameters = prepared.card.metric_parameters
    named = parameters.get("groups") if "groups" in prepared.metric.row_parameters else None
    column = named if isinstance(named, str) else prepared.card.group
    if column is None or column not in prepared.data.train:
        return None
    values = prepared.data.train[column].astype(str).to_numpy()[rows]
    _, codes = np.unique(values, return_inverse=True)
    return codes.reshape(-1).astype(np.int64)

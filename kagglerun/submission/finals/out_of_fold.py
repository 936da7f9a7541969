"""Out-of-fold predictions of several runs of the same rows, scored on any choice of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kagglerun.config.load import load_config
from kagglerun.ensemble.judge import Judge, Scorer
from kagglerun.errors import DataError
from kagglerun.experiment.checks import writes_cells
from kagglerun.experiment.postprocess import read as read_postprocess
from kagglerun.experiment.postprocess.fit import Problem
from kagglerun.experiment.postprocess.nested import nested
from kagglerun.experiment.predictions import Predictions, read_predictions
from kagglerun.experiment.prepare import Prepared
from kagglerun.experiment.prepare_again import prepare_again
from kagglerun.experiment.runs import list_runs, summarise
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
        score = Judge(self.prepared, self.rows).on(positions)
        return np.asarray([_score(score, values[positions]) for values in self.values], dtype=np.float64)

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


def _score(score: Scorer, values: Numbers) -> float:
    try:
        return score(values)
    except DataError:
        return float("nan")  # an AUC of one class alone, a group without relevant items


def load_out_of_fold(workspace: Workspace, runs: Sequence[RunPaths]) -> OutOfFold:
    """Read the predictions of comparable runs, and what scores them.

    Args:
        workspace: where the competition is.
        runs: comparable ones, at least one.

    Raises:
        DataError: predictions are missing, or are of other rows; the data changed since the runs were made.
        ConfigError: the competition cannot be scored any more.
    """
    prepared = _prepared(workspace, runs)
    read = [read_predictions(run.oof) for run in runs]
    first = read[0].rows
    if first is None:
        raise DataError(f"{runs[0].oof} does not say which rows it is of", hint="kagglerun train    (makes a new run)")
    for run, oof in zip(runs, read, strict=True):
        if oof.rows is None or not np.array_equal(oof.rows, first):
            raise DataError(f"the run {run.run_id} predicted other rows than {runs[0].run_id}", hint="kagglerun runs")
    return OutOfFold(
        run_ids=tuple(run.run_id for run in runs),
        prepared=prepared,
        rows=first,
        values=tuple(_processed(prepared, run, oof) for run, oof in zip(runs, read, strict=True)),
        clusters=_clusters(prepared, first),
        test_rows=len(prepared.data.test),
    )


def _prepared(workspace: Workspace, runs: Sequence[RunPaths]) -> Prepared:
    """The competition, made ready as for one of the runs that is no ensemble.

    Raises:
        DataError: it is not what it was when the runs were made.
    """
    wanted = summarise(runs[0])
    trained = [run for run in runs if not run.ensemble.is_file()] or [
        workspace.run(run.slug, run.run_id)
        for run in list_runs(workspace, wanted.slug)
        if run.comparable == wanted.comparable and not workspace.run(run.slug, run.run_id).ensemble.is_file()
    ]
    return prepare_again(workspace, (trained or list(runs))[0], wanted)


def _processed(prepared: Prepared, run: RunPaths, oof: Predictions) -> Numbers:
    """As they are submitted, each fold's rows by what was fitted on the others."""
    if oof.fold is None or oof.rows is None or read_postprocess(run) is None:
        return oof.values
    problem = Problem.of(prepared, load_config(run.config).postprocess)
    found = nested(problem, oof.rows, oof.fold, oof.values)
    return oof.values if found is None else found.values


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

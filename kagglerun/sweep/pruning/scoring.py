"""From a run's competition to how two of its runs are compared."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kagglerun.config.card import Card
from kagglerun.hooks import CompetitionHooks
from kagglerun.metrics import losses_of_rows, score_rows
from kagglerun.metrics.metric import Array, Metric
from kagglerun.sweep.pruning.paired import PairedFold, Scoring
from kagglerun.sweep.pruning.units import group_units, time_units

if TYPE_CHECKING:
    import pandas as pd

    from kagglerun.experiment.predictions import Predictions
    from kagglerun.experiment.prepare import Prepared

_BY_GROUP = ("group", "stratified_group")


def scoring_of_run(prepared: Prepared) -> Scoring:
    """How the runs of a competition are compared: by its metric, with the units of its folds.

    Args:
        prepared: any of the runs; both must have the same data and metric.
    """
    card, table = prepared.card, prepared.data.train
    units, scheme = None, prepared.config.cv.scheme
    if scheme in _BY_GROUP and card.group is not None:
        units = group_units(table[card.group].to_numpy())
    elif scheme == "time" and card.time is not None:
        units = time_units(table[card.time].to_numpy(), prepared.folds)
    plain = scoring_of(prepared.metric, card, prepared.data.targets, table, units)
    if type(prepared.hooks).cells is not CompetitionHooks.cells or card.submission_layout == "label_list":
        # What is scored is made of all outputs of a row by rules of its own; the losses do not know them.
        return replace(plain, score=prepared.score, losses=lambda _rows, _predictions: None, positives=None)
    return replace(plain, score=prepared.score)


def scoring_of(
    metric: Metric, card: Card, targets: Array, table: pd.DataFrame | None = None, units: Array | None = None
) -> Scoring:
    """How predictions for training rows are scored by a card's metric.

    Args:
        metric: the card's metric.
        card: tells task, classes and the metric's parameters.
        targets: of all training rows: (n,) int64 class indices, or (n, n_targets) float64.
        table: the training table, which row parameters name columns of.
        units: see `Scoring.units`.
    """

    def inside(rows: Array) -> pd.DataFrame | None:
        return None if table is None else table.iloc[rows]

    def score(rows: Array, predictions: Array) -> float:
        return score_rows(metric, card, targets[rows], predictions, inside(rows))

    def losses(rows: Array, predictions: Array) -> Array | None:
        return losses_of_rows(metric, card, targets[rows], predictions, inside(rows))

    positives = targets.reshape(-1).astype(bool) if metric.name == "auc" else None
    return Scoring(score, losses, metric.greater_is_better, positives, units)


def paired_fold(candidate: Predictions, rival: Predictions) -> PairedFold | None:
    """The rows of a fold that a rival has predicted too.

    Args:
        candidate: out-of-fold predictions of one fold.
        rival: out-of-fold predictions of any folds, of the same split or another one.

    Returns:
        None where there is no shared row.
    """
    assert candidate.rows is not None and rival.rows is not None, "out-of-fold predictions know their rows"
    rows, own, other = np.intersect1d(candidate.rows, rival.rows, return_indices=True)
    return PairedFold(rows, candidate.values[own], rival.values[other]) if len(rows) else None

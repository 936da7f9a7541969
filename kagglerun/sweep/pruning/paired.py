"""How much better one model is than another on the same rows, and how sure that is.

    values that decompose (accuracy, log loss, squared errors)   paired losses of the rows
    AUC                                                          DeLong
    everything else (kappa, F1, a metric of the user's own)      paired bootstrap

Rows that belong together (a group of grouped folds, neighbours in time) count as one unit throughout.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kagglerun.errors import DataError
from kagglerun.metrics.metric import Array

if TYPE_CHECKING:
    from kagglerun.sweep.pruning.known_runs import Background

MOST_ROWS_RESAMPLED = 100_000
"""With more rows a metric that has an influence function is compared by it: there it is as good as the bootstrap."""


@dataclass(frozen=True)
class Scoring:
    """How predictions for rows of the training table are scored.

    Attributes:
        score: (rows, predictions) to the metric; rows (m,) int64, predictions (m, n_outputs) float64.
        losses: (rows, predictions) to the loss of each row, (m,), lower is better, or None.
        greater_is_better: direction of the metric.
        positives: (n,) bool truth of every training row where the metric is the AUC, else None.
        units: (n,) int64, equal for training rows that are not independent of each other; None: all are.
    """

    score: Callable[[Array, Array], float]
    losses: Callable[[Array, Array], Array | None]
    greater_is_better: bool
    positives: Array | None = None
    units: Array | None = None


@dataclass(frozen=True)
class PairedFold:
    """Out-of-fold predictions of two models for the same rows.

    Attributes:
        rows: (m,) int64 positions in the training table.
        candidate: (m, n_outputs) float64.
        rival: (m, n_outputs) float64.
    """

    rows: Array
    candidate: Array
    rival: Array


@dataclass(frozen=True)
class PairedDifference:
    """How much better the candidate is.

    Attributes:
        difference: over all rows; positive when the candidate is better. In units of the metric, or of the rows' loss
            where that is not the metric (squared errors for RMSE).
        variance: of the difference, as far as it comes from the choice of the rows.
        fold_differences: (k,) each fold's own.
        fold_variances: (k,) theirs, as far as they come from the choice of the rows.
        n_units: independent units less one a fold, at least 1.
    """

    difference: float
    variance: float
    fold_differences: Array
    fold_variances: Array
    n_units: int

    @property
    def dispersion(self) -> float:
        """How much more the folds differ than their rows explain (Birge 1932); 1 where nothing can be said."""
        precision = 1 / np.where(self.fold_variances > 0, self.fold_variances, np.inf)
        if len(precision) == 1 or precision.sum() == 0:
            return 1.0
        mean = float(self.fold_differences @ precision / precision.sum())
        return float(precision @ (self.fold_differences - mean) ** 2) / (len(precision) - 1)


@dataclass(frozen=True)
class PooledFolds:
    """The rows of several folds one after another.

    Attributes:
        rows: (m,) int64 positions in the training table.
        candidate: (m, n_outputs) float64.
        rival: (m, n_outputs) float64.
        fold: (m,) int64, 0 to k-1.
        unit: (m,) int64 from 0; a unit lies in one fold.
    """

    rows: Array
    candidate: Array
    rival: Array
    fold: Array
    unit: Array

    @property
    def fold_rows(self) -> Array:
        """(k,) number of rows of each fold."""
        return np.bincount(self.fold)

    @property
    def units_of_folds(self) -> Array:
        """(k,) number of units of each fold."""
        _, first = np.unique(self.unit, return_index=True)
        return np.bincount(self.fold[first])

    @property
    def free_units(self) -> int:
        """Units less one a fold, at least 1."""
        return max(1, int((self.units_of_folds - 1).sum()))

    def shared_out(self, variance: float) -> Array:
        """(k,) variance of each fold's own mean, where the mean of all rows has this one."""
        return np.asarray(variance * len(self.rows) / self.fold_rows, dtype=np.float64)


def pool(folds: Sequence[PairedFold], units: Array | None) -> PooledFolds:
    """Put folds together; a unit that has rows in several folds counts as one in each."""
    rows = np.concatenate([fold.rows for fold in folds])
    fold = np.repeat(np.arange(len(folds)), [len(each.rows) for each in folds])
    named = np.arange(len(rows)) if units is None else np.unique(units[rows], return_inverse=True)[1].reshape(-1)
    unit = np.unique(fold * (int(named.max()) + 1) + named, return_inverse=True)[1].reshape(-1)
    candidate, rival = (np.concatenate(each) for each in zip(*((f.candidate, f.rival) for f in folds), strict=True))
    return PooledFolds(rows, candidate, rival, fold, unit)


def paired_difference(
    scoring: Scoring, folds: Sequence[PairedFold], seed: int, background: Background | None = None
) -> PairedDifference | None:
    """Compare two models on the rows of all these folds.

    Args:
        scoring: how they are scored.
        folds: their predictions.
        seed: of the bootstrap.
        background: other runs, which sharpen the comparison.

    Returns:
        None where the metric is not defined on these rows, e.g. the AUC of one class.
    """
    pooled = pool(folds, scoring.units)
    try:
        found = _plain_difference(scoring, pooled, seed)
        return found if found is None or background is None else background.sharpen(found, pooled)
    except DataError:
        return None


def _plain_difference(scoring: Scoring, pooled: PooledFolds, seed: int) -> PairedDifference | None:
    from kagglerun.sweep.pruning.bootstrap import bootstrap_difference
    from kagglerun.sweep.pruning.delong import delong_difference

    if scoring.positives is not None:
        return delong_difference(scoring.positives[pooled.rows], pooled)
    better = _loss_differences(scoring, pooled)
    return bootstrap_difference(scoring, pooled, seed) if better is None else difference_of_rows(better, pooled)


def difference_of_rows(better: Array, pooled: PooledFolds) -> PairedDifference:
    """The mean over rows, with the variance of units within folds.

    Args:
        better: (m,) how much better the candidate is on each row.
        pooled: where the rows lie.
    """
    means = np.bincount(pooled.fold, weights=better) / pooled.fold_rows
    variance = unit_variance(better - means[pooled.fold], pooled)
    return PairedDifference(float(better.mean()), variance, means, pooled.shared_out(variance), pooled.free_units)


def unit_variance(residuals: Array, pooled: PooledFolds) -> float:
    """Variance of the mean of rows whose units are independent; residuals (m,) have mean 0 in each fold."""
    sums = np.bincount(pooled.unit, weights=residuals)
    _, first = np.unique(pooled.unit, return_index=True)
    fold_of_unit = pooled.fold[first]
    counts = pooled.units_of_folds[fold_of_unit]
    corrected = sums**2 * counts / np.maximum(counts - 1, 1)
    return float(corrected.sum()) / len(residuals) ** 2


def _loss_differences(scoring: Scoring, pooled: PooledFolds) -> Array | None:
    """(m,) rival's loss less the candidate's; None where the losses of rows depend on which other rows there are.

    Such losses are influence functions: a first-order approximation, used where there are rows enough.
    """
    losses = [scoring.losses(pooled.rows, values) for values in (pooled.candidate, pooled.rival)]
    if losses[0] is None or losses[1] is None:
        return None
    if len(pooled.rows) <= MOST_ROWS_RESAMPLED and not _is_of_rows_alone(scoring, pooled, losses[0]):
        return None
    return losses[1] - losses[0]


def _is_of_rows_alone(scoring: Scoring, pooled: PooledFolds, losses: Array) -> bool:
    half = slice(0, len(losses), 2)
    try:
        again = scoring.losses(pooled.rows[half], pooled.candidate[half])
    except DataError:
        return False
    return again is not None and bool(np.allclose(again, losses[half], rtol=1e-9, atol=1e-12))

"""Difference of two AUCs on the same rows, with DeLong's variance.

DeLong, DeLong and Clarke-Pearson (1988), in the form by ranks of Sun and Xu (2014); for rows in units, Obuchowski
(1997): the same components, summed within each unit first.
"""

from __future__ import annotations

import numpy as np

from kagglerun.errors import DataError
from kagglerun.metrics.arrays import average_ranks
from kagglerun.metrics.metric import Array
from kagglerun.sweep.pruning.paired import PairedDifference, PooledFolds


def delong_difference(positive: Array, pooled: PooledFolds) -> PairedDifference:
    """Compare two models by the AUC over all rows.

    Args:
        positive: (m,) bool truths.
        pooled: predictions, (m, 1) each.

    Raises:
        DataError: all rows are of one class.
    """
    placements = _placements(positive, pooled.candidate[:, 0]) - _placements(positive, pooled.rival[:, 0])
    difference = float(placements[positive].mean())
    n_of_class = np.where(positive, positive.sum(), (~positive).sum())
    influence = (placements - difference) / n_of_class  # they sum to 0 within each class
    sums = np.bincount(pooled.unit, weights=influence)
    if len(sums) == len(influence):
        variance = float(np.sum(influence**2 * n_of_class / np.maximum(n_of_class - 1, 1)))
    else:
        variance = float(np.sum(sums**2)) * len(sums) / max(1, len(sums) - 1)
    of_folds = difference + np.bincount(pooled.fold, weights=influence) * len(influence) / pooled.fold_rows
    return PairedDifference(difference, variance, of_folds, pooled.shared_out(variance), pooled.free_units)


def _placements(positive: Array, scores: Array) -> Array:
    """(m,) for a positive row the share of negatives below it, for a negative one that of positives above it."""
    if positive.all() or not positive.any():
        raise DataError("AUC is not defined: all rows are of one class")
    ranks = average_ranks(scores)
    found = np.empty(len(scores), dtype=np.float64)
    found[positive] = (ranks[positive] - average_ranks(scores[positive])) / (~positive).sum()
    found[~positive] = 1.0 - (ranks[~positive] - average_ranks(scores[~positive])) / positive.sum()
    return found

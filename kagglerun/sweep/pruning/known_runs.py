"""What complete runs tell of a new one, besides the best of them as its rival.

They sharpen the comparison: where a candidate's rows are easier or harder for all runs alike, that is no merit or
fault of its own. Its differences are regressed on those of the known runs, whose means over all rows are known: the
regression estimator of survey sampling (Cochran 1977, chapter 7), or control variates. And they show how large the
noise of training is: each of them in turn plays the candidate, over all folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from kagglerun.errors import DataError
from kagglerun.metrics.metric import Array
from kagglerun.sweep.pruning.paired import (
    PairedDifference,
    PairedFold,
    PooledFolds,
    Scoring,
    difference_of_rows,
    pool,
)

if TYPE_CHECKING:
    from kagglerun.experiment.predictions import Predictions

MOST_RUNS = 8
"""More of them explain little more, and each costs a pass over the rows."""
_UNITS_PER_RUN = 20
_RIDGE = 1e-3  # of the mean square: runs with almost equal predictions do not upset the regression


@dataclass(frozen=True)
class KnownRuns:
    """Out-of-fold predictions of complete runs for the same rows, in ascending order of the rows.

    Attributes:
        rows: (n,) int64 positions in the training table, ascending.
        fold: (n,) int64, 0 to k-1.
        rival: (n, n_outputs) float64.
        others: (n, n_outputs) float64 each, the best first.
    """

    rows: Array
    fold: Array
    rival: Array
    others: tuple[Array, ...]


def known_runs(rival: Predictions, others: Sequence[Predictions]) -> KnownRuns:
    """Put complete runs side by side.

    Args:
        rival: out-of-fold predictions of the run that candidates are compared with.
        others: those of further runs, the best first; runs over other rows are left out, and those beyond `MOST_RUNS`.
    """
    rows, fold, values = _sorted(rival)
    sides = [_sorted(other) for other in others[:MOST_RUNS]]
    same = tuple(side[2] for side in sides if np.array_equal(side[0], rows) and side[2].shape == values.shape)
    return KnownRuns(rows, np.unique(fold, return_inverse=True)[1].reshape(-1), values, same)


def _sorted(predictions: Predictions) -> tuple[Array, Array, Array]:
    assert predictions.rows is not None and predictions.fold is not None, "these are out-of-fold predictions"
    order = np.argsort(predictions.rows, kind="stable")
    return predictions.rows[order], predictions.fold[order], predictions.values[order]


class Background:
    """The known runs' differences from the rival, over all rows.

    Args:
        scoring: how predictions are scored; the metric must have losses of rows, or influence functions.
        known: the runs.
    """

    def __init__(self, scoring: Scoring, known: KnownRuns) -> None:
        self._scoring, self._known = scoring, known
        folds = [np.flatnonzero(known.fold == fold) for fold in range(int(known.fold.max()) + 1)]
        empty = [PairedFold(known.rows[at], known.rival[at], known.rival[at]) for at in folds]
        self._pooled = pool(empty, scoring.units)
        self._runs = min(len(known.others), int(self._pooled.units_of_folds.min()) // _UNITS_PER_RUN)
        self._better = self._differences(np.concatenate(folds), known.others)  # (runs, n), in the order of the folds

    @property
    def n_folds(self) -> int:
        """Folds of the known runs."""
        return len(self._pooled.fold_rows)

    def dispersions(self) -> list[float]:
        """The dispersion of each run's folds, as if it were the candidate and the other runs the known ones."""
        found = []
        for run in range(len(self._better)):
            others = np.delete(self._better, run, axis=0)[: self._runs]
            residuals = self._better[run] - _slopes(self._better[run], others, self._pooled) @ others
            found.append(difference_of_rows(residuals, self._pooled).dispersion)
        return found

    def sharpen(self, found: PairedDifference, folds: PooledFolds) -> PairedDifference:
        """The difference as it would be over all the known rows, with the variance that remains.

        Args:
            found: the candidate against the rival on the folds that it has.
            folds: their rows and predictions.
        """
        at = np.searchsorted(self._known.rows, folds.rows)
        runs = self._runs
        inside = at < len(self._known.rows)
        if runs == 0 or not inside.all() or not np.array_equal(self._known.rows[at], folds.rows):
            return found
        better = self._candidate(folds)
        others = self._differences(at, self._known.others[:runs])
        slopes = _slopes(better, others, folds)
        residuals = better - slopes @ others
        before, after = difference_of_rows(better, folds), difference_of_rows(residuals, folds)
        if before.variance <= 0:
            return found
        left = after.variance / before.variance * folds.free_units / max(1, folds.free_units - runs)
        over_all = slopes @ self._better[:runs]
        difference = found.difference + float(over_all.mean() - (slopes @ others).mean())
        return replace(
            found,
            difference=difference,
            variance=left * found.variance + difference_of_rows(over_all, self._pooled).variance,
            fold_differences=after.fold_differences,
            fold_variances=left * found.fold_variances,
            n_units=max(1, found.n_units - runs),
        )

    def _candidate(self, folds: PooledFolds) -> Array:
        rival, candidate = (self._losses(folds.rows, values) for values in (folds.rival, folds.candidate))
        return rival - candidate

    def _differences(self, at: Array, others: Sequence[Array]) -> Array:
        """(runs, m) how much better than the rival each run is on these of the known rows."""
        rival = self._losses(self._known.rows[at], self._known.rival[at])
        found = [rival - self._losses(self._known.rows[at], values[at]) for values in others]
        return np.stack(found) if found else np.zeros((0, len(at)))

    def _losses(self, rows: Array, predictions: Array) -> Array:
        losses = self._scoring.losses(rows, predictions)
        if losses is None:
            raise DataError("these rows have no losses")
        return losses


def _slopes(better: Array, others: Array, folds: PooledFolds) -> Array:
    """(runs,) coefficients of the regression, within folds, of a candidate's differences on the known runs'."""
    centred = np.stack([_within(each, folds) for each in (better, *others)])
    products = centred @ centred.T
    ridge = _RIDGE * np.trace(products[1:, 1:]) / max(1, len(others)) + np.finfo(np.float64).tiny
    found = np.linalg.solve(products[1:, 1:] + ridge * np.eye(len(others)), products[1:, 0])
    return np.asarray(found, dtype=np.float64)


def _within(values: Array, folds: PooledFolds) -> Array:
    """Values less their fold's mean."""
    return np.asarray(values - (np.bincount(folds.fold, weights=values) / folds.fold_rows)[folds.fold])

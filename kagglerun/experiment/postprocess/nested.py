"""The honest score of post-processed predictions: each fold's rows by what was fitted on the others.

A threshold that is fitted and judged on the same rows looks better than it is (Varma and Simon 2006 for any choice
that is made by a score). What goes with the test predictions is fitted on all rows, which is at least as good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kagglerun.experiment.postprocess.fit import Problem, fit
from kagglerun.experiment.postprocess.stored import Postprocess

_PARTS = 5
"""Parts that the rows of a run with one fold are split into."""


@dataclass(frozen=True)
class Nested:
    """Predictions after post-processing, and what they score.

    Attributes:
        postprocess: fitted on all rows; for the test rows.
        values: float64 (n, k), each row mapped by what was fitted on the other folds.
        score: of `values`.
        fold_scores: of each fold's rows in `values`.
        raw_score: of the predictions as they were.
        raw_fold_scores: the same of each fold.
    """

    postprocess: Postprocess
    values: NDArray[np.float64]
    score: float
    fold_scores: tuple[float, ...]
    raw_score: float
    raw_fold_scores: tuple[float, ...]


def nested(
    problem: Problem,
    rows: NDArray[np.int64],
    folds: NDArray[np.int64],
    values: NDArray[np.float64],
    order: Sequence[int] | None = None,
) -> Nested | None:
    """Fit and judge post-processing.

    Args:
        problem: what is fitted; `Problem.of(prepared)`.
        rows: int64 (n,), positions in the training table.
        folds: int64 (n,), the fold that each was validated in.
        values: float64 (n, k), out-of-fold predictions for them.
        order: the folds in the order of the scores; ascending by default.

    Returns:
        None where the predictions stay as they are.

    Raises:
        DataError: the metric cannot score them.
    """
    if problem.changes_nothing:
        return None
    mapped = np.array(values, dtype=np.float64)
    parts = _parts(folds)
    for part in np.unique(parts):
        judged = parts == part
        mapped[judged] = fit(problem, rows[~judged], values[~judged]).apply(values[judged])
    chosen = list(order) if order is not None else [int(fold) for fold in np.unique(folds)]
    masks = [folds == fold for fold in chosen]
    return Nested(
        postprocess=fit(problem, rows, values),
        values=mapped,
        score=problem.score(rows, mapped),
        fold_scores=tuple(problem.score(rows[mask], mapped[mask]) for mask in masks),
        raw_score=problem.score(rows, values),
        raw_fold_scores=tuple(problem.score(rows[mask], values[mask]) for mask in masks),
    )


def _parts(folds: NDArray[np.int64]) -> NDArray[np.int64]:
    """The folds; of one alone stretches of neighbouring rows, which seldom share a group or a moment with others."""
    if len(np.unique(folds)) > 1:
        return folds
    return np.asarray(np.arange(len(folds)) * _PARTS // len(folds), dtype=np.int64)

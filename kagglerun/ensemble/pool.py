"""The runs that an ensemble is chosen from: their out-of-fold predictions, row by row the same training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kagglerun.config.card import Task
from kagglerun.ensemble.blend import Values
from kagglerun.ensemble.judge import Judge, Positions

_MOST_BLOCKS = 5
LEAST_BLOCKS_FOR_CHOICE = 3
"""With fewer, nothing is left to choose a method on when one is judged and one is fitted on."""


@dataclass(frozen=True)
class Pool:
    """Out-of-fold predictions of comparable runs.

    Attributes:
        oof: run id to its predictions, float64 (n, k).
        folds: fold in which each row was validated, int64 (n,).
        fold_scores: run id to fold to its score there.
        judge: scores predictions.
        top: at most so many runs take part in one fit: the best on the rows that it is fitted on.
        seed: what is drawn at random follows from it.
    """

    oof: Mapping[str, Values]
    folds: NDArray[np.int64]
    fold_scores: Mapping[str, Mapping[int, float]]
    judge: Judge
    top: int
    seed: int

    @property
    def task(self) -> Task:
        """What is predicted."""
        return self.judge.prepared.input.task

    @property
    def n_outputs(self) -> int:
        """Columns of the predictions."""
        return int(next(iter(self.oof.values())).shape[1])

    @cached_property
    def fold_numbers(self) -> tuple[int, ...]:
        """The folds that there are, ascending."""
        return tuple(map(int, np.unique(self.folds)))

    @cached_property
    def everything(self) -> Positions:
        """All rows."""
        return np.arange(len(self.folds))

    @cached_property
    def blocks(self) -> tuple[Positions, ...]:
        """The rows in at most five parts of whole folds: what is fitted on some is judged on another."""
        parts = np.array_split(np.asarray(self.fold_numbers), min(_MOST_BLOCKS, len(self.fold_numbers)))
        return tuple(np.flatnonzero(np.isin(self.folds, part)) for part in parts)

    def rows_without(self, blocks: frozenset[int]) -> Positions:
        """The rows of all other blocks, ascending."""
        kept = [rows for index, rows in enumerate(self.blocks) if index not in blocks]
        return np.sort(np.concatenate(kept))

    def candidates(self, rows: Positions, without: str | None = None) -> list[str]:
        """The runs that a fit on these rows may use, the best first: chosen by the scores of these rows' folds alone.

        Args:
            rows: the rows, whole folds.
            without: a run that may not take part.
        """
        numbers, counts = np.unique(self.folds[rows], return_counts=True)
        sign = -1.0 if self.judge.greater_is_better else 1.0

        def order(run: str) -> tuple[float, str]:
            scores = [self.fold_scores[run][int(fold)] for fold in numbers]
            mean = sign * float(np.average(scores, weights=counts))
            return (mean if np.isfinite(mean) else np.inf), run

        return sorted((run for run in self.oof if run != without), key=order)[: self.top]

    def stacked(self, runs: Sequence[str], rows: Positions) -> Values:
        """Predictions of some runs for some rows, (runs, rows, k)."""
        return np.stack([self.oof[run][rows] for run in runs])

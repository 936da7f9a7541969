"""What each member is worth, and how sure the whole is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kagglerun.ensemble.blend import Values
from kagglerun.ensemble.judge import Judge
from kagglerun.ensemble.methods import Method
from kagglerun.ensemble.nesting import Fits
from kagglerun.ensemble.pool import Pool
from kagglerun.errors import DataError
from kagglerun.experiment.checks import writes_cells
from kagglerun.randomness import generator

CONFIDENCE_WIDTH = 1.96
"""Standard errors on either side of a 95 % interval."""
_MOST_MEMBERS = 16
_REPEATS = 200
_MOST_ROWS = 5000


@dataclass(frozen=True)
class Gain:
    """What a member adds.

    Attributes:
        run: the member.
        gain: by how much the honest score gets worse without it; below zero it gets better.
        error: standard error of that, from its spread over the folds; None with one fold.
    """

    run: str
    gain: float
    error: float | None


@dataclass(frozen=True)
class Sureness:
    """Bootstrap over the rows (or groups of rows).

    Attributes:
        error: standard error of the score.
        error_over: standard error of its difference to the score of other predictions for the same rows.
    """

    error: float
    error_over: float


def gains(fits: Fits, method: Method, runs: Sequence[str]) -> list[Gain]:
    """The gain of each of some members: the ensemble is fitted again without it, nested as before.

    Args:
        fits: those of the ensemble.
        method: its method.
        runs: the members, the heaviest first; at most the first 16 are looked at.
    """
    pool = fits.pool
    whole = fits.finished(method)
    score, scores = pool.judge.score(pool.everything, whole), by_fold(pool, whole)
    found = []
    for run in runs[:_MOST_MEMBERS] if len(pool.oof) > 1 else ():
        less = fits.finished(method, without=run)
        gain = pool.judge.gain(score, pool.judge.score(pool.everything, less))
        differences = scores - by_fold(pool, less)
        error = float(differences.std(ddof=1) / np.sqrt(len(differences))) if len(differences) > 1 else None
        found.append(Gain(run, float(gain), error))
    return found


def by_fold(pool: Pool, values: Values) -> NDArray[np.float64]:
    """Score of predictions in each fold, (folds,)."""
    rows = [np.flatnonzero(pool.folds == fold) for fold in pool.fold_numbers]
    return np.asarray([pool.judge.score(each, values[each]) for each in rows], dtype=np.float64)


def sureness(judge: Judge, values: Values, other: Values, seed: int) -> Sureness:
    """How sure a score is, and its difference to another one.

    The bootstrap draws at most 5,000 of n rows and scales its spread by the square root of what it draws to n (the m
    out of n bootstrap: Bickel, Goetze, van Zwet 1997); rows of a group stay together. Where hooks write cells, which
    are matched by ids, no row is drawn twice: halves are, whose spread is the standard error of the whole.

    Args:
        judge: scores.
        values: predictions for all its rows, (n, k).
        other: the predictions that they are compared with.
        seed: the draws follow from it.
    """
    groups = _groups(judge)
    count = len(judge.rows) if groups is None else len(groups)
    once = writes_cells(judge.prepared.hooks)
    size = max(1, count // 2 if once else min(count, round(_MOST_ROWS * count / len(values))))
    scores = []
    for repeat in range(_REPEATS):
        numbers = generator(seed, "ensemble", "bootstrap", repeat)
        drawn = numbers.permutation(count)[:size] if once else numbers.integers(count, size=size)
        rows = drawn if groups is None else np.concatenate([groups[index] for index in drawn])
        try:
            scorer = judge.on(rows)
            scores.append((scorer(values[rows]), scorer(other[rows])))
        except DataError:
            continue  # a draw without a row of some class, which the metric cannot score
    if len(scores) < 2:
        return Sureness(float("nan"), float("nan"))
    table = np.asarray(scores)
    scale = 1.0 if once else np.sqrt(size / count)
    differences = table[:, 0] - table[:, 1]
    return Sureness(float(table[:, 0].std(ddof=1) * scale), float(differences.std(ddof=1) * scale))


def _groups(judge: Judge) -> list[NDArray[np.int64]] | None:
    """Positions of the rows of each group; None where rows are drawn one by one."""
    groups = judge.groups
    if groups is None:
        return None
    _, codes = np.unique(np.asarray(groups).astype(str), return_inverse=True)
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.cumsum(np.bincount(codes))[:-1])

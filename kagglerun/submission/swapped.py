"""Hints that columns, classes or rows are mixed up: against a finished run's predictions, or training shares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from kagglerun.config.card import Card, Task
from kagglerun.metrics import Metric, PredictionKind
from kagglerun.metrics.layout import class_order
from kagglerun.submission.findings import Finding, warning
from kagglerun.submission.likeness import numbers_of, rank_correlations
from kagglerun.submission.training_targets import TrainingTargets

_FEWEST_ROWS = 50
_MOST_COLUMNS = 50
_ROWS = 20_000
_GAIN = 0.3
"""How much better (in correlation, or share of rows) another assignment must fit."""
_INVERTED = -0.5
_UNRELATED = 0.3
"""Two models of one target agree more than this; a bound for the coefficient, not the coefficient."""
_ERRORS = 2.6
"""Standard errors of a coefficient (1 / sqrt(rows) where there is nothing) that its bound is away: 99 %."""
_SHARES_OFF = 0.3
"""Sum of differences between mean probabilities and training shares from which an assignment is doubted."""


def check_against_run(table: pd.DataFrame, reference: pd.DataFrame, card: Card, run_id: str) -> Iterator[Finding]:
    """Compare a file's predicted columns with those that a finished run would submit.

    Args:
        table: the file, every cell its text, in the rows of the sample submission.
        reference: what the run would submit for these rows.
        card: names the predicted columns.
        run_id: the run, for the message.
    """
    columns = [name for name in card.submission_columns if name in table and name in reference][:_MOST_COLUMNS]
    given, known = table[columns].iloc[:_ROWS], reference[columns].iloc[:_ROWS]
    if len(given) < _FEWEST_ROWS or not columns:
        return
    ours, theirs = _numbers(given), _numbers(known)
    labels = card.task in (Task.BINARY, Task.MULTICLASS) and len(columns) == 1 and known[columns[0]].nunique() <= 50
    if labels and (theirs is None or not _varies_finely(known[columns[0]])):
        yield from _labels_against(given[columns[0]], known[columns[0]], run_id)
    elif ours is not None and theirs is not None:
        yield from _numbers_against(columns, ours, theirs, run_id)


def check_shares(table: pd.DataFrame, card: Card, metric: Metric, training: TrainingTargets) -> Iterator[Finding]:
    """Compare the mean of each class's probability column with the class's share of the training rows.

    Args:
        table: the file, every cell its text.
        card: names columns and classes.
        metric: only one that takes probabilities is looked at.
        training: gives the shares.
    """
    columns = [name for name in card.submission_columns if name in table]
    shares = training.class_shares(card)
    one_each = len(columns) == len(card.submission_columns) == len(shares) > 1
    if metric.prediction is not PredictionKind.PROBABILITY or not one_each or len(table) < _FEWEST_ROWS:
        return
    values = _numbers(table[columns])
    if values is None:
        return
    wanted = np.asarray([shares[place] for place in class_order(card)])
    means = np.asarray([column.mean() for column in values])
    off = np.abs(means[:, None] - wanted[None, :])
    as_is, (rows, best) = float(np.trace(off)), linear_sum_assignment(off)
    if as_is >= _SHARES_OFF and float(off[rows, best].sum()) <= as_is / 4:
        first = int(np.flatnonzero(best != rows)[0])
        yield warning(
            f"the probabilities of {columns[first]!r} are {means[first]:.2f} on average, its share of the training "
            f"rows is {wanted[first]:.2f}; they would fit {columns[int(best[first])]!r}",
            "columns that were mixed up make every prediction another class's",
            "write the columns by name, not by position",
        )


def _numbers(table: pd.DataFrame) -> list[NDArray[np.float64]] | None:
    found = [numbers_of(table[name]) for name in table.columns]
    known = [values for values in found if values is not None]
    return known if len(known) == len(found) else None


def _varies_finely(column: pd.Series[str]) -> bool:
    """Whether a column holds numbers on a scale, not labels."""
    return column.nunique() > 2 and not column.map(str).str.fullmatch(r"-?\d+(\.0)?").all()


def _numbers_against(
    columns: Sequence[str], ours: list[NDArray[np.float64]], theirs: list[NDArray[np.float64]], run_id: str
) -> Iterator[Finding]:
    found = rank_correlations(ours, theirs)
    own = np.diag(found)
    rows, best = linear_sum_assignment(-found)
    better = [(int(at), int(to)) for at, to in zip(rows, best, strict=True) if found[at, to] - own[at] > _GAIN]
    if better:
        at, to = better[0]
        yield warning(
            f"{columns[at]!r} goes with {columns[to]!r} of the run {run_id} (rank correlation {found[at, to]:.2f}), "
            f"not with its {columns[at]!r} ({own[at]:.2f})",
            "columns that were mixed up make every prediction another class's or target's",
            "write the columns by name, not by position",
        )
        return
    for name, value, mine in zip(columns, own, ours, strict=True):
        if value < _INVERTED:
            yield warning(
                f"{name!r} runs against the run {run_id}'s (rank correlation {value:.2f})",
                "it may be the probability of the other class, or the wrong sign",
            )
        elif np.ptp(mine) > 0 and _nothing_in_common(float(value), len(mine)):
            yield _unrelated(name, f"rank correlation {value:.2f}", run_id)


def _labels_against(given: pd.Series[str], known: pd.Series[str], run_id: str) -> Iterator[Finding]:
    counts = pd.crosstab(given.map(str).to_numpy(), known.map(str).to_numpy())
    labels = sorted({*counts.index, *counts.columns})
    table = counts.reindex(index=labels, columns=labels, fill_value=0).to_numpy(np.float64) / len(given)
    same, (rows, best) = float(np.trace(table)), linear_sum_assignment(-table)
    chance = float(table.sum(axis=1) @ table.sum(axis=0))
    if float(table[rows, best].sum()) - same > _GAIN:
        moved = [at for at in rows if best[at] != at and table[at].sum() > 0]
        at = max(moved, key=lambda row: table[row].sum())
        yield warning(
            f"where the file says {labels[at]!r}, the run {run_id} says {labels[int(best[at])]!r}; "
            f"they agree for {same:.0%} of the rows",
            "classes that were mixed up are wrong nearly everywhere",
            "see in which order the model gives its classes",
        )
    elif 0 < chance < 1 and len(set(given)) > 1 and _nothing_in_common((same - chance) / (1 - chance), len(given)):
        yield _unrelated(str(given.name), f"they agree for {same:.0%} of the rows, {chance:.0%} by chance", run_id)


def _nothing_in_common(coefficient: float, rows: int) -> bool:
    """Whether a coefficient (of ranks, or Cohen's kappa) may be 0 and is surely small."""
    error = _ERRORS / rows**0.5
    return bool(abs(coefficient) < error and abs(coefficient) + error < _UNRELATED)


def _unrelated(name: str, measured: str, run_id: str) -> Finding:
    return warning(
        f"{name!r} has nothing in common with the run {run_id}'s ({measured})",
        "rows in another order than their ids look so: every prediction is then another row's",
        "merge predictions to the sample submission by id",
    )

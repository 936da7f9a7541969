"""The ways in which weights are found, and which of them fit a competition."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from kagglerun.config.card import Task
from kagglerun.ensemble.blend import Blend, Member, Space, Values, lift
from kagglerun.ensemble.hill import best_prefix, climb
from kagglerun.ensemble.judge import Positions, as_numbers
from kagglerun.ensemble.linear import Linear, fit_logistic, fit_ridge, fit_softmax
from kagglerun.ensemble.pool import Pool
from kagglerun.errors import ConfigError
from kagglerun.metrics import PredictionKind

_QUANTILES = 257
_MOST_SCORED = 60_000
"""Numbers (rows x columns) of which a search takes its scores: beyond, scores get slower and hardly surer."""
_MOST_FITTED = 1_000_000
"""Numbers a member of which a logistic regression is fitted; ridge needs sums alone and takes all rows."""
_AGREES = 1e-3
_COMPARES_LOGARITHMS = ("rmsle", "columnwise_rmsle", "weighted_rmsle")
_PROBABILITIES = (Task.BINARY, Task.MULTILABEL, Task.MULTICLASS)
_LEAST_WEIGHT = 1e-5


class Method(StrEnum):
    """How the weights are found."""

    MEAN = "mean"
    """Equal parts of the best few, as many as score best."""
    HILL = "hill"
    """A weighted mean by bagged hill climbing with replacement."""
    RANK = "rank"
    """The same, of ranks instead of values: for metrics that look at the order alone."""
    RIDGE = "ridge"
    """Least squares with weights that are not negative."""
    LOGISTIC = "logistic"
    """Logistic (several classes: softmax) regression on log-odds, with weights that are not negative."""


def available(pool: Pool) -> tuple[Method, ...]:
    """The methods that fit a competition, the simplest first."""
    return tuple(method for method in Method if why_not(pool, method) is None)


def require(pool: Pool, method: Method) -> None:
    """Check that a method fits.

    Raises:
        ConfigError: it does not; the message says why and lists those that do.
    """
    reason = why_not(pool, method)
    if reason is not None:
        fitting = ", ".join(available(pool))
        raise ConfigError(f"--method {method} does not fit here: {reason}", hint=f"--method auto, or one of: {fitting}")


def why_not(pool: Pool, method: Method) -> str | None:
    """Why a method does not fit; None where it does."""
    task, name = pool.task, pool.judge.prepared.metric.name
    if method is Method.RANK and not _sees_order_alone(pool):
        return f"{name} looks at more than the order of the predictions"
    if method is Method.RIDGE and not _truths_are_numbers(pool):
        return f"the targets of a {task} task are no columns of numbers as the predictions are"
    if method is Method.LOGISTIC and task not in _PROBABILITIES:
        return f"a {task} task has no probabilities"
    if method is Method.LOGISTIC and not _are_probabilities(pool):
        return "some runs' predictions are no probabilities"
    return None


def fit(pool: Pool, method: Method, rows: Positions, without: str | None = None) -> Blend:
    """Fit a method on some rows, the choice of the members included.

    Args:
        pool: what is chosen from.
        method: how.
        rows: whole folds.
        without: a run that may not take part.
    """
    runs = pool.candidates(rows, without)
    if method in (Method.RIDGE, Method.LOGISTIC):
        return _fit_linear(pool, method, runs, rows)
    space = Space.RANK if method is Method.RANK else Space.VALUE
    quantiles = {run: _quantiles(pool.oof[run][rows]) for run in runs} if space is Space.RANK else None
    scored = pool.judge.sampled(rows, max(2000, _MOST_SCORED // pool.n_outputs), pool.seed, "scored")
    stack = pool.stacked(runs, scored)
    if quantiles is not None:
        for index, run in enumerate(runs):
            stack[index] = _lifted(stack[index], space, quantiles[run])
    score, greater = pool.judge.search(scored)
    weights = best_prefix(stack, score, greater) if method is Method.MEAN else climb(stack, score, greater, pool.seed)
    table = np.repeat(weights[:, None], pool.n_outputs, axis=1)
    return _blend(pool, space, runs, Linear(table, np.zeros(pool.n_outputs)), quantiles)


def _fit_linear(pool: Pool, method: Method, runs: Sequence[str], rows: Positions) -> Blend:
    classes = pool.task is Task.MULTICLASS
    if method is Method.RIDGE:
        space = Space.LOG1P if pool.judge.prepared.metric.name in _COMPARES_LOGARITHMS else Space.VALUE
        members = [_lifted(pool.oof[run][rows], space) for run in runs]
        truths = _lifted(_truths(pool, rows), space)
        fitted = fit_ridge(members, truths, pool.folds[rows], shared=classes, intercept=not classes)
        return _blend(pool, space, runs, fitted)
    space = Space.LOG if classes else Space.LOGIT
    rows = pool.judge.sampled(rows, max(2000, _MOST_FITTED // pool.n_outputs), pool.seed, "fitted")
    members = [_lifted(pool.oof[run][rows], space) for run in runs]
    if classes:
        return _blend(pool, space, runs, fit_softmax(members, np.asarray(pool.judge.targets[rows], dtype=np.int64)))
    return _blend(pool, space, runs, fit_logistic(members, _truths(pool, rows)))


def _blend(
    pool: Pool,
    space: Space,
    runs: Sequence[str],
    fitted: Linear,
    quantiles: dict[str, NDArray[np.float64]] | None = None,
) -> Blend:
    """The blend of the members that weigh something, the heaviest first; the first run where none does."""
    heaviest = np.abs(fitted.weights).max(axis=1)
    order = [int(index) for index in np.argsort(-fitted.weights.mean(axis=1), kind="stable")]
    kept = [index for index in order if heaviest[index] > _LEAST_WEIGHT] or [0]
    parts = tuple(
        Member(
            runs[index],
            tuple(map(float, fitted.weights[index])),
            None if quantiles is None else tuple(tuple(map(float, column)) for column in quantiles[runs[index]]),
        )
        for index in kept
    )
    probabilities = pool.task in _PROBABILITIES and space is Space.VALUE and _are_probabilities(pool)
    return Blend(
        space,
        parts,
        tuple(map(float, fitted.intercept)),
        lowest=0.0 if probabilities else None,
        highest=1.0 if probabilities and pool.task is not Task.MULTICLASS else None,
        sums_to_one=probabilities and pool.task is Task.MULTICLASS,
    )


def _quantiles(values: Values) -> NDArray[np.float64]:
    """Evenly spaced quantiles of each column, (k, 257)."""
    return np.asarray(np.quantile(values, np.linspace(0, 1, _QUANTILES), axis=0).T, dtype=np.float64)


def _lifted(values: Values, space: Space, quantiles: NDArray[np.float64] | None = None) -> Values:
    columns = [
        lift(values[:, column], space, None if quantiles is None else quantiles[column])
        for column in range(values.shape[1])
    ]
    return np.stack(columns, axis=1)


def _truths(pool: Pool, rows: Positions) -> Values:
    return as_numbers(pool.judge.targets[rows], pool.task, pool.n_outputs)


def _truths_are_numbers(pool: Pool) -> bool:
    if pool.task is Task.MULTICLASS:
        return True
    targets = pool.judge.targets
    columns = 1 if targets.ndim == 1 else targets.shape[1]
    return pool.task in (*_PROBABILITIES, Task.REGRESSION) and columns == pool.n_outputs


def _are_probabilities(pool: Pool) -> bool:
    return all(float(values.min()) >= 0 and float(values.max()) <= 1 for values in pool.oof.values())


def _sees_order_alone(pool: Pool) -> bool:
    """Whether ranks of a run's predictions score as the predictions do."""
    metric = pool.judge.prepared.metric
    if metric.prediction not in (PredictionKind.PROBABILITY, PredictionKind.VALUE):
        return False
    run = next(iter(pool.oof))
    rows = pool.judge.sampled(pool.everything, 20_000, pool.seed, "order")
    values = pool.oof[run][rows]
    ranks = np.argsort(np.argsort(values, axis=0, kind="stable"), axis=0, kind="stable")
    score = pool.judge.on(rows)
    given, ranked = score(values), score(_average_ranks(values, ranks))
    return bool(np.isfinite(given) and abs(given - ranked) <= _AGREES * max(abs(given), 1e-12))


def _average_ranks(values: Values, ranks: NDArray[np.int64]) -> Values:
    """Ranks from 0 to 1; equal values get one rank."""
    table = np.empty(values.shape)
    for column in range(values.shape[1]):
        _, inverse = np.unique(values[:, column], return_inverse=True)
        sums = np.bincount(inverse, weights=ranks[:, column])
        table[:, column] = (sums / np.bincount(inverse))[inverse]
    return table / max(len(values) - 1, 1)

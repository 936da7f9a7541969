"""Weights by fitting the targets: ridge for values, logistic regression for probabilities.

Weights are not negative, since all members predict the same, and are drawn towards equal parts instead of towards
zero: with many members that agree the data says little of how to share the weight among them (Breiman: Stacked
regressions, 1996, for the first; for the second the Bayesian reading of the penalty).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import minimize, nnls

from kagglerun.ensemble.blend import Values

_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
_PENALTY_UNCHOSEN = 0.1
"""Where there is one fold only, so that nothing tells which is best."""
_JITTER = 1e-9
_WEIGHT_SPREAD = 0.5
"""Standard deviation of a weight around equal parts, before the data speaks."""
_BIAS_SPREAD = 1.0
_DIGITS = 6
"""Weights are rounded, so that the last bits of sums, which differ between processors, do not stay in them."""

_Loss = Callable[[Values, Values], tuple[float, Values]]


@dataclass(frozen=True)
class Linear:
    """A fitted sum.

    Attributes:
        weights: one a member and column, (m, k).
        intercept: one a column, (k,).
    """

    weights: NDArray[np.float64]
    intercept: NDArray[np.float64]


@dataclass(frozen=True)
class _Moments:
    """Sums over some rows from which every ridge fit follows: the rows are read once."""

    n: float
    x: NDArray[np.float64]
    y: float
    xx: NDArray[np.float64]
    xy: NDArray[np.float64]
    yy: float

    def __add__(self, other: _Moments) -> _Moments:
        return _Moments(
            self.n + other.n,
            self.x + other.x,
            self.y + other.y,
            self.xx + other.xx,
            self.xy + other.xy,
            self.yy + other.yy,
        )

    def centred(self, mean_x: NDArray[np.float64], mean_y: float) -> _Moments:
        """The same sums around given means."""
        xx = self.xx - np.outer(self.x, mean_x) - np.outer(mean_x, self.x) + self.n * np.outer(mean_x, mean_x)
        xy = self.xy - self.x * mean_y - mean_x * self.y + self.n * mean_x * mean_y
        yy = self.yy - 2 * mean_y * self.y + self.n * mean_y**2
        return _Moments(self.n, self.x - self.n * mean_x, self.y - self.n * mean_y, xx, xy, yy)


def fit_ridge(
    members: Sequence[Values], truths: Values, folds: NDArray[np.int64], *, shared: bool, intercept: bool
) -> Linear:
    """Least squares with weights that are not negative, drawn towards equal parts.

    Args:
        members: predictions of each, (n, k).
        truths: (n, k).
        folds: fold of each row, (n,): the strength of the penalty is chosen between them.
        shared: one weight a member for all columns, else one a column.
        intercept: fit one a column.
    """
    k = truths.shape[1]
    numbers = np.unique(folds)
    by_column = [[_moments(members, truths, column, folds == fold) for fold in numbers] for column in range(k)]
    if shared:
        joined = [_sum([column[fold] for column in by_column]) for fold in range(len(numbers))]
        weights = _fit_moments(joined, intercept=False)[0]
        return Linear(_rounded(np.repeat(weights[:, None], k, axis=1)), np.zeros(k))
    fits = [_fit_moments(parts, intercept) for parts in by_column]
    return Linear(_rounded(np.stack([fit[0] for fit in fits], axis=1)), _rounded(np.asarray([fit[1] for fit in fits])))


def _moments(members: Sequence[Values], truths: Values, column: int, chosen: NDArray[np.bool_]) -> _Moments:
    x = np.stack([values[chosen, column] for values in members], axis=1)
    y = truths[chosen, column]
    return _Moments(float(len(y)), x.sum(axis=0), float(y.sum()), x.T @ x, x.T @ y, float(y @ y))


def _sum(parts: Sequence[_Moments]) -> _Moments:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _fit_moments(parts: Sequence[_Moments], intercept: bool) -> tuple[NDArray[np.float64], float]:
    """Weights and intercept; the penalty is the one that is best on the folds that were not fitted on."""
    whole = _sum(parts)
    mean_x = whole.x / whole.n if intercept else np.zeros_like(whole.x)
    mean_y = whole.y / whole.n if intercept else 0.0
    scale = max(abs(whole.yy / whole.n), 1e-300)
    parts = [part.centred(mean_x, mean_y) for part in parts]
    penalty = _PENALTY_UNCHOSEN
    if len(parts) > 1:
        errors = [_held_out_error(parts, each) / scale for each in _PENALTIES]
        # Of nearly equal ones the strongest: the weights stay closer to equal parts.
        least = min(errors)
        penalty = max(each for each, error in zip(_PENALTIES, errors, strict=True) if error <= least * (1 + 1e-6))
    weights = _solve(_sum(parts), penalty)
    return weights, float(mean_y - weights @ mean_x)


def _held_out_error(parts: Sequence[_Moments], penalty: float) -> float:
    total = 0.0
    for index, held in enumerate(parts):
        weights = _solve(_sum([part for other, part in enumerate(parts) if other != index]), penalty)
        total += float(weights @ held.xx @ weights - 2 * weights @ held.xy + held.yy)
    return total / sum(part.n for part in parts)


def _solve(moments: _Moments, penalty: float) -> NDArray[np.float64]:
    """argmin |y - Xw|^2 / n + penalty s^2 |w - 1/m|^2 for w >= 0, where s^2 is the mean square of a member."""
    m = len(moments.x)
    square = float(np.trace(moments.xx)) / (moments.n * m) or 1.0
    strength = (penalty + _JITTER) * square
    matrix = moments.xx / moments.n + strength * np.eye(m)
    side = moments.xy / moments.n + strength * np.full(m, 1.0 / m)
    upper = cholesky(matrix / square)
    weights, _ = nnls(upper, solve_triangular(upper, side / square, trans="T"), maxiter=100 * m)
    return np.asarray(weights, dtype=np.float64)


def fit_logistic(members: Sequence[Values], truths: Values) -> Linear:
    """Logistic regression of each column's truth on the members' log-odds, weights not negative.

    Args:
        members: log-odds by each, (n, k).
        truths: (n, k) of 0 and 1.
    """
    fits = []
    for column in range(truths.shape[1]):
        x = np.stack([values[:, column] for values in members], axis=0)[:, :, None]
        fits.append(_minimise(x, truths[:, column][:, None], _binary_loss))
    weights = np.stack([fit[0] for fit in fits], axis=1)
    return Linear(_rounded(weights), _rounded(np.concatenate([fit[1] for fit in fits])))


def fit_softmax(members: Sequence[Values], classes: NDArray[np.int64]) -> Linear:
    """Softmax regression on the members' log-probabilities: a weight a member, not negative, and a bias a class.

    Args:
        members: log-probabilities by each, (n, k).
        classes: (n,) true class indices.
    """
    x = np.stack(members, axis=0)
    truths = np.zeros(x.shape[1:])
    truths[np.arange(len(classes)), classes] = 1.0
    weights, biases = _minimise(x, truths, _softmax_loss)
    return Linear(_rounded(np.repeat(weights[:, None], x.shape[2], axis=1)), _rounded(biases - biases.mean()))


def _binary_loss(z: Values, truths: Values) -> tuple[float, Values]:
    """Sum of the log losses, and its slope at each z."""
    loss = np.logaddexp(0.0, z) - truths * z
    return float(loss.sum()), 1.0 / (1.0 + np.exp(-z)) - truths


def _softmax_loss(z: Values, truths: Values) -> tuple[float, Values]:
    shifted = z - z.max(axis=1, keepdims=True)
    sums = np.exp(shifted).sum(axis=1, keepdims=True)
    return float((np.log(sums)[:, 0] - (shifted * truths).sum(axis=1)).sum()), np.exp(shifted) / sums - truths


def _minimise(x: Values, truths: Values, loss: _Loss) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights (m,) and biases (k,) of the least penalised loss; x is (m, n, k)."""
    m, n, k = x.shape
    flat = x.reshape(m, n * k)

    def objective(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights, biases = parameters[:m], parameters[m:]
        value, slope = loss((weights @ flat).reshape(n, k) + biases, truths)
        off = weights - 1.0 / m
        value += 0.5 * float(off @ off) / _WEIGHT_SPREAD**2 + 0.5 * float(biases @ biases) / _BIAS_SPREAD**2
        to_weights = flat @ slope.reshape(-1) + off / _WEIGHT_SPREAD**2
        to_biases = slope.sum(axis=0) + biases / _BIAS_SPREAD**2
        return value / n, np.concatenate([to_weights, to_biases]) / n

    start = np.concatenate([np.full(m, 1.0 / m), np.zeros(k)])
    bounds = [(0.0, None)] * m + [(None, None)] * k
    options = {"maxiter": 500, "ftol": 1e-12, "gtol": 1e-9}
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return found.x[:m], found.x[m:]


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.round(values, _DIGITS) + 0.0, dtype=np.float64)

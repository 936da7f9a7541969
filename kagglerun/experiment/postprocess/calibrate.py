"""Probabilities that are as often right as they say, found on rows whose truth is known; judged by the log loss."""

from __future__ import annotations

import numpy as np

from kagglerun.experiment.postprocess.climb import Numbers
from kagglerun.experiment.postprocess.steps import Isotonic, Platt, Temperature, log_odds, sigmoid

_SLOWEST, _FASTEST = -3.0, 3.0
"""Logarithms of the temperatures that are tried: a twentieth to twenty."""
_TINY = 1e-15
_STEPS = 100


def fit_temperature(values: Numbers, truths: Numbers, exclusive: bool) -> Temperature:
    """The temperature with the least log loss.

    Args:
        values: (n, k) probabilities.
        truths: (n, k) of 0 and 1.
        exclusive: one column of each row is true.
    """
    from scipy.optimize import minimize_scalar

    def loss(logarithm: float) -> float:
        return _log_loss(truths, Temperature(float(np.exp(logarithm)), exclusive).apply(values), exclusive)

    found = minimize_scalar(loss, bounds=(_SLOWEST, _FASTEST), method="bounded", options={"xatol": 1e-6})
    return Temperature(float(np.exp(found.x)), exclusive)


def fit_platt(values: Numbers, truths: Numbers, exclusive: bool) -> Platt:
    """A line through each column's log odds, with the targets drawn in a little as Platt (1999) does.

    Arguments as for `fit_temperature`.
    """
    lines = [_line(log_odds(values[:, place]), truths[:, place]) for place in range(values.shape[1])]
    return Platt(tuple(slope for slope, _ in lines), tuple(intercept for _, intercept in lines), exclusive)


def fit_isotonic(values: Numbers, truths: Numbers, exclusive: bool) -> Isotonic:
    """The rising curve nearest to each column's truths (Zadrozny and Elkan 2002), never quite 0 or 1.

    Arguments as for `fit_temperature`.
    """
    from sklearn.isotonic import IsotonicRegression

    edge = 1.0 / (len(values) + 2)  # Laplace's rule: what was never seen in n rows is not impossible
    knots, heights = [], []
    for place in range(values.shape[1]):
        curve = IsotonicRegression(y_min=edge, y_max=1 - edge).fit(values[:, place], truths[:, place])
        knots.append(tuple(map(float, curve.X_thresholds_)))
        heights.append(tuple(map(float, curve.y_thresholds_)))
    return Isotonic(tuple(knots), tuple(heights), exclusive)


def _line(odds: Numbers, truths: Numbers) -> tuple[float, float]:
    """Slope, from 0 on, and intercept by Newton's method with halved steps (Lin, Lin and Weng 2007)."""
    positives = float(truths.sum())
    high, low = (positives + 1) / (positives + 2), 1 / (len(truths) - positives + 2)
    wanted = np.where(truths > 0, high, low)
    design = np.column_stack([odds, np.ones_like(odds)])
    found = np.array([1.0, 0.0])
    loss = _loss_of_line(design, wanted, found)
    for _ in range(_STEPS):
        given = sigmoid((design * found).sum(axis=1))
        slope = design.T @ (given - wanted)
        curvature = (design * (given * (1 - given))[:, None]).T @ design + 1e-12 * np.eye(2)
        step = np.linalg.solve(curvature, slope)
        size = 1.0
        while size > 1e-10 and _loss_of_line(design, wanted, found - size * step) > loss:
            size /= 2
        found = found - size * step
        after = _loss_of_line(design, wanted, found)
        if loss - after <= 1e-12 * max(1.0, abs(loss)):
            break
        loss = after
    if found[0] <= 0:
        return 0.0, float(np.log(wanted.mean() / (1 - wanted.mean())))  # the order of the rows says nothing
    return float(found[0]), float(found[1])


def _loss_of_line(design: Numbers, wanted: Numbers, line: Numbers) -> float:
    odds = (design * line).sum(axis=1)
    return float((np.logaddexp(0.0, odds) - wanted * odds).sum())


def _log_loss(truths: Numbers, given: Numbers, exclusive: bool) -> float:
    held = np.clip(given, _TINY, 1 - _TINY)
    own = truths * np.log(held)
    return -float((own if exclusive else own + (1 - truths) * np.log1p(-held)).mean())

"""Metrics as Kaggle computes them.

    metric = metrics.get("Area Under Receiver Operating Characteristic Curve")    # or "auc"
    metric(y_true, y_pred)
    metric.score_frames(submission, solution, ids=["PassengerId"])

Built-in metrics and a user's own enter by `register`.
"""

from __future__ import annotations

from kagglerun.errors import ConfigError, unknown_name
from kagglerun.metrics import classification, regression
from kagglerun.metrics.metric import ALL_TASKS, Metric, PredictionKind, decide
from kagglerun.registry import Registry

__all__ = ["ALL_TASKS", "Metric", "PredictionKind", "decide", "get", "is_known", "names", "register"]

_registry: Registry[Metric] = Registry("metric")
_by_any_name: dict[str, Metric] = {}


def register(metric: Metric) -> Metric:
    """Make a metric known under its own name and Kaggle's names for it.

    Raises:
        ConfigError: one of the names is taken.
    """
    keys = {_key(name) for name in (metric.name, *metric.kaggle_names)}
    taken = sorted(key for key in keys if key in _by_any_name)
    if taken:
        raise ConfigError(f"the metric {metric.name!r}: the name {taken[0]!r} is taken", hint="choose another name")
    _registry.add(metric.name, metric)
    _by_any_name.update(dict.fromkeys(keys, metric))
    return metric


def get(name: str) -> Metric:
    """The metric with this name: ours or one of Kaggle's, in any case.

    Raises:
        ConfigError: no metric has it; the message lists the known ones and the nearest. A name that hides a
            parameter (K, beta, weights) is never taken for a similar one.
    """
    if not is_known(name):
        raise unknown_name("metric", name, _registry.names(), hint="write a known name, or your own in hooks.py")
    return _by_any_name[_key(name)]


def is_known(name: str) -> bool:
    """Whether `get` would find the metric."""
    return _key(name) in _by_any_name


def names() -> list[str]:
    """Our names of all metrics, sorted."""
    return _registry.names()


def _key(name: str) -> str:
    return " ".join(name.split()).casefold()


for _metric in (*classification.METRICS, *regression.METRICS):
    register(_metric)

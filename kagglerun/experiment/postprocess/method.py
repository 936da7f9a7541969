"""Which post-processing a metric needs, and which ones fit a competition at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kagglerun import metrics
from kagglerun.config.card import Card, Task
from kagglerun.config.postprocess import PostprocessConfig, PostprocessMethod
from kagglerun.errors import ConfigError
from kagglerun.experiment.predictions import prediction_names
from kagglerun.metrics import ALL_TASKS, Metric, PredictionKind

_OF_CLASSES = frozenset({"f1_macro", "f_beta_macro", "mcc", "balanced_accuracy", "class_weighted_accuracy"})
_NEED_THRESHOLDS = {
    Task.BINARY: _OF_CLASSES | {"f1", "f_beta", "mean_utility"},
    Task.MULTICLASS: _OF_CLASSES,
    Task.MULTILABEL: frozenset(
        {"f1_micro", "f_beta_micro", "f1_macro", "f_beta_macro", "f1_samples", "f_beta_samples", "jaccard_samples"}
    ),
}
"""Metrics whose best decision is not the more probable label, even where probabilities are right."""
_CALIBRATES = ("temperature", "platt", "isotonic")
_YES_NO_OR_CLASSES = (Task.BINARY, Task.MULTICLASS, Task.MULTILABEL)
_MOST_LABELS = 50
"""Whole numbers from the least to the greatest true one, up to which values are cut into labels."""


def method_for(
    config: PostprocessConfig, card: Card, metric: Metric, targets: NDArray[np.int64] | NDArray[np.float64]
) -> PostprocessMethod:
    """The method that `auto` stands for here, else the config's own.

    Args:
        config: the section of the config.
        card: tells the task and classes.
        metric: what scores.
        targets: of the training rows.

    Raises:
        ConfigError: what the config asks for does not fit; see `require_fit`.
    """
    require_fit(config, card, metric, targets)
    if config.method != "auto":
        return config.method
    # A metric of the user's own is theirs to know.
    if metrics.registered().get(metric.name) is not metric or metric.prediction is not PredictionKind.LABEL:
        return "none"
    task = card.learnt_task
    if metric.ordinal and task is not Task.BINARY:
        return "cutoffs" if _why_no_cutoffs(card, metric, targets) is None else "none"
    needs = metric.ordinal or metric.name in _NEED_THRESHOLDS.get(task or Task.TEXT, frozenset())
    return "thresholds" if needs else "none"


def require_fit(
    config: PostprocessConfig, card: Card, metric: Metric, targets: NDArray[np.int64] | NDArray[np.float64]
) -> None:
    """Check that the config's post-processing makes sense for the competition; arguments as for `method_for`.

    Raises:
        ConfigError: it does not; says why and what would.
    """
    task, scores = card.learnt_task, metric.prediction
    reasons = {
        "cutoffs": _why_no_cutoffs(card, metric, targets),
        "thresholds": _why_no_thresholds(task, metric),
        **dict.fromkeys(_CALIBRATES, _why_no_probabilities(task, metric)),
    }
    fitting = ["auto", "none", *(method for method, reason in reasons.items() if reason is None)]
    reason = reasons.get(config.method)
    if reason is not None:
        raise ConfigError(
            f"postprocess: {config.method} does not fit {card.slug}: {reason}; these do: {', '.join(fitting)}",
            hint="postprocess=auto takes what the metric needs",
        )
    if config.clip and (task is not Task.REGRESSION or scores is PredictionKind.LABEL):
        raise ConfigError(f"postprocess.clip is for predicted numbers, {_what(task, metric)}")
    if config.floor is not None and _why_no_probabilities(task, metric) is not None:
        raise ConfigError(f"postprocess.floor: {_why_no_probabilities(task, metric)}")
    _require_groups(config, card)


def _why_no_cutoffs(card: Card, metric: Metric, targets: NDArray[np.int64] | NDArray[np.float64]) -> str | None:
    task = card.learnt_task
    if metric.prediction is not PredictionKind.LABEL or task not in (Task.MULTICLASS, Task.REGRESSION):
        return f"cut-offs are for ordered labels, {_what(task, metric)}"
    if task is Task.MULTICLASS:
        return None if metric.ordinal else f"cut-offs are for ordered labels, {metric.name} knows no order"
    if targets.ndim == 2 and targets.shape[1] > 1:
        return f"cut-offs are for one target, there are {targets.shape[1]}"
    apart = float(targets.max() - targets.min())
    return None if apart < _MOST_LABELS else f"cut-offs are for up to {_MOST_LABELS} labels, these are {apart:g} apart"


def _why_no_thresholds(task: Task | None, metric: Metric) -> str | None:
    if metric.prediction is PredictionKind.LABEL and task in _YES_NO_OR_CLASSES:
        return None
    return f"thresholds are for metrics of labels, {_what(task, metric)}"


def _why_no_probabilities(task: Task | None, metric: Metric) -> str | None:
    if metric.prediction is PredictionKind.PROBABILITY and task in _YES_NO_OR_CLASSES:
        return None
    return f"only probabilities are calibrated, {_what(task, metric)}"


def _what(task: Task | None, metric: Metric) -> str:
    told = f"the metric {metric.name} scores {metric.prediction} predictions"
    return told if task in ALL_TASKS else f"the task is {task}"


def _require_groups(config: PostprocessConfig, card: Card) -> None:
    """Check that `sum_to_one` names targets of a multilabel task, each once."""
    if not config.sum_to_one:
        return
    if card.learnt_task is not Task.MULTILABEL:
        raise ConfigError(f"postprocess.sum_to_one is for yes/no targets; {card.slug} has the task {card.learnt_task}")
    named = [name for group in config.sum_to_one for name in group]
    known = prediction_names(card)
    wrong = next((name for name in named if name not in known or named.count(name) > 1), None)
    if wrong is not None:
        what = "names it twice" if wrong in known else f"there is no such target; targets: {', '.join(known[:12])}"
        raise ConfigError(f"postprocess.sum_to_one, {wrong!r}: {what}")


def whole_numbers(targets: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.float64]:
    """All whole numbers from the least true value to the greatest, ascending."""
    rounded = np.rint(targets)
    return np.arange(rounded.min(), rounded.max() + 1, dtype=np.float64)

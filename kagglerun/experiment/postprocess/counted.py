"""Metrics of labels from their counts alone, many candidates at once: what thresholds are searched with.

Each gives what the metric itself gives for the rows that were counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kagglerun.config.card import Task
from kagglerun.metrics.arrays import class_values

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Counts:
    """How often each label was given and was right, for any number of candidates.

    Attributes:
        hits: (..., k) rows of each label that were given it.
        given: (..., k) rows that were given each label.
        actual: (k,) rows of each label.
    """

    hits: Numbers
    given: Numbers
    actual: Numbers


MEANS_OF_TARGETS = ("f1_macro", "f_beta_macro")
"""Metrics that are, for yes/no targets, the mean of each target's own."""

Counted = Callable[[Counts], Numbers]
"""Counts of candidates (..., k) to their scores (...)."""


def counted(name: str, task: Task, parameters: Mapping[str, Any]) -> Counted | None:
    """The score of a built-in metric from counts; None where counts do not tell it.

    Args:
        name: the metric's name.
        task: binary and multiclass count classes, k of them; multilabel targets.
        parameters: as the card gives them.
    """
    beta = float(parameters.get("beta", 1.0))
    if task is Task.MULTILABEL:
        of_targets: dict[str, Counted] = {
            **dict.fromkeys(MEANS_OF_TARGETS, partial(_f_of_targets, beta=beta)),
            **dict.fromkeys(("f1_micro", "f_beta_micro"), partial(_f_of_all, beta=beta)),
        }
        return of_targets.get(name)
    if name == "class_weighted_accuracy":
        return partial(_class_weighted_accuracy, class_weights=parameters["class_weights"])
    if name == "mean_utility":
        tp, tn, fp, fn = (float(parameters[key]) for key in ("tp", "tn", "fp", "fn"))
        return partial(_mean_utility, tp=tp, tn=tn, fp=fp, fn=fn)
    known: dict[str, Counted] = {
        "f1": partial(_f_of_positives, beta=beta),
        "f_beta": partial(_f_of_positives, beta=beta),
        "f1_macro": partial(_f_of_classes, beta=beta),
        "f_beta_macro": partial(_f_of_classes, beta=beta),
        "accuracy": _accuracy,
        "balanced_accuracy": _balanced_accuracy,
        "mcc": _mcc,
    }
    return known.get(name)


def _f(counts: Counts, beta: float) -> Numbers:
    whole = beta**2 * counts.actual + counts.given
    return np.asarray((1 + beta**2) * counts.hits / np.where(whole > 0, whole, 1.0), dtype=np.float64)


def _f_of_positives(counts: Counts, beta: float) -> Numbers:
    return np.asarray(_f(counts, beta)[..., 1])


def _f_of_classes(counts: Counts, beta: float) -> Numbers:
    occurs = (counts.actual + counts.given) > 0
    return np.asarray((_f(counts, beta) * occurs).sum(axis=-1) / np.maximum(occurs.sum(axis=-1), 1))


def _f_of_targets(counts: Counts, beta: float) -> Numbers:
    return np.asarray(_f(counts, beta).mean(axis=-1))


def _f_of_all(counts: Counts, beta: float) -> Numbers:
    pooled = (part.sum(axis=-1) for part in (counts.hits, counts.given, counts.actual))
    return _f(Counts(*pooled), beta)


def _accuracy(counts: Counts) -> Numbers:
    return np.asarray(counts.hits.sum(axis=-1) / counts.actual.sum())


def _balanced_accuracy(counts: Counts) -> Numbers:
    occurs = counts.actual > 0
    return np.asarray((counts.hits[..., occurs] / counts.actual[occurs]).mean(axis=-1))


def _class_weighted_accuracy(counts: Counts, class_weights: Any) -> Numbers:
    weights = class_values(class_weights, len(counts.actual), "class_weights")
    return np.asarray((counts.hits * weights).sum(axis=-1) / (counts.actual * weights).sum())


def _mcc(counts: Counts) -> Numbers:
    n = counts.actual.sum()
    both = counts.hits.sum(axis=-1) * n - (counts.given * counts.actual).sum(axis=-1)
    spreads = (n**2 - (counts.given**2).sum(axis=-1)) * (n**2 - (counts.actual**2).sum())
    return np.asarray(np.where(spreads > 0, both / np.sqrt(np.where(spreads > 0, spreads, 1.0)), 0.0))


def _mean_utility(counts: Counts, tp: float, tn: float, fp: float, fn: float) -> Numbers:
    right, hits = counts.hits[..., 0], counts.hits[..., 1]
    wrong, missed = counts.given[..., 1] - hits, counts.actual[1] - hits
    return np.asarray((right * tn + hits * tp + wrong * fp + missed * fn) / counts.actual.sum())

"""Post-processing fitted on rows whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kagglerun import metrics
from kagglerun.config.card import Card, Task
from kagglerun.config.postprocess import PostprocessConfig, PostprocessMethod
from kagglerun.experiment.checks import writes_cells
from kagglerun.experiment.postprocess.calibrate import fit_isotonic, fit_platt, fit_temperature
from kagglerun.experiment.postprocess.counted import MEANS_OF_TARGETS, Counted, counted
from kagglerun.experiment.postprocess.cutoffs import fit_cutoffs
from kagglerun.experiment.postprocess.method import method_for, whole_numbers
from kagglerun.experiment.postprocess.steps import (
    ClassCutoffs,
    Clip,
    Floor,
    Step,
    SumToOne,
    ValueCutoffs,
    expected_rating,
)
from kagglerun.experiment.postprocess.stored import Postprocess
from kagglerun.experiment.postprocess.thresholds import fit_class_weights, fit_thresholds
from kagglerun.experiment.predictions import prediction_names
from kagglerun.metrics import Metric
from kagglerun.metrics.predictions import ratings

if TYPE_CHECKING:
    from kagglerun.experiment.prepare import Prepared

Values = NDArray[np.float64]
Rows = NDArray[np.int64]

_CALIBRATIONS: dict[str, Callable[[Values, Values, bool], Step]] = {
    "temperature": fit_temperature,
    "platt": fit_platt,
    "isotonic": fit_isotonic,
}

_MOST_CELLS_ASKED = 200_000
_LEAST_ROWS_ASKED = 10_000
"""Predictions, and rows at least, that a search calls the metric with, some hundred times."""


@dataclass(frozen=True)
class Problem:
    """What post-processing is fitted for.

    Attributes:
        config: the section of the config.
        method: what is fitted, settled.
        card: the competition's card.
        metric: what scores.
        targets: of all training rows, see `kagglerun.metrics.metric`.
        score: (training rows, predictions for them) to the metric, with the card's parameters.
    """

    config: PostprocessConfig
    method: PostprocessMethod
    card: Card
    metric: Metric
    targets: NDArray[np.int64] | NDArray[np.float64]
    score: Callable[[Rows, Values], float]

    @classmethod
    def of(cls, prepared: Prepared, config: PostprocessConfig | None = None) -> Problem:
        """That of a run.

        Args:
            prepared: what its folds share.
            config: in place of the run's own section.

        Raises:
            ConfigError: the config asks for what does not fit the competition.
        """
        wanted = prepared.config.postprocess if config is None else config
        method = settled_method(prepared, wanted)
        return cls(wanted, method, prepared.card, prepared.metric, prepared.data.targets, prepared.score)

    @property
    def changes_nothing(self) -> bool:
        """Whether predictions stay as the models gave them."""
        config = self.config
        return self.method == "none" and not config.clip and config.floor is None and not config.sum_to_one

    @property
    def task(self) -> Task:
        """What a model learns."""
        task = self.card.learnt_task
        assert task is not None, "a card that is resolved knows its task"
        return task


def fit(problem: Problem, rows: Rows, values: Values) -> Postprocess:
    """Fit on some training rows; the same arguments give the same numbers.

    Args:
        problem: what is fitted.
        rows: int64 (n,), positions in the training table.
        values: float64 (n, k), out-of-fold predictions for them.
    """
    steps: list[Step] = []
    if problem.method != "none":
        steps.append(_fit_method(problem, rows, values))
    config, exclusive = problem.config, problem.task is Task.MULTICLASS
    if config.sum_to_one:
        places = {name: place for place, name in enumerate(prediction_names(problem.card))}
        steps.append(SumToOne(tuple(tuple(places[name] for name in group) for group in config.sum_to_one)))
    if config.floor is not None:
        steps.append(Floor(config.floor, exclusive))
    if config.clip:
        known = problem.targets[rows].reshape(len(rows), -1)
        steps.append(Clip(tuple(map(float, known.min(axis=0))), tuple(map(float, known.max(axis=0)))))
    return Postprocess(tuple(steps))


def settled_method(prepared: Prepared, config: PostprocessConfig) -> PostprocessMethod:
    """What is fitted for a run: nothing by itself where its hooks write the cells, which read predictions their way.

    Raises:
        ConfigError: the config asks for what does not fit the competition.
    """
    if writes_cells(prepared.hooks) and config.method == "auto":
        return "none"
    return method_for(config, prepared.card, prepared.metric, prepared.data.targets)


def _fit_method(problem: Problem, rows: Rows, values: Values) -> Step:
    if problem.method == "cutoffs":
        return _fit_cutoffs(problem, rows, values)
    if problem.method == "thresholds":
        return _fit_thresholds(problem, rows, values)
    exclusive = problem.task is Task.MULTICLASS
    truths = _yes_no(problem, rows).astype(np.float64)
    return _CALIBRATIONS[problem.method](values, truths, exclusive)


def _fit_cutoffs(problem: Problem, rows: Rows, values: Values) -> Step:
    is_qwk = problem.metric is metrics.registered().get("qwk")
    if not is_qwk:
        rows, values = _thinned(rows, values)
    truths = problem.targets[rows]
    if problem.task is Task.REGRESSION:
        labels = whole_numbers(problem.targets)
        found = fit_cutoffs(
            values[:, 0],
            np.rint(truths).astype(np.float64).reshape(-1),
            labels,
            lambda cuts: _signed(problem, rows, ValueCutoffs(tuple(cuts), tuple(labels)), values),
            is_qwk,
        )
        return ValueCutoffs(tuple(map(float, found)), tuple(map(float, labels)))
    numbers = tuple(map(float, ratings(problem.card.classes or ())))
    found = fit_cutoffs(
        expected_rating(values, numbers),
        np.asarray(numbers)[truths],
        np.sort(np.asarray(numbers)),
        lambda cuts: _signed(problem, rows, ClassCutoffs(tuple(cuts), numbers), values),
        is_qwk,
    )
    return ClassCutoffs(tuple(map(float, found)), numbers)


def _fit_thresholds(problem: Problem, rows: Rows, values: Values) -> Step:
    by_counts = _counted(problem)
    if by_counts is None:
        rows, values = _thinned(rows, values)
    sign = 1.0 if problem.metric.greater_is_better else -1.0

    def score(mapped: Values) -> float:
        return sign * problem.score(rows, mapped)

    if problem.task is Task.MULTICLASS:
        return fit_class_weights(values, problem.targets[rows].astype(np.int64), score, by_counts)
    each = problem.metric.name in MEANS_OF_TARGETS
    return fit_thresholds(values, _yes_no(problem, rows), score, by_counts, each)


def _thinned(rows: Rows, values: Values) -> tuple[Rows, Values]:
    """Rows for a search that asks the metric for each candidate, evenly spread over all."""
    most = max(_LEAST_ROWS_ASKED, _MOST_CELLS_ASKED // values.shape[1])
    chosen = np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(np.int64)
    return rows[chosen], values[chosen]


def _counted(problem: Problem) -> Counted | None:
    """The metric from counts; None for a user's own of a built-in one's name, too."""
    if metrics.registered().get(problem.metric.name) is not problem.metric:
        return None
    return counted(problem.metric.name, problem.task, problem.card.metric_parameters)


def _signed(problem: Problem, rows: Rows, step: Step, values: Values) -> float:
    """The score of mapped predictions; greater is better."""
    score = problem.score(rows, step.apply(values))
    return score if problem.metric.greater_is_better else -score


def _yes_no(problem: Problem, rows: Rows) -> NDArray[np.bool_]:
    """Truth of each output, (n, k)."""
    targets = problem.targets[rows]
    if problem.task is Task.MULTICLASS:
        return np.asarray(targets[:, None] == np.arange(len(problem.card.classes or ())))
    return np.asarray(targets.reshape(len(rows), -1) >= 0.5)

"""Predictions with a known truth, and the problem that they pose."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kagglerun import metrics
from kagglerun.config.card import Card
from kagglerun.config.postprocess import PostprocessConfig
from kagglerun.experiment.postprocess.fit import Problem
from kagglerun.experiment.postprocess.method import method_for
from kagglerun.metrics import score_rows


def made_card(metric: str, task: str, targets: tuple[str, ...] = ("y",), **more: Any) -> Card:
    """A card that is resolved."""
    return Card.model_validate(
        {
            "slug": "made",
            "ids": ["id"],
            "targets": targets,
            "submission_columns": targets,
            "task": task,
            "metric": metric,
            **more,
        }
    )


def problem(card: Card, targets: NDArray[Any], config: PostprocessConfig | None = None) -> Problem:
    """What is fitted for these targets."""
    assert card.metric is not None
    metric, wanted = metrics.get(card.metric), config or PostprocessConfig()

    def score(rows: NDArray[np.int64], values: NDArray[np.float64]) -> float:
        return score_rows(metric, card, targets[rows], values)

    return Problem(wanted, method_for(wanted, card, metric, targets), card, metric, targets, score)


def sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-v))."""
    return np.asarray(1 / (1 + np.exp(-values)), dtype=np.float64)

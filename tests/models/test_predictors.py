"""What every family holds: a frozen fold predicts the bits that the fit gave, in pieces of any size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kagglerun import metrics
from kagglerun.config.card import Task
from kagglerun.config.schema import Config
from kagglerun.data.tolerant_images import TolerantImages
from kagglerun.models.base import (
    FoldContext,
    FoldOutcome,
    FrozenFold,
    InferenceInput,
    ModelInput,
    Predictor,
    find_family,
)
from kagglerun.workspace import FoldPaths
from tests.models.test_families import KINDS, METRICS, N_TEST, N_TRAIN, TASKS, make_config, make_input


def fit_and_freeze(config: Config, data: ModelInput, folder: Path) -> tuple[FoldOutcome, FrozenFold]:
    metric = metrics.get(METRICS[data.task])
    context = FoldContext(
        config=config,
        data=data,
        metric=metric,
        score=lambda targets, predictions: metric.score_predictions(targets, predictions, data.task),
        fold=0,
        train_rows=np.arange(0, 80, dtype=np.int64),
        valid_rows=np.arange(80, N_TRAIN, dtype=np.int64),
        paths=FoldPaths(folder / "fitted"),
        report=lambda step, values: None,
        should_stop=lambda values: False,
    )
    family = find_family(config.model.kind)
    outcome = family.fit_fold(context)
    family.freeze_fold(context, FoldPaths(folder / "frozen"))
    return outcome, FrozenFold(config, data.task, data.n_outputs, FoldPaths(folder / "frozen"))


def unlabelled(data: ModelInput) -> InferenceInput:
    images = data.test_images
    assert images is not None
    return InferenceInput(data.test, images, lambda side, aspect: TolerantImages(images, side, aspect))


def pieces(predictor: Predictor, data: InferenceInput, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(data.table), size):
        rows = np.arange(start, min(start + size, len(data.table)), dtype=np.int64)
        yield np.mean([predictor.predict(data, rows, view) for view in range(predictor.views)], axis=0)


CASES = [
    pytest.param(kind, task, marks=[pytest.mark.long] if kind == "image" and task != Task.MULTICLASS else [])
    for kind in KINDS
    for task in TASKS
]


@pytest.mark.parametrize(("kind", "task"), CASES)
def test_a_frozen_fold_predicts_the_bits_of_the_fit_in_pieces_of_any_size(
    kind: str, task: Task, tmp_path: Path
) -> None:
    data = make_input(tmp_path / "images", task)
    config = make_config(kind, epochs=1, eval_batch_size=4)
    if kind == "image":
        config = config.model_copy(update={"model": config.model.model_copy(update={"tta": "hflip"})})
    outcome, frozen = fit_and_freeze(config, data, tmp_path)
    predictor = find_family(kind).load_fold(frozen)
    for size in (N_TEST, 4 * predictor.rows_at_once, predictor.rows_at_once):
        assert np.vstack([*pieces(predictor, unlabelled(data), size)]).tobytes() == outcome.test.tobytes()

"""The contract of a model family, held by every one: same seed same bits, resumed equals uninterrupted."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

from kagglerun import metrics
from kagglerun.config.card import Task
from kagglerun.config.load import parse_config
from kagglerun.config.schema import Config
from kagglerun.models.base import FoldContext, FoldOutcome, ModelInput, find_family
from kagglerun.training.loop import Stopped
from kagglerun.workspace import FoldPaths

N_TRAIN, N_TEST = 96, 12
KINDS = ["image", "tabular_boosting", "tabular_neural"]
TASKS = [Task.BINARY, Task.MULTICLASS, Task.MULTILABEL, Task.REGRESSION]
METRICS = {Task.BINARY: "auc", Task.MULTICLASS: "accuracy", Task.MULTILABEL: "columnwise_auc", Task.REGRESSION: "rmse"}


def make_config(kind: str, **training: object) -> Config:
    model: dict[str, object] = {"kind": kind}
    if kind == "image":
        model |= {"name": "test_resnet", "image_size": 32, "drop_rate": 0.2}
    if kind == "tabular_boosting":
        model |= {"n_estimators": 40, "min_child_samples": 3}
    if kind == "tabular_neural":
        model |= {"width": 16, "depth": 2, "dropout": 0.3}
    settings = {"epochs": 3, "batch_size": 16, "accumulate": 2, "ema": 0.9, "cpu_threads": 1, "device": "cpu"}
    return parse_config({"model": model, "training": {**settings, **training}}, "test")


def make_input(folder: Path, task: Task) -> ModelInput:
    """A table and images whose brightness both tell the target."""
    numbers = np.random.default_rng(0)
    signal = numbers.random(N_TRAIN + N_TEST)
    table = pd.DataFrame(
        {
            "signal": signal,
            "noise": numbers.normal(size=len(signal)),
            "gaps": np.where(numbers.random(len(signal)) < 0.3, np.nan, signal),
            "word": np.where(signal > 0.5, "high", "low"),
        }
    )
    folder.mkdir(exist_ok=True)
    images = []
    for row, value in enumerate(signal):
        path = folder / f"{row}.png"
        pixels = numbers.integers(0, 60, (16, 16, 3)) + int(180 * value)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
        images.append(path)
    targets, n_outputs = make_targets(signal[:N_TRAIN], task)
    return ModelInput(
        task=task,
        n_outputs=n_outputs,
        targets=targets,
        train=table.iloc[:N_TRAIN].reset_index(drop=True),
        test=table.iloc[N_TRAIN:].reset_index(drop=True),
        train_images=tuple(images[:N_TRAIN]),
        test_images=tuple(images[N_TRAIN:]),
        content="made",
        cache=folder / "cache",
    )


def make_targets(signal: np.ndarray, task: Task) -> tuple[np.ndarray, int]:
    if task == Task.BINARY:
        return (signal > 0.5).astype(np.int64), 1
    if task == Task.MULTICLASS:
        return np.digitize(signal, [0.33, 0.66]).astype(np.int64), 3
    if task == Task.MULTILABEL:
        return np.column_stack([signal > 0.3, signal > 0.7]).astype(np.float64), 2
    return 100 + 50 * signal[:, None], 1


def fit(config: Config, data: ModelInput, paths: FoldPaths, stop_at: int | None = None) -> FoldOutcome:
    metric = metrics.get(METRICS[data.task])
    asked = [0]

    def should_stop(values: dict[str, float]) -> bool:
        asked[0] += 1
        return asked[0] == stop_at

    context = FoldContext(
        config=config,
        data=data,
        metric=metric,
        score=lambda targets, predictions: metric.score_predictions(targets, predictions, data.task),
        fold=0,
        train_rows=np.arange(0, 80, dtype=np.int64),
        valid_rows=np.arange(80, N_TRAIN, dtype=np.int64),
        paths=paths,
        report=lambda step, values: None,
        should_stop=should_stop,
    )
    return find_family(config.model.kind).fit_fold(context)


def digest(outcome: FoldOutcome) -> str:
    return hashlib.sha256(outcome.valid.tobytes() + outcome.test.tobytes()).hexdigest()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("kind", KINDS)
def test_predictions_have_the_shape_of_the_task_and_learn_the_signal(kind: str, task: Task, tmp_path: Path) -> None:
    data = make_input(tmp_path / "images", task)
    config = make_config(kind, epochs=12, accumulate=1, ema=None, augment="none", batch_size=8)
    outcome = fit(config, data, FoldPaths(tmp_path / "fold"))
    assert outcome.valid.shape == (16, data.n_outputs)
    assert outcome.test.shape == (N_TEST, data.n_outputs)
    assert np.isfinite(outcome.valid).all() and np.isfinite(outcome.test).all()
    score = metrics.get(METRICS[task]).score_predictions(data.targets[80:], outcome.valid, task)
    assert score < 12 if task == Task.REGRESSION else score > 0.7
    if task == Task.MULTICLASS:
        assert np.allclose(outcome.test.sum(axis=1), 1)


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_gives_the_same_bits_and_another_seed_others(kind: str, tmp_path: Path) -> None:
    data = make_input(tmp_path / "images", Task.MULTICLASS)
    config = make_config(kind)
    first = digest(fit(config, data, FoldPaths(tmp_path / "first")))
    assert digest(fit(config, data, FoldPaths(tmp_path / "second"))) == first
    other = config.model_copy(update={"seed": 7})
    assert digest(fit(other, data, FoldPaths(tmp_path / "third"))) != first


@pytest.mark.parametrize("stop_at", [1, 2, 3, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_stopped_and_resumed_gives_the_bits_of_an_uninterrupted_fit(kind: str, stop_at: int, tmp_path: Path) -> None:
    data = make_input(tmp_path / "images", Task.MULTICLASS)
    config = make_config(kind, early_stopping=2, augment="medium")
    whole = fit(config, data, FoldPaths(tmp_path / "whole"))
    paths = FoldPaths(tmp_path / "stopped")
    with pytest.raises(Stopped):
        fit(config, data, paths, stop_at=stop_at)
    resumed = fit(config, data, paths)
    assert digest(resumed) == digest(whole)
    assert resumed.history == whole.history


def test_test_time_flips_average_the_image_and_its_mirror_image(tmp_path: Path) -> None:
    data = make_input(tmp_path / "images", Task.BINARY)
    config = make_config("image", epochs=2)
    flipped = config.model_copy(update={"model": config.model.model_copy(update={"tta": "hflip"})})
    plain = fit(config, data, FoldPaths(tmp_path / "plain"))
    both = fit(flipped, data, FoldPaths(tmp_path / "both"))
    mirrored = tuple(mirror(path) for path in data.test_images or ())
    seen_mirrored = fit(config, replace(data, test_images=mirrored, content="mirrored"), FoldPaths(tmp_path / "mirror"))
    assert np.allclose(both.test, (plain.test + seen_mirrored.test) / 2, atol=1e-6)


def mirror(path: Path) -> Path:
    turned = path.with_name(f"mirrored-{path.name}")
    ImageOps.mirror(Image.open(path)).save(turned)
    return turned

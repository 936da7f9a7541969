"""What a config trains, on made-up samples of the real shape: for measurements before a run begins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from kagglerun.config.card import Task
from kagglerun.config.schema import Config, ImageModelConfig, TabularNeuralConfig
from kagglerun.metrics import Metric
from kagglerun.models.base import ModelInput
from kagglerun.models.targets import Head, TargetTransform
from kagglerun.training.batches import Batch
from kagglerun.training.recompute import recompute_activations
from kagglerun.training.step_trial import Workload


def make_workload(config: Config, data: ModelInput, metric: Metric, n_train: int) -> Workload | None:
    """The steps of a built-in neural model; None for models that do not step.

    Args:
        config: the config, its model section resolved.
        data: what the model sees.
        metric: the competition's metric, which decides the loss.
        n_train: training samples of a fold.
    """
    if isinstance(config.model, ImageModelConfig):
        found = _of_images(config.model, data, _head(config, data, metric), n_train)
    elif isinstance(config.model, TabularNeuralConfig):
        found = _of_table(config.model, data, _head(config, data, metric), n_train)
    else:
        return None
    if not config.training.gradient_checkpointing:
        return found
    return replace(found, build=lambda: recompute_activations(found.build()))


def _head(config: Config, data: ModelInput, metric: Metric) -> Head:
    transform = None
    if data.task == Task.REGRESSION:
        transform = TargetTransform.fit(np.asarray(data.targets, dtype=np.float64), metric, standardise=True)
    return Head(data.task, metric, transform, config.training.label_smoothing)


def _targets(head: Head, data: ModelInput, size: int, device: torch.device) -> torch.Tensor:
    """Real targets, repeated where a step is larger than the data."""
    return head.tensor(data.targets[np.arange(size) % len(data.targets)]).to(device)


def _of_images(model: ImageModelConfig, data: ModelInput, head: Head, n_train: int) -> Workload:
    from kagglerun.models.image import build_image_model

    side = model.image_size
    assert side is not None, "the image size is filled in when the config is resolved"
    # Speed and memory are those of any weights; the real ones need not be read for each trial.
    plain = model.model_copy(update={"pretrained": False, "weights": None})

    def batch(size: int, device: torch.device) -> Batch:
        images = torch.rand(size, 3, side, side, device=device).contiguous(memory_format=torch.channels_last)
        return Batch((images,), _targets(head, data, size, device))

    kept_side = model.cache_size or side
    n_images = len(data.train_images or ()) + len(data.test_images or ())
    return Workload(
        build=lambda: build_image_model(plain, data.n_outputs).to(memory_format=torch.channels_last),
        batch=batch,
        loss=head.loss,
        n_train=n_train,
        data_bytes=n_images * kept_side * kept_side * 3,
        key={"model": plain.model_dump(mode="json"), "n_outputs": data.n_outputs, "task": str(data.task)},
    )


def _of_table(model: TabularNeuralConfig, data: ModelInput, head: Head, n_train: int) -> Workload:
    from kagglerun.models.table_features import encode_tables
    from kagglerun.models.tabular_neural import NumberScaling, TableResNet

    train, _, _ = encode_tables(data.train, data.test)
    n_numbers = NumberScaling.fit(train.numbers).apply(train.numbers[:1]).shape[1]

    def batch(size: int, device: torch.device) -> Batch:
        numbers = torch.randn(size, n_numbers, device=device)
        codes = torch.from_numpy(train.codes[np.arange(size) % len(train.codes)] + 1).to(device)
        return Batch((numbers, codes), _targets(head, data, size, device))

    return Workload(
        build=lambda: TableResNet(n_numbers, train.sizes, data.n_outputs, model),
        batch=batch,
        loss=head.loss,
        n_train=n_train,
        data_bytes=4 * (len(data.train) + len(data.test)) * (n_numbers + 2 * len(train.sizes)),
        key={"model": model.model_dump(mode="json"), "numbers": n_numbers, "sizes": list(train.sizes)}
        | {"n_outputs": data.n_outputs, "task": str(data.task)},
    )

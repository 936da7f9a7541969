"""What the neural families share: from a fold's context to the training engine and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kagglerun.config.card import Task
from kagglerun.errors import PackageError
from kagglerun.models.base import FoldContext, FrozenFold
from kagglerun.models.frozen import PACKAGE_AGAIN
from kagglerun.models.targets import Head, TargetTransform, activate
from kagglerun.models.weights import save_weights
from kagglerun.training.batches import Batches
from kagglerun.training.checkpoint import Checkpoints
from kagglerun.training.distributed import current_team
from kagglerun.training.loop import FitResult, FitSettings, FitTask, fit
from kagglerun.training.precision import Precision, resolve_device
from kagglerun.training.predict import predict_logits
from kagglerun.training.recompute import recompute_activations
from kagglerun.training.seed import deterministic_algorithms


def make_head(context: FoldContext) -> Head:
    """Loss and activation for a fold; a transform is learnt from the fold's training targets alone."""
    data, transform = context.data, None
    if data.task == Task.REGRESSION:
        values = np.asarray(data.targets[context.train_rows], dtype=np.float64)
        transform = TargetTransform.fit(values, context.metric, standardise=True)
    return Head(data.task, context.metric, transform, context.config.training.label_smoothing)


def fit_neural(
    context: FoldContext, head: Head, build: Callable[[], nn.Module], train: Batches, valid: Batches
) -> FitResult:
    """Train a network on a fold, or go on from its checkpoint, and save the weights that were kept.

    Args:
        context: the fold.
        head: its loss and activation.
        build: makes the network; called once, after seeding.
        train: training samples.
        valid: validation samples, in the order of `context.valid_rows`.
    """
    config = context.config
    valid_targets = context.data.targets[context.valid_rows]
    recomputes = config.training.gradient_checkpointing
    task = FitTask(
        build=(lambda: recompute_activations(build())) if recomputes else build,
        train=train,
        valid=valid,
        loss=head.loss,
        activate=head.activate,
        score=lambda predictions: context.score(valid_targets, predictions),
        greater_is_better=context.metric.greater_is_better,
        seed=config.seed,
        fold=context.fold,
    )
    team = current_team()
    checkpoints = Checkpoints(context.paths.checkpoints, writes=team.is_first)
    settings = FitSettings(config.training, config.optimizer, config.schedule)
    train_fold = context.trainer or fit
    result = train_fold(task, settings, checkpoints, context.report, context.should_stop)
    if team.is_first:
        save_weights(result.model, context.paths.weights)
    return result


def predict_neural(context: FoldContext, head: Head, model: nn.Module, batches: Batches) -> NDArray[np.float64]:
    """Predictions for all samples, float64 (n, n_outputs)."""
    training = context.config.training
    device = resolve_device(training.device)
    precision = Precision.resolve(training.precision, device)
    return predict_batches(model, batches, training.eval_size, precision, head.activate)


def predict_batches(
    model: nn.Module, batches: Batches, size: int, precision: Precision, activate: Callable[[Tensor], Tensor]
) -> NDArray[np.float64]:
    """Predictions for all samples, float64 (n, n_outputs).

    Args:
        model: the network.
        batches: the samples.
        size: samples of one forward pass.
        precision: number format of the forward pass.
        activate: logits, float64 (n, n_outputs), to predictions.
    """
    with precision.float32_math():
        logits = predict_logits(model, batches, size, precision, current_team())
    predictions: NDArray[np.float64] = activate(logits.double()).numpy()
    return predictions


class FrozenNetwork:
    """The network of a packaged fold, where it is to predict.

    Args:
        fold: the fold.
        model: made as for training; it gets the fold's weights.
        transform: for regression.

    Raises:
        PackageError: the weights are damaged or another network's.
    """

    def __init__(self, fold: FrozenFold, model: nn.Module, transform: TargetTransform | None) -> None:
        self._fold, self._transform = fold, transform
        self.device = inference_device(fold.config.training.device)
        self._precision = inference_precision(fold, self.device)
        self._model = _with_weights(model, fold).to(self.device)

    def predict(self, batches: Batches) -> NDArray[np.float64]:
        """Predictions for all samples, float64 (n, n_outputs)."""
        training = self._fold.config.training
        with deterministic_algorithms(training.deterministic):
            return predict_batches(self._model, batches, training.eval_size, self._precision, self._activate)

    def _activate(self, logits: Tensor) -> Tensor:
        return activate(logits, self._fold.task, self._transform)


def inference_device(name: str) -> torch.device:
    """The device that a run's config names, or the CPU where there is no GPU."""
    return resolve_device("auto" if name == "cuda" else name)


def inference_precision(fold: FrozenFold, device: torch.device) -> Precision:
    """The number format that a run was trained with; where the device does not have it, the one that it has.

    float32 stays what it is on every device, so that predictions stay as near to the run's own as they can.
    """
    name = fold.config.training.precision
    if name not in ("fp16", "bf16"):
        return Precision.resolve(name, device)
    fitting = Precision.resolve("auto", device)
    if device.type != fold.trained_on or (device.type == "cuda" and name == "bf16"):
        return fitting
    return Precision.resolve(name, device)


def read_transform(saved: Mapping[str, Any]) -> TargetTransform | None:
    """The transform of the targets that stands in a fold's preprocessing, None for classes."""
    return TargetTransform.from_dict(saved["transform"]) if saved["transform"] is not None else None


def _with_weights(model: nn.Module, fold: FrozenFold) -> nn.Module:
    path = fold.paths.weights
    try:
        model.load_state_dict(safetensors.torch.load_file(path))
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        reason = str(error).splitlines()[0][:200]
        raise PackageError(f"{path} does not hold the network's weights: {reason}", hint=PACKAGE_AGAIN) from error
    return model.eval()

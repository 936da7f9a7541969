"""What the neural families share: from a fold's context to the training engine and back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import nn

from kagglerun.config.card import Task
from kagglerun.models.base import FoldContext
from kagglerun.models.targets import Head, TargetTransform
from kagglerun.models.weights import save_weights
from kagglerun.training.batches import Batches
from kagglerun.training.checkpoint import Checkpoints
from kagglerun.training.distributed import current_team
from kagglerun.training.loop import FitResult, FitSettings, FitTask, fit
from kagglerun.training.precision import Precision, resolve_device
from kagglerun.training.predict import predict_logits
from kagglerun.training.recompute import recompute_activations


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
    with precision.float32_math():
        logits = predict_logits(model, batches, training.eval_size, precision, current_team())
    predictions: NDArray[np.float64] = head.activate(logits.double()).numpy()
    return predictions

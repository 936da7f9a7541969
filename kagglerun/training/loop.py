"""The training loop.

`fit` resumes exactly: a run killed anywhere and started again gives the same bits as one left alone, on the
same machine and with the same number of threads.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kagglerun.config.schema import OptimizerConfig, ScheduleConfig, TrainingConfig
from kagglerun.errors import NonFiniteLoss
from kagglerun.training.checkpoint import CheckpointFiles
from kagglerun.training.ema import WeightAverage
from kagglerun.training.optim import build_optimizer, lr_at
from kagglerun.training.precision import Precision, resolve_device
from kagglerun.training.seed import sample_order, seed_torch
from kagglerun.training.state import TrainState, copy_weights


class Batches(Protocol):
    """A source of samples, numbered from 0."""

    def __len__(self) -> int:
        """Number of samples."""

    def load(self, samples: NDArray[np.int64], epoch: int | None) -> tuple[Tensor, ...]:
        """Inputs of the model for these samples, on the device; `epoch` augments, None does not."""

    def targets(self, samples: NDArray[np.int64]) -> Tensor:
        """Targets for these samples, on the device."""


@dataclass(frozen=True)
class FitTask:
    """What is trained on what.

    Attributes:
        build: makes the model; called once, after seeding.
        train: training samples.
        valid: validation samples.
        loss: (logits, targets) to the mean loss, a scalar tensor.
        activate: logits to predictions, shape (n, n_outputs).
        score: predictions for all validation samples, float64 (n, n_outputs), to the competition's metric.
        greater_is_better: direction of `score`.
        seed: the config's seed.
        fold: the fold's number.
    """

    build: Callable[[], nn.Module]
    train: Batches
    valid: Batches
    loss: Callable[[Tensor, Tensor], Tensor]
    activate: Callable[[Tensor], Tensor]
    score: Callable[[NDArray[np.float64]], float]
    greater_is_better: bool
    seed: int
    fold: int


@dataclass(frozen=True)
class FitSettings:
    """How it is trained."""

    training: TrainingConfig
    optimizer: OptimizerConfig
    schedule: ScheduleConfig


@dataclass(frozen=True)
class FitResult:
    """A trained model.

    Attributes:
        model: in evaluation mode, with the weights that make the predictions.
        history: one dict of values an epoch: lr, train_loss, valid_loss, valid_score.
        best_epoch: the epoch whose weights were kept, counted from 0.
    """

    model: nn.Module
    history: tuple[dict[str, float], ...]
    best_epoch: int


class Stopped(Exception):
    """Training stopped because it was asked to; the checkpoint holds everything."""


Report = Callable[[int, dict[str, float]], None]
"""(epoch, values) after each epoch."""

ShouldStop = Callable[[dict[str, float]], bool]
"""Asked after each update with {epoch, update}; True saves a checkpoint and raises Stopped."""


def fit(
    task: FitTask, settings: FitSettings, files: CheckpointFiles, report: Report, should_stop: ShouldStop
) -> FitResult:
    """Train a model, or go on where the last checkpoint stands.

    Raises:
        Stopped: `should_stop` said so.
        NonFiniteLoss: the loss or a gradient was not finite; the update was not made.
        CheckpointUnreadable: there is a checkpoint and it is damaged.
    """
    config = settings.training
    device = resolve_device(config.device)
    precision = Precision.resolve(config.precision, device)
    state = _start(task, settings, device, precision)
    saved = files.load()
    if saved is not None:
        state.restore(saved)
    last_save = time.monotonic()

    while state.epoch < config.epochs and not state.stopped_early:
        # Train: one group of batches is one update.
        state.model.train()
        for group in _groups_left(task, config, state):
            _update(task, settings, precision, state, group)
            if should_stop({"epoch": state.epoch, "update": state.updates}):
                files.save(state.to_dict())
                raise Stopped
            if time.monotonic() - last_save > config.checkpoint_seconds:
                files.save(state.to_dict())
                last_save = time.monotonic()

        # Evaluate, remember the best, report, and save the border between two epochs.
        values = _evaluate(task, settings, precision, state)
        _remember_best(task, config, state, values)
        state.history.append(values)
        report(state.epoch, values)
        state.epoch, state.batches_done, state.loss_sum, state.samples_done = state.epoch + 1, 0, 0.0, 0
        files.save(state.to_dict())
        last_save = time.monotonic()

    model = state.evaluated
    if config.keep == "best":
        model.load_state_dict(state.best_weights)
    best = state.best_epoch if config.keep == "best" else len(state.history) - 1
    return FitResult(model.eval(), tuple(state.history), best)


@torch.no_grad()
def predict_logits(model: nn.Module, batches: Batches, batch_size: int, precision: Precision) -> Tensor:
    """Logits for all samples in order, float32 on the CPU, shape (n, n_logits)."""
    model.eval()
    parts = []
    for start in range(0, len(batches), batch_size):
        samples = np.arange(start, min(start + batch_size, len(batches)), dtype=np.int64)
        with precision.autocast():
            parts.append(model(*batches.load(samples, None)).float().cpu())
    return torch.cat(parts)


def _start(task: FitTask, settings: FitSettings, device: torch.device, precision: Precision) -> TrainState:
    seed_torch(task.seed, "init", task.fold)
    model = task.build().to(device)
    optimizer = build_optimizer(model, settings.optimizer)
    scaler = torch.amp.GradScaler(device.type, enabled=precision.scales_loss)
    average = WeightAverage(model, settings.training.ema) if settings.training.ema else None
    return TrainState(model, optimizer, scaler, average)


def _groups_left(task: FitTask, config: TrainingConfig, state: TrainState) -> Iterator[list[NDArray[np.int64]]]:
    """The epoch's batches that are still to do, in groups whose gradients are added before one update."""
    order = sample_order(task.seed, task.fold, state.epoch, len(task.train))
    batches = _split(order, config.step_size)
    for start in range(state.batches_done, len(batches), config.accumulate):
        yield batches[start : start + config.accumulate]


def _split(order: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """Batches of equal size; a rest is left out (it differs each epoch), unless it is all there is."""
    if len(order) <= batch_size:
        return [order]
    return [order[start : start + batch_size] for start in range(0, len(order) - batch_size + 1, batch_size)]


def updates_per_epoch(n_samples: int, config: TrainingConfig) -> int:
    """Optimizer steps in an epoch."""
    return math.ceil(max(1, n_samples // config.step_size) / config.accumulate)


def _update(
    task: FitTask,
    settings: FitSettings,
    precision: Precision,
    state: TrainState,
    group: list[NDArray[np.int64]],
) -> None:
    """Forward and backward over a group of batches, then one step of the optimizer."""
    config = settings.training
    per_epoch = updates_per_epoch(len(task.train), config)
    lr = lr_at(state.updates, settings.schedule, settings.optimizer.lr, per_epoch, config.epochs)
    for parameters in state.optimizer.param_groups:
        parameters["lr"] = lr
    seed_torch(task.seed, "dropout", task.fold, state.updates)
    state.optimizer.zero_grad(set_to_none=True)
    group_loss = torch.zeros((), device=precision.device)
    for samples in group:
        with precision.autocast():
            logits = state.model(*task.train.load(samples, state.epoch))
        loss = task.loss(logits.float(), task.train.targets(samples))
        torch.autograd.backward(state.scaler.scale(loss / len(group)))
        group_loss += loss.detach()
    _step(config, state, group_loss / len(group), lr, group)
    n_samples = sum(len(samples) for samples in group)
    state.loss_sum += float(group_loss) / len(group) * n_samples
    state.samples_done += n_samples
    state.batches_done += len(group)
    state.updates += 1
    if state.average:
        state.average.update(state.model, state.updates)


def _step(config: TrainingConfig, state: TrainState, loss: Tensor, lr: float, group: list[NDArray[np.int64]]) -> None:
    """Unscale, clip, check, step."""
    state.scaler.unscale_(state.optimizer)
    parameters = [p for p in state.model.parameters() if p.grad is not None]
    norm = nn.utils.clip_grad_norm_(parameters, config.clip_norm or math.inf)
    # With fp16 an infinite gradient is expected now and then: the scaler skips the step and lowers its scale.
    # One number for both, so that the device is waited for once: neither can make the other's infinity finite.
    checked = loss if state.scaler.is_enabled() else loss + norm
    if not math.isfinite(float(checked)):
        first = ", ".join(map(str, group[0][:8].tolist()))
        raise NonFiniteLoss(
            f"the loss is {float(loss)} and the gradient norm {float(norm)} at epoch {state.epoch}, update "
            f"{state.updates}, lr {lr:.2e} (samples {first}, ...); the update was not made",
            hint=f"a smaller learning rate, e.g. optimizer.lr={lr / 3:.1e}, or training.precision=fp32",
        )
    state.scaler.step(state.optimizer)
    state.scaler.update()


def _evaluate(task: FitTask, settings: FitSettings, precision: Precision, state: TrainState) -> dict[str, float]:
    config = settings.training
    size = config.eval_size
    logits = predict_logits(state.evaluated, task.valid, size, precision)
    targets = task.valid.targets(np.arange(len(task.valid), dtype=np.int64)).cpu()
    predictions = task.activate(logits.double()).numpy()
    return {
        "lr": state.optimizer.param_groups[0]["lr"],
        "train_loss": state.loss_sum / max(1, state.samples_done),
        "valid_loss": float(task.loss(logits, targets)),
        "valid_score": float(task.score(predictions)),
    }


def _remember_best(task: FitTask, config: TrainingConfig, state: TrainState, values: dict[str, float]) -> None:
    """Keep the best weights, and see whether early stopping is due. A score that is NaN is never best."""
    score = values["valid_score"]
    sign = 1.0 if task.greater_is_better else -1.0
    if state.best_score is None or sign * score > sign * state.best_score or math.isnan(state.best_score):
        state.best_score, state.best_epoch = score, state.epoch
        if config.keep == "best":
            state.best_weights = copy_weights(state.evaluated)
    patience = config.early_stopping
    state.stopped_early = patience is not None and state.epoch - state.best_epoch >= patience

"""Fits that take milliseconds, and what is compared of them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kagglerun.config.schema import OptimizerConfig, ScheduleConfig, TrainingConfig
from kagglerun.training.batches import Batch
from kagglerun.training.checkpoint import Checkpoints
from kagglerun.training.loop import FitResult, FitSettings, FitTask, Stopped, fit


class Rows:
    """Samples of a linear problem.

    Attributes:
        spoil: (samples, inputs, epoch) to inputs; for numbers that are not finite.
    """

    def __init__(self, inputs: Tensor, targets: Tensor) -> None:
        self.inputs, self.answers = inputs, targets
        self.spoil: Callable[[np.ndarray, Tensor, int | None], Tensor] = lambda samples, inputs, epoch: inputs

    def __len__(self) -> int:
        return len(self.inputs)

    def stream(self, parts: Sequence[np.ndarray], epoch: int | None) -> Generator[Batch]:
        """Rows of the tensors."""
        for samples in parts:
            yield Batch((self.spoil(samples, self.inputs[samples], epoch),), self.answers[samples])

    def targets(self) -> Tensor:
        """All targets."""
        return self.answers


def problem(n_train: int = 64, n_valid: int = 16) -> tuple[Rows, Rows]:
    """Training and validation rows: 4 numbers, one target."""
    numbers = torch.Generator().manual_seed(0)
    inputs = torch.randn(n_train + n_valid, 4, generator=numbers)
    targets = inputs @ torch.tensor([[1.0], [-2.0], [0.5], [0.0]]) + 0.1
    return Rows(inputs[:n_train], targets[:n_train]), Rows(inputs[n_train:], targets[n_train:])


def plain_net() -> nn.Module:
    """Neither batch norm nor dropout: the cut of an update into passes changes rounding alone."""
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))


def noisy_net() -> nn.Module:
    """With batch norm and dropout."""
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 1))


def training_config(**values: Any) -> TrainingConfig:
    """Three epochs of eight updates of 8 samples, on the CPU."""
    return TrainingConfig(**{"epochs": 3, "batch_size": 8, "device": "cpu", "precision": "fp32", **values})


def run_fit(
    folder: Path,
    training: TrainingConfig,
    *,
    data: tuple[Rows, Rows] | None = None,
    build: Callable[[], nn.Module] = noisy_net,
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.mse_loss,
    should_stop: Callable[[dict[str, float]], bool] = lambda _: False,
    optimizer: OptimizerConfig | None = None,
    fold: int = 0,
) -> FitResult:
    """One fit, or what is left of it."""
    train, valid = data or problem()
    answers = valid.answers.numpy()
    task = FitTask(
        build=build,
        train=train,
        valid=valid,
        loss=loss,
        activate=lambda logits: logits,
        score=lambda predictions: float(np.sqrt(((predictions - answers) ** 2).mean())),
        greater_is_better=False,
        seed=3,
        fold=fold,
    )
    settings = FitSettings(training, optimizer or OptimizerConfig(lr=0.02), ScheduleConfig())
    return fit(task, settings, Checkpoints(folder), lambda *_: None, should_stop)


def run_in_pieces(folder: Path, training: TrainingConfig, updates: int, **named: Any) -> FitResult:
    """The same fit, stopped after every so many updates and gone on with by a new call."""
    while True:
        count = 0

        def should_stop(values: dict[str, float]) -> bool:
            nonlocal count
            count += 1
            return count >= updates

        try:
            return run_fit(folder, training, should_stop=should_stop, **named)
        except Stopped:
            continue


def same_bits(one: FitResult, other: FitResult) -> bool:
    """Whether two fits gave the same weights, history and notes, bit for bit."""
    mine, theirs = one.model.state_dict(), other.model.state_dict()
    equal = all(torch.equal(mine[name], theirs[name]) for name in mine)
    rest = (one.history, one.best_epoch, one.notes) == (other.history, other.best_epoch, other.notes)
    return equal and rest


def largest_difference(one: FitResult, other: FitResult) -> float:
    """The largest difference between two fits' weights."""
    mine, theirs = one.model.state_dict(), other.model.state_dict()
    return max(float((mine[name].double() - theirs[name].double()).abs().max()) for name in mine)

"""All that changes while a fold trains, and its form in a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from kagglerun.training.ema import WeightAverage

Weights = dict[str, Tensor]


@dataclass
class TrainState:
    """All that changes while a fold trains.

    Random numbers have no state (see seed.py), nor has the learning rate (see optim.py).

    Attributes:
        model: the model that is trained.
        optimizer: its optimizer.
        scaler: scales the loss for fp16; switched off otherwise.
        average: moving average of the weights, or None.
        epoch: the epoch under way, counted from 0.
        batches_done: batches of that epoch that are done; always at a border of accumulation.
        updates: optimizer steps of the whole run.
        loss_sum: sum over the epoch's samples of the training loss.
        samples_done: samples of the epoch that are done.
        best_score: best validation score so far, or None.
        best_epoch: its epoch.
        best_weights: the weights then, on the CPU.
        history: one dict of values an epoch.
        stopped_early: early stopping ended the training.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: WeightAverage | None
    epoch: int = 0
    batches_done: int = 0
    updates: int = 0
    loss_sum: float = 0.0
    samples_done: int = 0
    best_score: float | None = None
    best_epoch: int = -1
    best_weights: Weights = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    stopped_early: bool = False

    @property
    def evaluated(self) -> nn.Module:
        """The module that makes predictions: the average where there is one."""
        return self.average.module if self.average else self.model

    def to_dict(self) -> dict[str, Any]:
        """The state as tensors and plain values."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "average": self.average.module.state_dict() if self.average else None,
            **{name: getattr(self, name) for name in _PLAIN},
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Take over a state made by `to_dict`."""
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.scaler.load_state_dict(saved["scaler"])
        if self.average:
            self.average.module.load_state_dict(saved["average"])
        for name in _PLAIN:
            setattr(self, name, saved[name])


_PLAIN = (
    "epoch",
    "batches_done",
    "updates",
    "loss_sum",
    "samples_done",
    "best_score",
    "best_epoch",
    "best_weights",
    "history",
    "stopped_early",
)


def copy_weights(model: nn.Module) -> Weights:
    """A copy of a module's weights and buffers on the CPU."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in model.state_dict().items()}

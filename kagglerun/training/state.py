"""All that changes while a fold trains, and its form in a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from kagglerun.training.checkpoint import Snapshot, Weights
from kagglerun.training.ema import WeightAverage


@dataclass
class TrainState:
    """All that changes while a fold trains.

    Random numbers have no state (see seed.py), nor has the learning rate (see optim.py).

    Attributes:
        model: the model that is trained.
        optimizer: its optimizer.
        scaler: scales the loss for fp16; switched off otherwise.
        average: moving average of the weights, or None.
        loss_sum: sum over the epoch's samples of the training loss, float64 scalar on the device.
        samples_done: samples of the epoch that are done.
        epoch: the epoch under way, counted from 0.
        updates_done: optimizer steps of that epoch.
        updates: optimizer steps of the whole run.
        best_score: best validation score so far, or None.
        best_epoch: its epoch.
        best_weights: the weights then, on the CPU.
        history: one dict of values an epoch.
        stopped_early: early stopping ended the training.
        micro_batches: [from which update on, most samples of one forward pass], one for each time that memory ran out.
        eval_batch: most samples of one forward pass in validation since memory ran out there; None: the config's.
        lr_factor: what the lr is multiplied by since a loss was not finite.
        retries: how often that was.
        notes: what a reader of the run must know of this training.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: WeightAverage | None
    loss_sum: Tensor
    samples_done: int = 0
    epoch: int = 0
    updates_done: int = 0
    updates: int = 0
    best_score: float | None = None
    best_epoch: int = -1
    best_weights: Weights = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    stopped_early: bool = False
    micro_batches: list[list[int]] = field(default_factory=list)
    eval_batch: int | None = None
    lr_factor: float = 1.0
    retries: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def evaluated(self) -> nn.Module:
        """The module that makes predictions: the average where there is one."""
        return self.average.module if self.average else self.model

    def next_epoch(self) -> None:
        """Step over the border between two epochs."""
        self.epoch, self.updates_done, self.samples_done = self.epoch + 1, 0, 0
        self.loss_sum.zero_()

    def shrink_eval_batch(self, before: int, size: int) -> None:
        """Validate with fewer samples a forward pass from now on."""
        self.eval_batch = size
        self.notes.append(
            f"out of memory in the validation of epoch {self.epoch}: from there on {size} samples a forward pass "
            f"instead of {before}"
        )

    def snapshot(self, spoilt: Tensor | None = None) -> Snapshot:
        """A copy of all of it on the CPU. Copies from a GPU are only begun: `ready` tells when they have arrived.

        Args:
            spoilt: not 0 where a loss so far was not finite, a scalar on the device; None: all were.
        """
        weights = {"weights": copy_weights(self.model)}
        if self.average:
            weights["average"] = copy_weights(self.average.module)
        if self.best_weights:
            weights["best"] = self.best_weights
        rest = {
            "optimizer": _on_host(self.optimizer.state_dict()),
            "scaler": self.scaler.state_dict(),
            "loss_sum": _on_host(self.loss_sum),
            **{name: _on_host(getattr(self, name)) for name in _PLAIN},
        }
        flag = None if spoilt is None else _on_host(spoilt)
        ready = None
        if self.loss_sum.is_cuda:
            ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
            ready.record()
        return Snapshot(weights, rest, ready, flag)

    def restore(self, saved: Snapshot) -> None:
        """Take over what `snapshot` copied."""
        self.model.load_state_dict(saved.weights["weights"])
        if self.average:
            self.average.module.load_state_dict(saved.weights["average"])
        self.best_weights = dict(saved.weights.get("best", {}))
        self.optimizer.load_state_dict(saved.rest["optimizer"])
        self.scaler.load_state_dict(saved.rest["scaler"])
        self.loss_sum.copy_(saved.rest["loss_sum"])
        for name in _PLAIN:
            setattr(self, name, saved.rest[name])


_PLAIN = (
    "samples_done",
    "epoch",
    "updates_done",
    "updates",
    "best_score",
    "best_epoch",
    "history",
    "stopped_early",
    "micro_batches",
    "eval_batch",
    "lr_factor",
    "retries",
    "notes",
)


def copy_weights(model: nn.Module) -> Weights:
    """A copy of a module's weights and buffers on the CPU; see `TrainState.snapshot` for when it has arrived."""
    return {name: _on_host(tensor, torch.contiguous_format) for name, tensor in model.state_dict().items()}


def _on_host(value: Any, layout: torch.memory_format = torch.preserve_format) -> Any:
    """A copy on the CPU, through dicts and lists. From a GPU it goes to pinned memory, behind the work so far.

    The optimizer's moments must keep their layout: fused kernels go through weights and moments in memory order.
    """
    if isinstance(value, Tensor):
        return value.detach().to("cpu", non_blocking=True, copy=True, memory_format=layout)
    if isinstance(value, dict):
        return {name: _on_host(item) for name, item in value.items()}
    return [_on_host(item) for item in value] if isinstance(value, list) else value

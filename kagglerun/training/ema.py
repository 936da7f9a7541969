"""Exponential moving average of the weights."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class WeightAverage:
    """Averages the parameters after each update; buffers (running means) are copied.

    The decay of update n is min(decay, (1 + n) / (10 + n)), so that the random start is forgotten in short runs.

    Args:
        model: the model that is trained.
        decay: the decay reached in long runs, in (0, 1).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.module = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, updates: int) -> None:
        """Take the weights after update number `updates` (counted from 1) into the average."""
        decay = min(self.decay, (1 + updates) / (10 + updates))
        averaged: list[Tensor] = list(self.module.parameters())
        trained: list[Tensor] = list(model.parameters())
        torch._foreach_lerp_(averaged, trained, 1 - decay)
        for mine, theirs in zip(self.module.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)

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
        # Going through the modules at each update would cost more than the average itself in a small network.
        self._averaged: list[Tensor] = list(self.module.parameters())
        self._trained: list[Tensor] = list(model.parameters())
        self._copied, self._running = list(self.module.buffers()), list(model.buffers())

    @torch.no_grad()
    def update(self, updates: int) -> None:
        """Take the model's weights after update number `updates` (counted from 1) into the average."""
        decay = min(self.decay, (1 + updates) / (10 + updates))
        torch._foreach_lerp_(self._averaged, self._trained, 1 - decay)
        if self._copied:
            torch._foreach_copy_(self._copied, self._running)

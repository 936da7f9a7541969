"""The processes that share each update."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from kagglerun.training.batches import Samples


class Team:
    """One process alone; several are a subclass that keeps these words.

    Attributes:
        rank: number of this process.
        size: number of processes.
    """

    rank = 0
    size = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    def share(self, samples: Samples) -> Samples:
        """The samples that are this process's."""
        return samples

    def wrap(self, forward: Callable[..., Tensor], model: nn.Module) -> Callable[..., Tensor]:
        """The forward pass whose backward pass averages gradients over the team.

        Args:
            forward: the model as it is called (compiled, perhaps).
            model: the module that holds the weights.
        """
        del model
        return forward

    def backward_of(self, is_last: bool) -> AbstractContextManager[Any]:
        """Around forward and backward of one piece; gradients are exchanged at the last piece of an update only."""
        del is_last
        return nullcontext()

    def mean(self, value: Tensor) -> Tensor:
        """The mean over the team of a scalar on the device."""
        return value

    def agree(self, stop: bool, save: bool) -> tuple[bool, bool]:
        """What the first process wants, the same answer at the same update in every process."""
        return stop, save

    def sync_buffers(self, module: nn.Module) -> None:
        """Take over the first process's buffers (running means)."""

    def gather(self, own: Tensor, total: int) -> Tensor:
        """Rows of all processes in order.

        Args:
            own: this process's rows on the CPU: those that `share` gave of `total` rows in order.
            total: number of rows.
        """
        del total
        return own


def current_team(device: torch.device) -> Team:
    """The team that this process belongs to."""
    del device
    return Team()

"""The processes that share each update."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

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
        """The samples of an update that are this process's."""
        return samples

    def parts(self, parts: list[Samples]) -> list[Samples]:
        """The batches that this process predicts: whole ones, so that results do not depend on the team's size."""
        return parts

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model whose backward pass averages gradients over the team."""
        return model

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

    def gather(self, own: Tensor | None) -> Tensor:
        """Rows of all processes, those of the first process first.

        Args:
            own: this process's rows, float32 on the CPU; None for none, which not all of them may have.
        """
        assert own is not None, "one process alone has all the rows"
        return own

    def values_of_first(self, values: Callable[[], dict[str, float]]) -> dict[str, float]:
        """What the first process makes, the same in all; the others do not call `values`."""
        return values()

    def number_of_first(self, number: int) -> int:
        """The first process's number."""
        return number

    def wait_for_all(self) -> None:
        """Return when every process has come here."""


_current = Team()


def current_team() -> Team:
    """The team that this process belongs to."""
    return _current


def set_current_team(team: Team) -> None:
    """Say which team this process belongs to."""
    global _current
    _current = team

"""The contract between the coordinator and those who execute trials, and what they tell it.

Workers never touch the study. They get tasks and give events; a worker that dies gives `WorkerLost`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from kagglerun.sweep.objective import TrialScore, TrialTask


@dataclass(frozen=True)
class EpochDone:
    """A trial has done an epoch (or tree) of a fold, both counted from 0."""

    number: int
    fold: int
    epoch: int
    epochs: int


@dataclass(frozen=True)
class FoldDone:
    """A trial has done a fold (counted from 0)."""

    number: int
    fold: int
    n_folds: int
    score: float


@dataclass(frozen=True)
class TrialDone:
    """A trial is complete, or was stopped early."""

    number: int
    score: TrialScore


@dataclass(frozen=True)
class TrialFailed:
    """A trial failed; `kind` is the error's class."""

    number: int
    kind: str
    message: str


@dataclass(frozen=True)
class TrialInterrupted:
    """A trial stopped as it was asked to and can be continued."""

    number: int


@dataclass(frozen=True)
class WorkerLost:
    """A worker died.

    Attributes:
        number: the trial it had; None when it had none.
        reason: e.g. "killed by SIGKILL".
        was_ready: whether it had begun to work; if not, the trial is not to blame.
    """

    number: int | None
    reason: str
    was_ready: bool


@dataclass(frozen=True)
class TrialSays:
    """A line for the log on a trial that waits or goes on, e.g. while the disk is full."""

    number: int
    text: str


Event = EpochDone | FoldDone | TrialSays | TrialDone | TrialFailed | TrialInterrupted | WorkerLost


class Workers(Protocol):
    """Executes trials somewhere else."""

    @property
    def free(self) -> int:
        """How many more tasks can be taken now."""

    def submit(self, task: TrialTask) -> None:
        """Execute a task; `free` must be above 0."""

    def wait(self, seconds: float) -> Sequence[Event]:
        """What happened, waiting at most so long for the first event."""

    def ask_to_stop(self) -> None:
        """Ask all tasks to save where they are and end."""

    def close(self) -> None:
        """End all workers at once."""

"""One attempt to work on a study: what a coordinator has in hand from its start to its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from kagglerun.jobs.run import Reporter
from kagglerun.sweep.budget import Budget
from kagglerun.sweep.room import with_room, written_folders
from kagglerun.sweep.study import StudySpec
from kagglerun.workspace import StudyPaths, Workspace

T = TypeVar("T")


@dataclass(frozen=True)
class Attempt:
    """What the trials of a study and the race of its best are worked on with.

    Attributes:
        workspace: where the study lives.
        paths: its files.
        spec: what it is.
        reporter: is told of the progress, and may ask to stop.
        parent: MLflow key of the parent run; None when runs are not tracked.
        budget: what may be spent.
    """

    workspace: Workspace
    paths: StudyPaths
    spec: StudySpec
    reporter: Reporter
    parent: str | None
    budget: Budget

    def record(self, action: Callable[[], T]) -> T:
        """Do something that writes results down; while the disk is full, wait and do it again.

        Raises:
            StoppedWaiting: somebody asked to stop meanwhile.
        """
        return with_room(action, written_folders(self.workspace), self.reporter)

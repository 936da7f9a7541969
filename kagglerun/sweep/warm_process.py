"""What a process that executes one trial after another does around each of them."""

from __future__ import annotations

import gc
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kagglerun.sweep.clean_slate import CleanSlate
from kagglerun.workspace import Workspace

if TYPE_CHECKING:
    from kagglerun.experiment.afterwards import Afterwards

LEAVE_SECONDS = 20.0
"""How long a process that is told to leave goes on drawing, and tells MLflow what it does not know yet."""


class WarmProcess:
    """Keeps imports and data from trial to trial, starts each from a clean slate, leaves what can wait for later.

    Args:
        workspace: where the runs are.
        is_tracked: whether trials are runs, tracked in MLflow; others have nothing to keep and nothing to draw.
    """

    def __init__(self, workspace: Workspace, is_tracked: bool) -> None:
        self._workspace = workspace
        self._slate = CleanSlate.take(workspace.root)
        self._afterwards: Afterwards | None = None
        self._is_tracked = is_tracked
        self._n_before = 0

    def before(self, task: Mapping[str, Any]) -> None:
        """Prepare for a task, as `worker_process.task_to_json` gives it."""
        if self._n_before == 0:
            self._begin()
        else:
            self._slate.restore()
            self._give_back_memory()
        self._n_before += 1
        if self._afterwards is not None and "study" in task["tags"]:
            self._afterwards.take_up(task["config"]["competition"], task["tags"]["study"])

    def leave(self, seconds: float = LEAVE_SECONDS) -> None:
        """Do what was left for later, for at most so long; the next process makes up for the rest."""
        if self._afterwards is not None:
            self._afterwards.finish(seconds)

    def _begin(self) -> None:
        if self._is_tracked:
            import kagglerun.experiment.run  # noqa: F401
            from kagglerun.experiment.afterwards import Afterwards
            from kagglerun.experiment.warm import keep_between_runs

            keep_between_runs()
            self._afterwards = Afterwards(self._workspace)
            self._afterwards.begin()
            gc.freeze()

    def _give_back_memory(self) -> None:
        """What the last trial left: cycles may hold its tensors, and other processes may need the GPU's memory."""
        gc.collect()
        if self._n_before == 1:
            # What the first trial imported stays. To look through its million objects takes 0.7 s each time.
            gc.freeze()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
            torch.cuda.empty_cache()

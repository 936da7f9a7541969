"""MLflow brought up to the journals of trials that were executed elsewhere, one process for all of them."""

from __future__ import annotations

import logging
import queue
import threading
import time

from kagglerun.errors import KagglerunError
from kagglerun.tracking import sync
from kagglerun.workspace import RunPaths, Workspace

CLOSE_SECONDS = 30.0
"""How long the end of a sweep waits for MLflow; what is missing then comes with `kagglerun track sync`."""

_log = logging.getLogger("kagglerun.sweep")


class TrackingBehind(threading.Thread):
    """Replays the journals of runs into MLflow, one after another; trials never wait for it."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(name="tracking of trials", daemon=True)
        self._workspace = workspace
        self._runs: queue.SimpleQueue[RunPaths | None] = queue.SimpleQueue()
        self._told = False
        self.start()

    def ended(self, run: RunPaths) -> None:
        """A trial has ended; its journal is here."""
        if run.journal.is_file():
            self._runs.put(run)

    def close(self) -> None:
        """Wait a while until MLflow has everything."""
        self._runs.put(None)
        self.join(CLOSE_SECONDS)

    def run(self) -> None:
        """Replay until `close`."""
        while (run := self._runs.get()) is not None:
            begun = time.monotonic()
            try:
                problem = next(report.problem for report in sync(self._workspace, [run]))
            except (KagglerunError, OSError) as error:
                problem = str(error)
            if problem:
                self._tell(problem)
                # A server that is down is not asked again for each of thousands of trials at once.
                time.sleep(min(time.monotonic() - begun, CLOSE_SECONDS))

    def _tell(self, problem: str) -> None:
        if not self._told:
            self._told = True
            _log.warning("MLflow is behind: %s\n  the sweep goes on; later: kagglerun track sync", problem)

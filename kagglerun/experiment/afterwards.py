"""What a finished run still lacks and nobody needs to wait for: its pictures, and MLflow's last values.

In a process that executes run after run they are made while the next one trains: the pictures by a process of low
priority, MLflow by a thread. Predictions, scores and journal are on the disk before. What a killed process owes is
made up for by the next one that works on the same study; see `Afterwards.take_up`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from kagglerun.files import read_json
from kagglerun.tracking import NO_MLFLOW, add_artifacts, let_ends_linger, sync, tracking_uri, wait_for_ends
from kagglerun.workspace import RunPaths, Workspace

_log = logging.getLogger("kagglerun.experiment")

_active: Afterwards | None = None


def active() -> Afterwards | None:
    """Who does such work in this process; None where each run does its own at its end."""
    return _active


class Afterwards:
    """Does it, one run after another, in a thread.

    Args:
        workspace: where the runs are.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._owed: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._painter = _Painter()
        self._known: set[tuple[str, str]] = set()
        self._thread = threading.Thread(target=self._work, name="afterwards", daemon=True)

    def begin(self) -> None:
        """From now on, runs of this process leave their pictures and MLflow's last values to it."""
        global _active
        _active = self
        let_ends_linger()
        self._thread.start()

    def add(self, run: RunPaths) -> None:
        """Have the pictures of a run drawn and tracked; `run.drawing` must be there."""
        self._owed.put(partial(self._draw, run))

    def take_up(self, slug: str, study: str) -> None:
        """Make up for what processes that were killed owe to the runs of a study; once for each study."""
        if (slug, study) in self._known:
            return
        self._known.add((slug, study))
        self._owed.put(partial(self._make_up, slug, study))

    def finish(self, seconds: float) -> bool:
        """Do all that is owed, for at most so long; whether nothing is owed any more."""
        deadline = time.monotonic() + seconds
        self._owed.put(None)
        self._thread.join(seconds)
        done = not self._thread.is_alive()
        self._painter.close()
        return wait_for_ends(max(0.0, deadline - time.monotonic())) and done

    def _work(self) -> None:
        while (owed := self._owed.get()) is not None:
            _attempt(owed)

    def _draw(self, run: RunPaths) -> None:
        pictures = self._painter.draw(run)
        if pictures:
            add_artifacts(self._workspace, run, pictures, "plots")
            run.drawing.unlink(missing_ok=True)

    def _make_up(self, slug: str, study: str) -> None:
        runs = [run for run in self._workspace.all_runs(slug) if run.run_id.startswith(f"{study}-") and _has_ended(run)]
        for run in runs:
            if run.drawing.is_file():
                _attempt(partial(self._draw, run))
        if tracking_uri(self._workspace) != NO_MLFLOW:
            sync(self._workspace, runs)


def _attempt(owed: Callable[[], None]) -> None:
    try:
        owed()
    except Exception as error:
        # The runs are whole without it, and what it is made from stays for another attempt.
        _log.warning("some pictures or values of MLflow are owed: %s", error)


def _has_ended(run: RunPaths) -> bool:
    with contextlib.suppress(OSError, ValueError, KeyError):
        return run.metrics.exists() and read_json(run.status)["state"] != "RUNNING"
    return False


class _Painter:
    """A process that draws; see `drawing`."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def draw(self, run: RunPaths) -> list[Path]:
        """Draw what a run owes; the pictures.

        Raises:
            OSError: the process cannot be started, or died.
            ValueError: the pictures cannot be drawn.
        """
        process = self._process = self._process if self._process and self._process.poll() is None else _start_painter()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"run": str(run.folder)}).encode() + b"\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise OSError("the process that draws has died")
        said: dict[str, Any] = json.loads(line)
        if said["error"]:
            raise ValueError(said["error"])
        return [Path(path) for path in said["drawn"]]

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


def _start_painter() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "kagglerun.experiment.drawing", str(os.getpid())]
    # No GPU and one thread: it must not take anything from the training.
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)

"""The process of a local worker: reads tasks, executes them, writes events.

It dies with its coordinator: the kernel kills it when its parent dies, and where it cannot, the end of its
input does. What it prints goes to the log; the pipe carries the protocol alone.
"""

from __future__ import annotations

import ctypes
import json
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from kagglerun.config.load import parse_config
from kagglerun.errors import KagglerunError
from kagglerun.sweep.objective import Objective, TrialStopped, TrialTask, load_objective
from kagglerun.workspace import Workspace

_PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> int:
    """Execute tasks until the input ends.

    Args:
        argv: dotted path of the objective; process id of the coordinator.

    Returns:
        The exit code; 1 after an error of the program, so that the next trial gets a fresh process.
    """
    objective_path, parent = argv
    _die_with(int(parent))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches all; the coordinator decides
    channel = _Channel()
    objective = load_objective(objective_path)
    workspace = Workspace.find()
    channel.send({"event": "ready"})
    while True:
        if not _execute(objective, workspace, channel.next_task(), channel):
            return 1


def task_to_json(task: TrialTask) -> dict[str, Any]:
    """A task as the protocol carries it."""
    return {
        "number": task.number,
        "run_id": task.run_id,
        "config": task.config.model_dump(mode="json"),
        "parent": task.parent,
        "tags": dict(task.tags),
    }


def _task_from_json(values: dict[str, Any]) -> TrialTask:
    return TrialTask(**{**values, "config": parse_config(values["config"], "the trial's config")})


def _execute(objective: Objective, workspace: Workspace, said: dict[str, Any], channel: _Channel) -> bool:
    """Execute one task and say how it ended; False after an error of the program."""
    number = said["number"]
    try:
        score = objective.run(workspace, _task_from_json(said), _PipeObserver(channel, number))
        end = {"event": "end", **asdict(score)}
    except TrialStopped:
        end = {"event": "end"}
    except KagglerunError as error:
        end = {"event": "end", "kind": type(error).__name__, "message": error.message}
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        text = (str(error).splitlines() or [""])[0]
        channel.send({"event": "end", "number": number, "kind": type(error).__name__, "message": text})
        return False
    channel.send({**end, "number": number})
    return True


class _PipeObserver:
    """Tells the coordinator how far the trial is."""

    def __init__(self, channel: _Channel, number: int) -> None:
        self._channel = channel
        self._number = number

    def epoch(self, fold: int, epoch: int, epochs: int, values: Mapping[str, float]) -> None:  # noqa: ARG002
        """Tell of an epoch."""
        self._channel.send({"event": "epoch", "number": self._number, "fold": fold, "epoch": epoch, "epochs": epochs})

    def fold(self, fold: int, n_folds: int, score: float) -> None:
        """Tell of a fold."""
        self._channel.send(
            {"event": "fold", "number": self._number, "fold": fold, "n_folds": n_folds, "score": float(score)}
        )

    def should_stop(self) -> bool:
        """Whether the coordinator asked for it."""
        return self._channel.stop.is_set()


class _Channel:
    """The pipes to the coordinator, taken away from standard input and output."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._tasks: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._input = os.fdopen(os.dup(0), "rb")
        self._output = os.fdopen(os.dup(1), "wb")
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        threading.Thread(target=self._listen, name="coordinator", daemon=True).start()

    def next_task(self) -> dict[str, Any]:
        """The next task, waiting for it."""
        return self._tasks.get()

    def send(self, message: Mapping[str, Any]) -> None:
        """Tell the coordinator something."""
        self._output.write(json.dumps(message).encode() + b"\n")
        self._output.flush()

    def _listen(self) -> None:
        for line in self._input:
            message = json.loads(line)
            if "task" in message:
                self._tasks.put(message["task"])
            else:
                self.stop.set()
        os._exit(0)  # no coordinator, no work: what the trial has saved is enough to go on


def _die_with(parent: int) -> None:
    """Have the kernel end this process when its parent dies. Elsewhere than on Linux the end of the input does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)  # it died before the kernel was told

"""The process of a local worker: reads tasks, executes them, writes events.

It dies with its coordinator: the kernel kills it when its parent dies, and where it cannot, the end of its
input does. What it prints goes to the log; the pipe carries the protocol alone.
"""

from __future__ import annotations

import contextlib
import signal
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from kagglerun.config.load import parse_config
from kagglerun.errors import KagglerunError
from kagglerun.jobs.child import Channel, die_with
from kagglerun.sweep.objective import Objective, TrialStopped, TrialTask, load_objective
from kagglerun.sweep.pruning.rule import StopRule
from kagglerun.sweep.room import run_with_room
from kagglerun.sweep.warm_process import WarmProcess
from kagglerun.workspace import Workspace


def main(argv: list[str]) -> int:
    """Execute tasks until told to leave; the end of the input ends the process at once.

    Args:
        argv: dotted path of the objective; process id of the coordinator.

    Returns:
        The exit code: 0 when told to leave; 1 after an error of the program, so that the next trial gets a fresh
        process.
    """
    objective_path, parent = argv
    die_with(int(parent))
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # Ctrl-C and a terminal's end reach all; the coordinator decides
    shutdown = _Shutdown()
    signal.signal(signal.SIGTERM, shutdown)
    channel = Channel()
    objective = load_objective(objective_path)
    workspace = Workspace.find()
    process = WarmProcess(workspace, objective.is_tracked)
    channel.send({"event": "ready"})
    while "task" in (said := channel.receive()):
        process.before(said["task"])
        shutdown.has_come = False
        if not _execute(objective, workspace, said["task"], channel, shutdown):
            return 1
    process.leave()
    return 0


def task_to_json(task: TrialTask) -> dict[str, Any]:
    """A task as the protocol carries it."""
    return {
        "number": task.number,
        "run_id": task.run_id,
        "config": task.config.model_dump(mode="json"),
        "parent": task.parent,
        "tags": dict(task.tags),
        "rule": asdict(task.rule) if task.rule else None,
    }


def task_from_json(values: dict[str, Any]) -> TrialTask:
    """The task that `task_to_json` wrote."""
    rule = StopRule.from_json(values["rule"]) if values["rule"] else None
    return TrialTask(**{**values, "config": parse_config(values["config"], "the trial's config"), "rule": rule})


class _Shutdown:
    """SIGTERM, which systemd sends to all processes of a job when the machine goes down: the coordinator acts on it.

    No process that a trial starts inherits this; those that training needs die of the signal, and that is no failure
    of the trial.
    """

    def __init__(self) -> None:
        self.has_come = False

    def __call__(self, *_: object) -> None:
        self.has_come = True


def _execute(
    objective: Objective, workspace: Workspace, said: dict[str, Any], channel: Channel, shutdown: _Shutdown
) -> bool:
    """Execute one task and say how it ended; False after an error of the program."""
    number = said["number"]
    try:
        task, observer = task_from_json(said), _PipeObserver(channel, number)
        score = run_with_room(objective, workspace, task, observer, observer.say)
        end = {"event": "end", **asdict(score)}
    except TrialStopped:
        end = {"event": "end"}
    except KagglerunError as error:
        end = _failure(type(error).__name__, error.message, shutdown)
    except (Exception, SystemExit) as error:
        with contextlib.suppress(OSError):
            traceback.print_exc()
        text = (str(error).splitlines() or [""])[0]
        channel.send({**_failure(type(error).__name__, text, shutdown), "number": number, "leaves": True})
        return False
    channel.send({**end, "number": number})
    return True


def _failure(kind: str, message: str, shutdown: _Shutdown) -> dict[str, Any]:
    """The end of a trial that met an error: after a SIGTERM it was interrupted."""
    return {"event": "end"} if shutdown.has_come else {"event": "end", "kind": kind, "message": message}


class _PipeObserver:
    """Tells the coordinator how far the trial is."""

    def __init__(self, channel: Channel, number: int) -> None:
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

    def say(self, text: str) -> None:
        """Have the coordinator say it: this process may print into a file on the disk that is full."""
        self._channel.send({"event": "says", "number": self._number, "text": text})

    def should_stop(self) -> bool:
        """Whether the coordinator asked for it."""
        return self._channel.stop.is_set()

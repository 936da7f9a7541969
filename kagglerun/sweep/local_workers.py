"""Workers that are processes on this machine.

`python -m kagglerun.sweep.local_workers OBJECTIVE PARENT` is one of them (see `worker_process`). It keeps its
imports from trial to trial and speaks JSON, one object a line, over pipes.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from kagglerun.errors import JobError
from kagglerun.jobs.child import how_it_ended
from kagglerun.jobs.reservations import held_by_others
from kagglerun.sweep.devices import VISIBLE, Device, free_gpus, spread
from kagglerun.sweep.objective import TrialScore, TrialTask
from kagglerun.sweep.warm_process import LEAVE_SECONDS
from kagglerun.sweep.worker_process import main, task_to_json
from kagglerun.sweep.workers import (
    EpochDone,
    Event,
    FoldDone,
    TrialDone,
    TrialFailed,
    TrialInterrupted,
    TrialSays,
    WorkerLost,
)
from kagglerun.workspace import Workspace

_BLOCK_BYTES = 1 << 16
_CLOSE_SECONDS = LEAVE_SECONDS + 5.0
_CLOSE_SECONDS_WHEN_STOPPED = 3.0
_BURY_SECONDS = 5.0


class LocalWorkers:
    """Worker processes, started when there is work for them, replaced when they die.

    Args:
        workspace: where runs are written.
        objective: dotted path of what a trial does.
        count: largest number of processes.
        lock: descriptor of the study's lock, which workers inherit; None without.
        log: file for what they print; None is standard error.
        slots: trials that share a GPU; by default as few as `count` allows.
        gpus: GPUs of each trial.
        devices: asks for the GPUs as they are now.
    """

    def __init__(
        self,
        workspace: Workspace,
        objective: str,
        count: int,
        lock: int | None = None,
        log: IO[bytes] | None = None,
        *,
        slots: int = 1,
        gpus: int = 1,
        devices: Callable[[], Sequence[Device]] = free_gpus,
    ) -> None:
        self._workspace = workspace
        self._objective = objective
        self._count = count
        self._lock = lock
        self._log = log
        self._slots, self._gpus, self._devices = slots, gpus, devices
        self._selector = selectors.DefaultSelector()
        self._workers: dict[int, _Worker] = {}
        self._stopping = False
        self._had: list[Device] = []

    @property
    def free(self) -> int:
        """Processes without a task, and those that may still be started."""
        return self._count - sum(worker.number is not None for worker in self._workers.values())

    def submit(self, task: TrialTask) -> None:
        """Give a task to an idle process, or to a new one."""
        for worker in [worker for worker in self._workers.values() if worker.leaves]:
            self._bury(worker)
        idle = [worker for worker in self._workers.values() if worker.number is None]
        (idle[0] if idle else self._start()).give(task)

    def wait(self, seconds: float) -> Sequence[Event]:
        """Events of all processes; a process that has died gives one WorkerLost unless it was idle and ready."""
        events: list[Event] = []
        # Asked before the pipes are: what a process wrote before it died is then in its pipe.
        dead = [worker for worker in self._workers.values() if worker.is_dead()]
        readable: list[_Worker] = [key.data for key, _ in self._selector.select(0 if dead else seconds)]
        for worker in readable:
            events += worker.read()
        # A process that a worker left behind may keep its pipe open, so the end of the pipe alone is no proof.
        for worker in list(self._workers.values()):
            if worker.is_gone or (worker in dead and worker not in readable):
                events += self._bury(worker)
        return events

    def ask_to_stop(self) -> None:
        """Ask all tasks to end; see `wait` for their TrialInterrupted."""
        self._stopping = True
        for worker in self._workers.values():
            worker.send({"stop": True})

    def close(self) -> None:
        """End all processes that have a task; the others draw and track what they still owe, and leave."""
        for worker in self._workers.values():
            worker.leave()
        # Who asked for a stop waits for it; the next attempt makes up for what is owed.
        deadline = time.monotonic() + (_CLOSE_SECONDS_WHEN_STOPPED if self._stopping else _CLOSE_SECONDS)
        for worker in self._workers.values():
            worker.end(deadline)
        self._workers.clear()
        self._selector.close()

    def _start(self) -> _Worker:
        slot = next(slot for slot in range(self._count) if slot not in self._workers)
        environment = {**os.environ, "KAGGLERUN_WORKSPACE": str(self._workspace.root), "PYTHONUNBUFFERED": "1"}
        chosen = self._place()
        if chosen:
            environment[VISIBLE] = ",".join(chosen)
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "kagglerun.sweep.local_workers", self._objective, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
            pass_fds=() if self._lock is None else (self._lock,),
        )
        worker = _Worker(slot, process, chosen)
        self._workers[slot] = worker
        self._selector.register(worker.output, selectors.EVENT_READ, worker)
        return worker

    def _place(self) -> list[str]:
        """The GPUs of a new process; none where there is nothing to choose."""
        left = self._free_devices()
        if left and len(left) < self._gpus and held_by_others():
            raise JobError(
                f"a trial takes {self._gpus} GPUs, and others have reserved all but {len(left)}",
                hint="wait, or training.gpus=1; kagglerun gpus shows who has them",
            )
        if len(left) < self._gpus or (len(left) == 1 and not held_by_others()):
            return []
        placed = [name for worker in self._workers.values() for name in worker.devices]
        chosen: list[str] = []
        for _ in range(self._gpus):
            device = spread(left, placed, self._slots)
            assert device is not None, "there are as many devices as a trial needs"
            chosen.append(device.name)
            left.remove(device)
        return chosen

    def _free_devices(self) -> list[Device]:
        """The GPUs that nobody else has reserved; where others have come to reserve all, those that were ours."""
        try:
            self._had = list(self._devices())
        except JobError:
            if not self._had:
                raise
        return list(self._had)

    def _bury(self, worker: _Worker) -> list[Event]:
        self._selector.unregister(worker.output)
        del self._workers[worker.slot]
        reason = worker.end(time.monotonic() + _BURY_SECONDS)
        if worker.number is None and worker.was_ready:
            return []
        return [WorkerLost(worker.number, reason, worker.was_ready)]


class _Worker:
    """The coordinator's end of one process."""

    def __init__(self, slot: int, process: subprocess.Popen[bytes], devices: Sequence[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.slot = slot
        self.devices = tuple(devices)
        self.number: int | None = None
        self.was_ready = False
        self.leaves = False
        """Whether it said that it ends by itself, so that the next task gets a fresh process."""
        self.is_gone = False
        self.output = process.stdout
        self._input = process.stdin
        self._process = process
        self._unread = b""

    def give(self, task: TrialTask) -> None:
        self.number = task.number
        self.send({"task": task_to_json(task)})

    def send(self, message: Mapping[str, Any]) -> None:
        # A process that has died is noticed where its output ends.
        with contextlib.suppress(BrokenPipeError):
            self._input.write(json.dumps(message).encode() + b"\n")
            self._input.flush()

    def read(self) -> list[Event]:
        """What it said since; `is_gone` turns true where its output ends."""
        block = os.read(self.output.fileno(), _BLOCK_BYTES)
        self.is_gone = not block
        *lines, self._unread = (self._unread + block).split(b"\n")
        return [event for line in lines if (event := self._event(json.loads(line))) is not None]

    def is_dead(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def leave(self) -> None:
        """Ask a process without a task to leave; end one that has a task."""
        if self.number is None:
            self.send({"leave": True})
        else:
            self._process.kill()

    def end(self, deadline: float) -> str:
        """Wait until the process has left, by the monotonic clock; then end it. Says how it ended."""
        if self.number is not None and not self.is_gone:
            self._process.kill()
        try:
            code = self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._input.close()
        self.output.close()
        return how_it_ended(code)

    def _event(self, said: dict[str, Any]) -> Event | None:
        match said.pop("event"):
            case "ready":
                self.was_ready = True
                return None
            case "epoch":
                return EpochDone(**said)
            case "fold":
                return FoldDone(**said)
            case "says":
                return TrialSays(**said)
        self.number = None
        self.leaves = bool(said.pop("leaves", False))
        return _end_of_trial(said)


def _end_of_trial(said: dict[str, Any]) -> Event:
    number = said["number"]
    if "value" in said:
        lists = {name: tuple(said[name]) for name in ("fold_scores", "curve", "raw_fold_scores")}
        return TrialDone(number, TrialScore(said["value"], seconds=said["seconds"], stopped=said["stopped"], **lists))
    if "kind" in said:
        return TrialFailed(number, said["kind"], said["message"])
    return TrialInterrupted(number)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # at a regular end libraries take a second to tell of what they leak

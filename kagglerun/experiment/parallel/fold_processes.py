"""The folds of a run in processes of their own: several folds at once, or one fold by several processes.

The process that owns the run starts them, gives them folds, hears how far they are, asks them to stop, and says
why they failed. They die with it. What a fold gives does not depend on any of this.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kagglerun import errors
from kagglerun.config.schema import Config
from kagglerun.errors import KagglerunError, TrainingError
from kagglerun.experiment.parallel.fold_worker import LOGS, OUT_OF_MEMORY, PEER_LOST
from kagglerun.jobs.child import PARENT, how_it_ended, visible_devices
from kagglerun.training.loop import Stopped
from kagglerun.training.pace import Pace, count
from kagglerun.workspace import RunPaths, Workspace

_POLL_SECONDS = 0.2
_BLOCK_BYTES = 1 << 16
_STOP_SECONDS = 30.0
_LAST_LINES = 5
_WORKER = "kagglerun.experiment.parallel.fold_worker"

EpochDone = Callable[[int, int, dict[str, float]], None]
"""(fold, step, values) after each epoch or tree of a fold."""


class OutOfMemory(TrainingError):
    """The memory of a process ran out; its fold can go on with smaller forward passes."""


class FoldProcesses:
    """Trains folds in other processes; what they give lies in the run's folder.

    Args:
        workspace: where the run is.
        paths: the run; its config is frozen.
        config: that config. With `training.gpus` above 1 each fold is trained by so many processes.
        count: folds that are trained at the same time.
    """

    def __init__(self, workspace: Workspace, paths: RunPaths, config: Config, count: int) -> None:
        self._workspace, self._paths, self._config, self._count = workspace, paths, config, count
        self._devices = visible_devices() if count > 1 and config.training.device != "cpu" else []
        self._selector = selectors.DefaultSelector()
        self._crews: dict[int, _Crew] = {}

    def train(
        self, folds: Sequence[int], epoch: EpochDone, fold_done: Callable[[int], None], should_stop: Callable[[], bool]
    ) -> None:
        """Train these folds, or go on with them.

        Args:
            folds: their numbers.
            epoch: is told of epochs.
            fold_done: is told of each fold whose result is written.
            should_stop: asked several times a second.

        Raises:
            Stopped: `should_stop` said so; all that was trained is saved.
            OutOfMemory: a process met the end of its memory.
            KagglerunError: a fold failed; the others were stopped and saved.
        """
        waiting, deadline = list(folds), math.inf
        try:
            while waiting or self._busy:
                self._give(waiting)
                for said in self._hear():
                    if said["event"] == "epoch":
                        epoch(said["fold"], said["step"], said["values"])
                    elif said["event"] == "done":
                        fold_done(said["fold"])
                    elif said["event"] == "pace":
                        count(Pace(said["updates"], said["samples"], said["seconds"], said["waited_seconds"]))
                for crew in self._busy:
                    if crew.is_dead:
                        raise crew.failure()
                if deadline == math.inf and should_stop():
                    # Those that do not answer, still starting for instance, have lost nothing since their checkpoint.
                    deadline = time.monotonic() + _STOP_SECONDS
                    waiting.clear()
                    self._ask_to_stop()
                if time.monotonic() > deadline:
                    raise Stopped
            if not all(self._paths.fold(fold).result.exists() for fold in folds):
                raise Stopped
        except KagglerunError:
            self._let_save()
            raise
        finally:
            self._close()

    @property
    def _busy(self) -> list[_Crew]:
        return [crew for crew in self._crews.values() if crew.fold is not None]

    def _give(self, waiting: list[int]) -> None:
        for slot in range(min(self._count, len(waiting) + len(self._busy))):
            if slot not in self._crews:
                self._crews[slot] = self._start(slot)
            crew = self._crews[slot]
            if crew.fold is None and waiting:
                crew.fold = waiting.pop(0)
                crew.send({"fold": crew.fold})

    def _start(self, slot: int) -> _Crew:
        crew = _Crew(self._workspace, self._paths, self._config, self._device_of(slot))
        self._selector.register(crew.output, selectors.EVENT_READ, crew)
        return crew

    def _device_of(self, slot: int) -> str | None:
        return self._devices[slot % len(self._devices)] if len(self._devices) > 1 else None

    def _hear(self) -> list[dict[str, Any]]:
        """What was said since the last time."""
        # Asked before the pipes are: what a process wrote before it died is then in its pipe.
        ended = [crew for crew in self._crews.values() if crew.has_ended()]
        readable: list[_Crew] = [key.data for key, _ in self._selector.select(0 if ended else _POLL_SECONDS)]
        said = [message for crew in readable for message in crew.read()]
        for crew in ended:
            # A process that it left behind may keep its pipe open, so the end of the pipe is not waited for.
            crew.is_dead = crew.is_dead or crew not in readable or crew.is_silent
        return said

    def _ask_to_stop(self) -> None:
        for crew in self._crews.values():
            crew.send({"stop": True})

    def _let_save(self) -> None:
        """After a failure: let the others save where they are."""
        self._ask_to_stop()
        deadline = time.monotonic() + _STOP_SECONDS
        while time.monotonic() < deadline and any(not crew.is_dead for crew in self._busy):
            self._hear()

    def _close(self) -> None:
        for crew in self._crews.values():
            self._selector.unregister(crew.output)
            crew.end()
        self._crews.clear()


@dataclass
class _Failures:
    """What the processes of a crew said of their end."""

    told: list[dict[str, Any]] = field(default_factory=list)
    codes: Mapping[str, int] = field(default_factory=dict)


class _Crew:
    """One process, or those of one torchrun, that train one fold at a time."""

    def __init__(self, workspace: Workspace, paths: RunPaths, config: Config, device: str | None) -> None:
        self.fold: int | None = None
        self._gpus = config.training.gpus
        self._failures = _Failures()
        self._logs = tempfile.TemporaryDirectory(prefix="kagglerun-")
        command = [sys.executable, "-P", "-m"]
        if self._gpus > 1:
            command += ["kagglerun.experiment.parallel.torchrun", str(self._gpus)]
        self._process = subprocess.Popen(
            [*command, _WORKER, paths.slug, paths.run_id],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment_of_workers(workspace, config, device, self._logs.name),
            start_new_session=True,  # Ctrl-C in a terminal reaches the parent alone
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self.output = self._process.stdin, self._process.stdout
        self._unread = b""
        self.is_silent = False
        """Whether its pipe has come to an end."""
        self.is_dead = False
        """Whether it has ended and all it said is read."""

    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def send(self, message: Mapping[str, Any]) -> None:
        """Tell the first process something; one that has died is noticed elsewhere."""
        with contextlib.suppress(BrokenPipeError):
            self._input.write(json.dumps(message).encode() + b"\n")
            self._input.flush()

    def read(self) -> list[dict[str, Any]]:
        """What it said since."""
        block = os.read(self.output.fileno(), _BLOCK_BYTES)
        self.is_silent = not block
        *lines, self._unread = (self._unread + block).split(b"\n")
        said = [json.loads(line) for line in lines]
        for message in said:
            if message["event"] in ("done", "stopped"):
                self.fold = None
            elif message["event"] == "failed":
                self._failures.told.append(message)
            elif message["event"] == "ended":
                self._failures.codes = message["codes"]
        return said

    def failure(self) -> KagglerunError:
        """Why it ended in the middle of a fold, in the words of the process that failed first."""
        told = [said for said in self._failures.told if said["kind"] != PEER_LOST]
        if told:
            return _as_error(told[0], self.fold, self._gpus)
        killed = {rank: code for rank, code in self._failures.codes.items() if code not in (0, 1, -signal.SIGTERM)}
        where, code = f"the process of fold {self.fold}", self._process.returncode
        if killed:
            rank, code = next(iter(killed.items()))
            where = f"process {rank} of {self._gpus} that train fold {self.fold}"
        return TrainingError(
            f"{where} was lost: {how_it_ended(code)}{self._last_words()}",
            hint="the same command with --run ID goes on from the last checkpoint",
        )

    def _last_words(self) -> str:
        """The last lines that a silent process printed."""
        lines = [
            line for log in sorted(Path(self._logs.name).iterdir()) for line in log.read_text("utf-8").splitlines()
        ]
        return "".join(f"\n  {line[:200]}" for line in lines[-_LAST_LINES:])

    def end(self) -> None:
        """End it: by its own will where it is idle, at once where it is not."""
        if self.fold is None:
            self.send({"fold": -1})
        else:
            self._process.kill()
        with contextlib.suppress(BrokenPipeError):
            self._input.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.output.close()
        self._logs.cleanup()


def environment_of_workers(workspace: Workspace, config: Config, device: str | None, logs: str) -> dict[str, str]:
    """What processes that train for this one are started with: one GPU each where `device` names it."""
    own = {
        "KAGGLERUN_WORKSPACE": str(workspace.root),
        PARENT: str(os.getpid()),
        LOGS: logs,
        "PYTHONUNBUFFERED": "1",
        "PYTHONSAFEPATH": "1",
    }
    if device is not None:
        own["CUDA_VISIBLE_DEVICES"] = device
    # torchrun would set it to 1, with a warning.
    return {"OMP_NUM_THREADS": str(config.training.cpu_threads or 1), **os.environ, **own}


def _as_error(said: Mapping[str, Any], fold: int | None, gpus: int) -> KagglerunError:
    """The error that a process told of."""
    where = f"fold {fold}" if gpus == 1 else f"fold {fold}, process {said['rank']} of {gpus}"
    if said["kind"] == OUT_OF_MEMORY:
        return OutOfMemory(f"{where}: {said['message']}", hint=said["hint"])
    kind = getattr(errors, said["kind"], TrainingError)
    made: KagglerunError = kind(f"{where}: {said['message']}", hint=said["hint"])
    return made

"""A slot for trials on a node of the cluster: what runs inside a Ray actor.

The actor reserves the GPU and the cores. The trials themselves run in a worker process of its own, the same as on
one machine, so that a crash costs that process alone and imports stay from trial to trial. It dies with the actor.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from kagglerun.errors import JobError
from kagglerun.experiment.exclusive import working_in
from kagglerun.sweep.local_workers import LocalWorkers
from kagglerun.sweep.ray.files_on_node import FileOfRun, FilesOnNode, Listed
from kagglerun.sweep.ray.home import Home, workspace_on_node
from kagglerun.sweep.worker_process import task_from_json
from kagglerun.sweep.workers import EpochDone, Event, FoldDone
from kagglerun.workspace import Workspace

PACKAGES = ("torch", "torchvision", "timm", "numpy", "pandas", "scikit-learn", "lightgbm", "pillow")
"""Packages whose version a result may depend on."""
_LOOK_SECONDS = 0.2
_BUNDLE_SECONDS = 1.0
_MOST_PRINTED_BYTES = 1 << 16
_LEFT_BEHIND_SECONDS = 60.0


@dataclass(frozen=True)
class Begun:
    """What a slot says of itself once it has begun.

    Attributes:
        node: Ray's id of its node.
        host: name of its machine.
        shares: whether it works in the coordinator's workspace.
        versions: of `PACKAGES` and of Python; a package that is not there is left out.
    """

    node: str
    host: str
    shares: bool
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Heard:
    """What happened in a slot since it was asked last.

    Attributes:
        events: of the trial.
        printed: what the worker process printed.
    """

    events: tuple[Event, ...]
    printed: bytes


class TrialSlot:
    """Executes one trial at a time; the body of a Ray actor with two threads, of which one is for `ask_to_stop`.

    Args:
        home: the coordinator's workspace.
        objective: dotted path of what a trial does.
        keep_threads: leave Ray's OMP_NUM_THREADS as it is, because the coordinator has it set as well.
    """

    def __init__(self, home: Home, objective: str, keep_threads: bool) -> None:
        import ray

        if not ray.get_gpu_ids():
            os.environ["CUDA_VISIBLE_DEVICES"] = ""  # who reserves none must not use those of others
        if not keep_threads:
            os.environ.pop("OMP_NUM_THREADS", None)  # Ray's own; local workers have none, and sums depend on it
        self._workspace, self._shares = workspace_on_node(home)
        self._files = FilesOnNode(self._workspace)
        self._printed = tempfile.TemporaryFile("a+b", buffering=0)  # noqa: SIM115
        self._read = 0
        # Ray has chosen the GPUs: the process takes over CUDA_VISIBLE_DEVICES as it is here.
        self._workers = LocalWorkers(self._workspace, objective, 1, log=self._printed, devices=tuple)
        self._asked_to_stop = False

    def begin(self) -> Begun:
        """Say where it is."""
        import ray

        node = ray.get_runtime_context().get_node_id()
        return Begun(node, socket.gethostname(), self._shares, package_versions())

    def execute(self, task: Mapping[str, Any], seconds: float) -> Heard:
        """Begin a trial; see `hear`."""
        parsed = task_from_json(dict(task))
        _wait_until_left(self._workspace, str(parsed.config.competition), parsed.run_id)
        self._workers.submit(parsed)
        return self.hear(seconds)

    def hear(self, seconds: float) -> Heard:
        """What happened, waiting at most so long. Epochs are told once a second, everything else at once."""
        events: list[Event] = []
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            events += self._workers.wait(_LOOK_SECONDS)
            if self._asked_to_stop:
                self._workers.ask_to_stop()
            patient = all(isinstance(event, EpochDone) for event in events)
            if not patient or (events and time.monotonic() - begun > _BUNDLE_SECONDS):
                break
        if not all(isinstance(event, EpochDone | FoldDone) for event in events):
            self._asked_to_stop = False  # the trial has ended
        return Heard(newest_epoch_only(events), self._new_output())

    def ask_to_stop(self) -> None:
        """Ask the trial to save where it is and end; called while `hear` waits, or a moment before."""
        self._asked_to_stop = True

    def leave(self) -> None:
        """Have the worker process do what it left for later, and end."""
        self._workers.close()

    def missing(self, listed: Sequence[Listed]) -> tuple[str, ...]:
        """See `FilesOnNode.missing`."""
        return self._files.missing(listed)

    def store(self, pieces: Mapping[str, tuple[int, bytes]]) -> None:
        """See `FilesOnNode.store`."""
        self._files.store(pieces)

    def keep(self, listed: Sequence[Listed]) -> None:
        """See `FilesOnNode.keep`."""
        self._files.keep(listed)

    def forget_run(self, slug: str, run_id: str) -> None:
        """See `FilesOnNode.forget_run`."""
        self._files.forget_run(slug, run_id)

    def files_of_run(self, slug: str, run_id: str) -> tuple[FileOfRun, ...]:
        """See `FilesOnNode.files_of_run`."""
        return self._files.files_of_run(slug, run_id)

    def read(self, name: str, offset: int, size: int) -> bytes | None:
        """See `FilesOnNode.read`."""
        return self._files.read(name, offset, size)

    def _new_output(self) -> bytes:
        """What the process printed since; of more than 64 kB the last part."""
        end = os.fstat(self._printed.fileno()).st_size
        start = max(self._read, end - _MOST_PRINTED_BYTES)
        text = os.pread(self._printed.fileno(), end - start, start)
        self._read = end
        if self._workers.free and end > _MOST_PRINTED_BYTES:
            self._printed.truncate(0)
            self._read = 0
        return text


def newest_epoch_only(events: Sequence[Event]) -> tuple[Event, ...]:
    """Of several epochs in a row the last one says it all."""
    kept: list[Event] = []
    for event in events:
        if kept and isinstance(event, EpochDone) and isinstance(kept[-1], EpochDone):
            kept.pop()
        kept.append(event)
    return tuple(kept)


def _wait_until_left(workspace: Workspace, slug: str, run_id: str) -> None:
    """Wait for a worker that was lost to a broken connection and has not noticed yet: it holds the run's folder."""
    folder = workspace.run(slug, run_id).folder
    deadline = time.monotonic() + _LEFT_BEHIND_SECONDS
    while folder.exists() and time.monotonic() < deadline:
        with contextlib.suppress(JobError), working_in(folder, "works on it"):
            return
        time.sleep(_LOOK_SECONDS)


def package_versions() -> dict[str, str]:
    """Versions of Python and of PACKAGES on this machine; a package that is not there is left out."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found

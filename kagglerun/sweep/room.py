"""A full disk pauses a sweep: whoever meets it says so, waits, and goes on when there is room.

It is met where something is written: a checkpoint or predictions by a worker, the record of a trial by the
coordinator. Neither is a failure of the trial.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from kagglerun.errors import DiskFull
from kagglerun.sweep.objective import Objective, TrialObserver, TrialScore, TrialStopped, TrialTask
from kagglerun.workspace import Workspace

T = TypeVar("T")

LEAST_BYTES = 64 << 20
"""Room from which work goes on the first time. Each time it was not enough the double is waited for."""
MOST_BYTES = 16 << 30
_SHARE_OF_DISK = 0.05
_PROBE_BYTES = 4 << 20
_POLL_SECONDS = 2.0
_MOST_IN_VAIN = 3
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_SQLITE_FULL = 13
_WORDS = ("no space left on device", "os error 28", "disk quota exceeded", "os error 122", "disk is full")


class StoppedWaiting(Exception):
    """Somebody asked for an end while the disk was full."""


class Waiter(Protocol):
    """Whom to tell of a full disk, and who may end the waiting; a job's `Reporter` is one."""

    def say(self, text: str) -> None:
        """Take a line for the log."""

    @property
    def stop_requested(self) -> bool:
        """Whether to wait no longer."""


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, or one that it came from, is that of a full disk or a used-up quota.

    Libraries that write by themselves (safetensors, Arrow, torch, SQLite) have errors of their own for it; those are
    known by the system's words.
    """
    return any(_is_one(found) for found in _chain(error))


def wait_for_room(folders: Sequence[Path], waiter: Waiter, *, wanted_bytes: int = LEAST_BYTES) -> bool:
    """Return when the disks of all folders have room; where one has none say so at the beginning and at the end.

    Args:
        folders: what is written to, perhaps on several disks; those that are not there are left out.
        waiter: is told, and asked whether to stop.
        wanted_bytes: room that is enough; at most a twentieth of the disk.

    Returns:
        Whether there was none at first.

    Raises:
        StoppedWaiting: the waiter asked for it.
    """
    full = _full(folders, wanted_bytes)
    if full is None:
        return False
    usage, wanted = shutil.disk_usage(full), _wanted(full, wanted_bytes)
    waiter.say(
        f"paused: the disk of {full} is full ({usage.free / 1e6:.1f} MB free); it goes on by itself when there are "
        f"{wanted / 1e6:.1f} MB"
    )
    while _full(folders, wanted_bytes) is not None:
        _sleep(waiter)
    waiter.say("there is room again: it goes on")
    return True


def with_room(action: Callable[[], T], folders: Sequence[Path], waiter: Waiter) -> T:
    """Do something that writes; while the disk is full, wait and do it again.

    Args:
        action: may be done again after it met a full disk.
        folders: what it writes to.
        waiter: is told, and asked whether to stop.

    Raises:
        StoppedWaiting: the waiter asked for it.
        Exception: what the action raised, when that was something else, or when these disks have had room all the
            time: then it is another one that is full, e.g. shared memory.
    """
    in_vain = 0
    for wanted in _amounts():
        try:
            return action()
        except Exception as error:
            if not is_disk_full(error) or in_vain >= _MOST_IN_VAIN:
                raise
        was_full = wait_for_room(folders, waiter, wanted_bytes=wanted)
        in_vain = 0 if was_full else in_vain + 1
    raise AssertionError("the amounts do not end")


def run_with_room(
    objective: Objective, workspace: Workspace, task: TrialTask, observer: TrialObserver, say: Callable[[str], None]
) -> TrialScore:
    """Execute a trial; on a full disk it waits, and goes on from its checkpoint.

    Args:
        objective: what the trial does.
        workspace: where its run is.
        task: the trial.
        observer: watches it, and may end it while it waits too.
        say: takes a line for the log.

    Raises:
        TrialStopped: the observer asked for it.
        KagglerunError: it failed.
    """

    def execute() -> TrialScore:
        return objective.run(workspace, task, observer)

    try:
        return with_room(execute, written_folders(workspace), _Trial(task.number, observer, say))
    except StoppedWaiting:
        raise TrialStopped from None


def written_folders(workspace: Workspace) -> tuple[Path, ...]:
    """What sweeps and runs write to: each may be a link to another disk."""
    return (workspace.root, workspace.runs, workspace.state)


class _Trial:
    """The waiter of a trial."""

    def __init__(self, number: int, observer: TrialObserver, say: Callable[[str], None]) -> None:
        self._number, self._observer, self._say = number, observer, say

    def say(self, text: str) -> None:
        self._say(f"trial {self._number} {text}")

    @property
    def stop_requested(self) -> bool:
        return self._observer.should_stop()


def _amounts() -> Iterator[int]:
    """Room to wait for: what was written may have been larger than the room that there was."""
    wanted = LEAST_BYTES
    while True:
        yield wanted
        wanted = min(2 * wanted, MOST_BYTES)


def _full(folders: Sequence[Path], wanted_bytes: int) -> Path | None:
    """The first folder whose disk has no room; None where all have."""
    there = (folder for folder in folders if folder.is_dir())
    return next((folder for folder in there if not _has_room(folder, _wanted(folder, wanted_bytes))), None)


def _wanted(folder: Path, wanted_bytes: int) -> int:
    return min(wanted_bytes, int(shutil.disk_usage(folder).total * _SHARE_OF_DISK))


def _has_room(folder: Path, wanted: int) -> bool:
    """Whether so much is free, and some of it can really be written: a quota shows in no free space."""
    if shutil.disk_usage(folder).free < wanted:
        return False
    probe = folder / f".room.{uuid.uuid4().hex[:12]}.tmp"
    try:
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            # Written and not allocated alone, which some file systems only pretend to.
            probed = bytes(min(wanted, _PROBE_BYTES))
            if os.write(descriptor, probed) < len(probed):
                return False
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in _NO_ROOM:
            return False
        raise
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
    return True


def _sleep(waiter: Waiter) -> None:
    """Until the next look.

    Raises:
        StoppedWaiting: the waiter asked for it.
    """
    until = time.monotonic() + _POLL_SECONDS
    while time.monotonic() < until:
        if waiter.stop_requested:
            raise StoppedWaiting
        time.sleep(0.1)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and those it came from."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def _is_one(error: BaseException) -> bool:
    if isinstance(error, DiskFull) or (isinstance(error, OSError) and error.errno in _NO_ROOM):
        return True
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) == _SQLITE_FULL
    return any(words in str(error).lower() for words in _WORDS)

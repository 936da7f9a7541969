"""Checkpoints: everything needed to go on, in a folder that is whole or not there.

    checkpoints/00000007/  weights.safetensors  average.safetensors  best.safetensors  rest.pt  manifest.json

The folder gets its name when all of it is on the disk; the last two are kept. Where a run may go back after a loss
that is not finite, the last two that stand at an epoch's border are kept too: 00000007.0, where 0 is the number of
times that it went back before. To which it goes back must not depend on the time, on which the others depend.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from kagglerun.errors import CheckpointUnreadable, TrainingError
from kagglerun.files import disk_full_named, read_json, sha256_of_file, sync, write_json

Weights = dict[str, Tensor]

_KEPT = 2
_REST = "rest.pt"
_MANIFEST = "manifest.json"
_SUFFIX = ".safetensors"
_NAME = re.compile(r"(?P<number>\d{8})(\.(?P<retries>\d+))?")


@dataclass(frozen=True)
class Snapshot:
    """A state that nothing changes any more.

    Attributes:
        weights: part ("weights", "average", "best") to its tensors by name, on the CPU.
        rest: tensors, numbers, texts, lists and dicts only, so that `weights_only` can load it.
        ready: set once the copies from a GPU have arrived; None where there was nothing to wait for.
        spoilt: not 0, once `ready`, where a loss before it was not finite: it is not written then. None: it is good.
    """

    weights: Mapping[str, Weights]
    rest: dict[str, Any]
    ready: torch.cuda.Event | None = None
    spoilt: Tensor | None = None


@dataclass
class Checkpoints:
    """The checkpoints of one fold, written one after another, each by a thread that ends with it.

    Args:
        folder: holds nothing else that has a number as its name.
        writes: False reads only, for the processes of a team that are not its first.
    """

    folder: Path
    writes: bool = True
    _writing: _Writing | None = field(init=False, default=None, repr=False)

    def save(self, snapshot: Snapshot, retries: int | None = None) -> None:
        """Write a checkpoint and return when it is on the disk; see `save_soon`.

        Raises:
            DiskFull: there was no room; the checkpoints before it are untouched.
            TrainingError: the folder cannot be written to.
        """
        self.save_soon(snapshot, retries)
        self.wait()

    def save_soon(self, snapshot: Snapshot, retries: int | None = None) -> None:
        """Write a checkpoint while training goes on; one that is still being written is waited for.

        Args:
            snapshot: what is written.
            retries: where it stands at an epoch's border to which the run may go back: how often it did before.

        Raises:
            DiskFull, TrainingError: the one before could not be written.
        """
        self.wait()
        if self.writes:
            self._writing = _Writing(self.folder, snapshot, retries)

    def wait(self) -> None:
        """Return when nothing is being written any more.

        Raises:
            DiskFull: there was no room.
            TrainingError: the folder cannot be written to.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.finish()

    @property
    def is_busy(self) -> bool:
        """Whether a checkpoint is being written now."""
        return self._writing is not None and self._writing.is_alive

    def load(self) -> Snapshot | None:
        """Read the last checkpoint; None when none was ever written.

        Raises:
            CheckpointUnreadable: it exists and is damaged. It is never replaced by a quiet restart.
        """
        self.wait()
        found = _numbered(self.folder)
        return _read(found[-1], found[:-1]) if found else None

    def load_border(self) -> Snapshot:
        """Read the last but one of those at an epoch's border, or the only one, since the run last went back.

        Raises:
            CheckpointUnreadable: it is damaged.
        """
        self.wait()
        found = _borders(_numbered(self.folder))
        return _read(found[0], [])

    def delete(self) -> None:
        """Remove all of them; the fold's result is written."""
        self.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class _Writing:
    """A checkpoint that is being written."""

    def __init__(self, folder: Path, snapshot: Snapshot, retries: int | None) -> None:
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(folder, snapshot, retries), name="checkpoint")
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def finish(self) -> None:
        """Return when it is on the disk, or raise what went wrong."""
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self, folder: Path, snapshot: Snapshot, retries: int | None) -> None:
        try:
            _write(folder, snapshot, retries)
        except BaseException as error:  # it belongs to the thread that waits
            self._error = error


def _numbered(folder: Path) -> list[Path]:
    """Whole checkpoints, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def _borders(found: list[Path]) -> list[Path]:
    """The last two at an epoch's border since the run last went back, oldest first."""
    borders = [path for path in found if path.suffix]
    return [path for path in borders if path.suffix == borders[-1].suffix][-_KEPT:]


def _write(folder: Path, snapshot: Snapshot, retries: int | None) -> None:
    if snapshot.ready is not None:
        snapshot.ready.synchronize()
    if snapshot.spoilt is not None and float(snapshot.spoilt):
        return
    try:
        before = _numbered(folder)
        number = f"{int(before[-1].name[:8]) + 1 if before else 1:08d}"
        final = folder / (number if retries is None else f"{number}.{retries}")
        _write_whole(final, folder / f".{number}.partial", snapshot)
    except OSError as error:
        raise TrainingError(
            f"no checkpoint can be written to {folder}: {error.strerror or error}",
            hint="make this folder writable, then run the same command again; the checkpoints before it are whole",
        ) from error
    found = _numbered(folder)
    for path in sorted({*found} - {*found[-_KEPT:], *_borders(found)}):
        shutil.rmtree(path, ignore_errors=True)


def _write_whole(final: Path, temporary: Path, snapshot: Snapshot) -> None:
    """Write a checkpoint under a temporary name and give it its own when it is on the disk."""
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with disk_full_named(final):
            temporary.mkdir(parents=True)
            _write_files(temporary, snapshot)
            temporary.replace(final)
            sync(final.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _write_files(folder: Path, snapshot: Snapshot) -> None:
    """All files, each on the disk before the manifest that vouches for them."""
    with _what_the_system_said():
        for part, tensors in snapshot.weights.items():
            safetensors.torch.save_file(tensors, folder / f"{part}{_SUFFIX}")
        with (folder / _REST).open("wb") as stream:
            torch.save(snapshot.rest, stream)
    digests = {}
    for path in sorted(folder.iterdir()):
        sync(path)
        digests[path.name] = sha256_of_file(path)
    write_json(folder / _MANIFEST, digests)


@contextmanager
def _what_the_system_said() -> Iterator[None]:
    """Both libraries hide it behind errors of their own: torch in the context, safetensors in the text."""
    try:
        yield
    except (safetensors.SafetensorError, RuntimeError) as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__context__
        said = re.search(r"\(os error (\d+)\)", str(error))
        if isinstance(cause, OSError) and cause.errno is not None:
            raise OSError(cause.errno, cause.strerror) from error
        if said:
            raise OSError(int(said[1]), os.strerror(int(said[1]))) from error
        raise


def _read(path: Path, older: list[Path]) -> Snapshot:
    try:
        digests: dict[str, str] = read_json(path / _MANIFEST)
        changed = [name for name, digest in digests.items() if sha256_of_file(path / name) != digest]
        if changed:
            raise ValueError(f"{changed[0]} is not what was written")
        parts = [name for name in digests if name.endswith(_SUFFIX)]
        weights = {name.removesuffix(_SUFFIX): safetensors.torch.load_file(path / name) for name in parts}
        rest = torch.load(path / _REST, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's unpickler meets rubbish with errors of every kind
        before = f"to go on from the one before it: rm -r '{path}'"
        raise CheckpointUnreadable(
            f"the checkpoint {path} cannot be read: {_reason(error)}",
            hint=before if older else f"to train this fold from its start: rm -r '{path}'",
        ) from error
    return Snapshot(weights, rest)


def _reason(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0][:120]}" if lines else type(error).__name__

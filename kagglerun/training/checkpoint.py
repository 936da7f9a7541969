"""Checkpoints: everything needed to go on, in a folder that is whole or not there.

    checkpoints/00000007/  weights.safetensors  average.safetensors  best.safetensors  rest.pt  manifest.json

The folder gets its name when all of it is on the disk; the last two are kept.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from kagglerun.errors import CheckpointUnreadable
from kagglerun.files import disk_full_named, read_json, sha256_of_file, sync, write_json

Weights = dict[str, Tensor]

_KEPT = 2
_REST = "rest.pt"
_MANIFEST = "manifest.json"
_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Snapshot:
    """A state that nothing changes any more.

    Attributes:
        weights: part ("weights", "average", "best") to its tensors by name, on the CPU.
        rest: tensors, numbers, texts, lists and dicts only, so that `weights_only` can load it.
        ready: set once the copies from a GPU have arrived; None where there was nothing to wait for.
    """

    weights: Mapping[str, Weights]
    rest: dict[str, Any]
    ready: torch.cuda.Event | None = None


@dataclass
class Checkpoints:
    """The checkpoints of one fold, written one after another by a thread of their own.

    Args:
        folder: holds nothing else.
        writes: False reads only, for the processes of a team that are not its first.
    """

    folder: Path
    writes: bool = True
    _writer: ThreadPoolExecutor = field(init=False, repr=False)
    _pending: Future[None] | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")

    def save(self, snapshot: Snapshot) -> None:
        """Write a checkpoint and return when it is on the disk.

        Raises:
            DiskFull: there was no room; the checkpoints before it are untouched.
        """
        self.save_soon(snapshot)
        self.wait()

    def save_soon(self, snapshot: Snapshot) -> None:
        """Write a checkpoint while training goes on; one that is still being written is waited for.

        Raises:
            DiskFull: there was no room for the one before.
        """
        self.wait()
        if self.writes:
            self._pending = self._writer.submit(_write, self.folder, snapshot)

    def wait(self) -> None:
        """Return when nothing is being written any more.

        Raises:
            DiskFull: there was no room.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    @property
    def is_busy(self) -> bool:
        """Whether a checkpoint is being written now."""
        return self._pending is not None and not self._pending.done()

    def load(self) -> Snapshot | None:
        """Read the last checkpoint; None when none was ever written.

        Raises:
            CheckpointUnreadable: it exists and is damaged. It is never replaced by a quiet restart.
        """
        self.wait()
        found = _numbered(self.folder)
        return _read(found[-1], found[:-1]) if found else None

    def delete(self) -> None:
        """Remove all of them; the fold's result is written."""
        self.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def _numbered(folder: Path) -> list[Path]:
    """Whole checkpoints, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.name.isdigit())


def _write(folder: Path, snapshot: Snapshot) -> None:
    if snapshot.ready is not None:
        snapshot.ready.synchronize()
    folder.mkdir(parents=True, exist_ok=True)
    before = _numbered(folder)
    final = folder / f"{int(before[-1].name) + 1 if before else 1:08d}"
    temporary = folder / f".{final.name}.partial"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with disk_full_named(final):
            temporary.mkdir()
            _write_files(temporary, snapshot)
            temporary.replace(final)
            sync(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    for path in _numbered(folder)[:-_KEPT]:
        shutil.rmtree(path, ignore_errors=True)


def _write_files(folder: Path, snapshot: Snapshot) -> None:
    """All files, each on the disk before the manifest that vouches for them."""
    with _full_disk_as_os_error():
        for part, tensors in snapshot.weights.items():
            safetensors.torch.save_file(tensors, folder / f"{part}{_SUFFIX}")
        torch.save(snapshot.rest, folder / _REST)
    digests = {}
    for path in sorted(folder.iterdir()):
        sync(path)
        digests[path.name] = sha256_of_file(path)
    write_json(folder / _MANIFEST, digests)


@contextmanager
def _full_disk_as_os_error() -> Iterator[None]:
    """Both libraries hide what the system said behind errors of their own."""
    try:
        yield
    except (safetensors.SafetensorError, RuntimeError) as error:
        text = str(error)
        if "os error 28" in text or "No space left" in text or "PytorchStreamWriter failed" in text:
            raise OSError(errno.ENOSPC, text.splitlines()[0]) from error
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

"""What this workspace remembers of a target: as what each item was last the same at both places.

It spares reading files that have not changed, and tells which side went on. Losing it costs time, nothing else.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kagglerun.errors import DiskFull
from kagglerun.experiment.sync.items import Item
from kagglerun.experiment.sync.snapshot import Signature
from kagglerun.files import read_json, sha256_of_json, write_json
from kagglerun.workspace import Workspace

_log = logging.getLogger("kagglerun.sync")

_SAVE_SECONDS = 5.0
_YOUNG_NS = 2_000_000_000
"""File systems note times in steps of up to two seconds: a younger file may change again unseen."""


@dataclass
class Memory:
    """See the module.

    Attributes:
        path: its file.
        label: of the target.
        read: item to the signature with which it was last read here, and its digest then.
        same: item to its digest when it was last the same at both places.
        saved: when it was saved last, by a clock that never goes back.
        is_kept: whether it is saved at all.
    """

    path: Path
    label: str
    read: dict[str, tuple[str, str]] = field(default_factory=dict)
    same: dict[str, str] = field(default_factory=dict)
    saved: float = field(default_factory=time.monotonic)
    is_kept: bool = True

    def digest_of(self, item: Item, signature: Signature) -> str | None:
        """The item's digest where it was read with this signature before; else None."""
        known = self.read.get(item.prefix)
        return known[1] if known and known[0] == sha256_of_json(signature) else None

    def note_read(self, item: Item, signature: Signature, digest: str) -> None:
        """Keep an item's digest, unless a file of it is so young that a change might not show."""
        youngest = max((max(each[3], each[4]) for each in signature), default=0)
        if time.time_ns() - youngest > _YOUNG_NS:
            self.read[item.prefix] = (sha256_of_json(signature), digest)

    def last_same(self, item: Item) -> str | None:
        """The digest with which the item was last the same at both places."""
        return self.same.get(item.prefix)

    def note_same(self, item: Item, digest: str) -> None:
        """The item is the same at both places; saved now and then."""
        self.same[item.prefix] = digest
        if time.monotonic() - self.saved > _SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Write it down; where there is no room it is made again by reading."""
        self.saved = time.monotonic()
        if not self.is_kept:
            return
        with contextlib.suppress(DiskFull):
            write_json(self.path, {"target": self.label, "read": self.read, "same": self.same}, durable=False)


@contextlib.contextmanager
def recalled(workspace: Workspace, label: str, keep: bool) -> Iterator[Memory]:
    """What is remembered of a target, saved at the end, however that comes.

    Args:
        workspace: where it is kept.
        label: of the target.
        keep: whether to save it.
    """
    memory = recall(workspace, label)
    memory.is_kept = keep
    try:
        yield memory
    finally:
        memory.save()


@contextlib.contextmanager
def one_at_a_time(workspace: Workspace) -> Iterator[None]:
    """Wait until no other process of this machine pushes or pulls this workspace."""
    workspace.syncs.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(workspace.syncs, os.O_RDONLY)
    try:
        _wait_for(descriptor)
        yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int) -> None:
    """Get the lock; a file system without locks is no reason to stop."""
    with contextlib.suppress(OSError):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.warning("another process pushes or pulls this workspace; waiting for it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)


def recall(workspace: Workspace, label: str) -> Memory:
    """What is remembered of a target; nothing where the file is missing or damaged."""
    path = workspace.syncs / f"{sha256_of_json(label)[:16]}.json"
    try:
        values: dict[str, Any] = read_json(path)
        read = {str(name): (str(known[0]), str(known[1])) for name, known in values["read"].items()}
        return Memory(path, label, read, {str(name): str(digest) for name, digest in values["same"].items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return Memory(path, label)

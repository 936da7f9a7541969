"""Writing files so that one that exists is whole.

A file is written under a temporary name in its own folder, synced to disk where losing it would matter, then
moved over the final name in one step. A reader sees the old content or the new, never a part.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kagglerun.errors import DiskFull

_CHUNK_BYTES = 1 << 20


@contextmanager
def atomic_path(path: Path, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on leaving without an error it becomes `path`.

    On an error the temporary file is removed and `path` stays as it was.

    Args:
        path: the final name; its folder is made when missing.
        durable: fsync the file and its folder, for what must survive a power cut.

    Raises:
        DiskFull: there was no room.
    """
    with disk_full_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f".{path.name[:80]}.{uuid.uuid4().hex[:12]}.tmp"
        try:
            yield temporary
            if durable:
                sync(temporary)
            temporary.replace(path)
            if durable:
                sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def disk_full_named(path: Path) -> Iterator[None]:
    """Turn 'no space left' (and a used-up quota) into a DiskFull that names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                f"the disk is full: {path} was not written (what was there before is untouched)",
                hint=f"free some space on the disk of {path.parent}, then run the same command again",
            ) from error
        raise


def write_bytes(path: Path, content: bytes, durable: bool = True) -> None:
    """Write `content` to `path` in one step."""
    with atomic_path(path, durable) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str, durable: bool = True) -> None:
    """Write `text` as UTF-8 to `path` in one step."""
    write_bytes(path, text.encode("utf-8"), durable)


def write_json(path: Path, value: Any, durable: bool = True) -> None:
    """Write `value` as indented JSON with sorted keys to `path` in one step. NaN is refused (ValueError)."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n", durable)


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text("utf-8"))


def sha256_of_file(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_of_json(value: Any) -> str:
    """Hex SHA-256 of a JSON value, independent of the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def sync(path: Path) -> None:
    """Return when a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

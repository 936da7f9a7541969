"""A folder of the machine into which every user may write small JSON files, where nobody may remove another's."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kagglerun.errors import JobError
from kagglerun.files import atomic_path

FOLDER = "KAGGLERUN_RESERVATIONS"
"""Environment variable: the folder of the GPUs' reservations; the same for all who share them."""
_FOR_ALL = 0o1777
_BASES = (Path("/run/lock"), Path("/tmp"))  # noqa: S108 - not for secrets, and links in it are not followed
"""The first of them that everybody may write to: the same for every user, and on the first a reboot empties it."""
_LOCK_SECONDS = 10.0
_POLL_SECONDS = 0.02
_MOST_BYTES = 1 << 16


def shared_folder() -> Path:
    """The folder, whether it is there or not."""
    named = os.environ.get(FOLDER)
    if named:
        return Path(named)
    for base in _BASES:
        with contextlib.suppress(OSError):
            if base.stat().st_mode & stat.S_IWOTH:
                return base / "kagglerun"
    return _BASES[-1] / "kagglerun"


def read_shared() -> list[tuple[Any, int]]:
    """What every whole file holds, and the user id of its owner; empty where there is no folder."""
    paths: list[Path] = []
    with contextlib.suppress(OSError):
        paths = sorted(shared_folder().glob("*.json"))
    return [read for path in paths if (read := _read(path)) is not None]


@contextlib.contextmanager
def changing_shared() -> Iterator[Path]:
    """Be the one process that changes the folder, which is made where there is none; a dead process lets go of it.

    Raises:
        JobError: it cannot be made or used.
    """
    descriptor = os.open(made_shared_folder(), os.O_RDONLY)
    try:
        _lock(descriptor)
        yield shared_folder()
    finally:
        os.close(descriptor)


def write_shared(path: Path, values: Mapping[str, Any]) -> None:
    """Write a file that everybody may read.

    Raises:
        JobError: it cannot be written.
    """
    try:
        with atomic_path(path, durable=False) as temporary:
            temporary.write_text(json.dumps(dict(values)), "utf-8")
            temporary.chmod(0o644)
    except OSError as error:
        raise JobError(f"GPUs cannot be reserved: {error}", hint=f"look at the folder {path.parent}") from None


def made_shared_folder() -> Path:
    """The folder, which is made where there is none.

    Raises:
        JobError: it cannot be made.
    """
    folder = shared_folder()
    hint = f"export {FOLDER}=...    a folder that all who share the GPUs may write to"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if folder.is_symlink():
            raise JobError(f"{folder} is a link; reservations are not written through one", hint=hint)
        if folder.stat().st_uid == os.geteuid():
            folder.chmod(_FOR_ALL)
    except OSError as error:
        raise JobError(f"GPUs cannot be reserved: {error}", hint=hint) from None
    return folder


def _read(path: Path) -> tuple[Any, int] | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            return json.loads(stream.read(_MOST_BYTES)), os.fstat(stream.fileno()).st_uid
    except (OSError, ValueError):
        return None  # gone meanwhile, a link, or none of ours


def _lock(descriptor: int) -> None:
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                folder = shared_folder()
                raise JobError(f"somebody else holds {folder} locked", hint=f"fuser {folder}") from None
            time.sleep(_POLL_SECONDS)

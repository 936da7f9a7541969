"""Folders that one process at a time works in: runs and their reruns."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from kagglerun.errors import JobError

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EBADF)
"""What file systems say that have no locks, or none on folders (NFS)."""
_DYING_SECONDS = 2.0
"""A process that was killed counts as dead a little before the last of its threads lets go of the lock."""
_POLL_SECONDS = 0.05


@contextlib.contextmanager
def working_in(folder: Path, doing: str) -> Iterator[None]:
    """Be the one process that works in a folder, which is made where there is none.

    The lock is the file system's on the folder itself: it leaves no file, and none is left by a process that was
    killed. A file system without locks is no reason to stop.

    Args:
        folder: the folder.
        doing: what another process would be doing there, for the message: "works on the run X".

    Raises:
        JobError: another process does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        deadline = time.monotonic() + _DYING_SECONDS
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                raise JobError(f"another process {doing} at the moment", hint="wait for it, or stop it")
            time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True

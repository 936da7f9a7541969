"""One coordinator a study.

The lock is one of the file system, inherited by the workers: it is free once the coordinator and all of them
are gone, however they went. On a shared file system it holds for all machines; a team's PostgreSQL has one more (see
`database`), for copies of a workspace.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from kagglerun.errors import JobError
from kagglerun.files import disk_full_named
from kagglerun.jobs.process import identity, is_alive
from kagglerun.workspace import StudyPaths, Workspace

_ORPHANS_SECONDS = 30.0
_POLL_SECONDS = 0.2


@contextlib.contextmanager
def study_lock(paths: StudyPaths, job_id: str | None) -> Iterator[int]:
    """Be the study's one coordinator.

    Workers inherit the descriptor that is yielded, so a coordinator that follows one that was killed waits
    here until the last of its workers is gone.

    Raises:
        JobError: another coordinator works on the study.
    """
    with disk_full_named(paths.lock):
        paths.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(paths.lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        deadline = time.monotonic() + _ORPHANS_SECONDS
        while not _try_lock(descriptor):
            if _is_at_work(paths) or time.monotonic() > deadline:
                raise _locked(paths)
            time.sleep(_POLL_SECONDS)
        with disk_full_named(paths.lock):
            _sign(descriptor, job_id)
        yield descriptor
    finally:
        os.close(descriptor)  # closed, not unlocked: a worker that still lives keeps the lock


def _sign(descriptor: int, job_id: str | None) -> None:
    """Write into the lock whose it is."""
    owner = {"host": socket.gethostname(), "pid": os.getpid(), "identity": identity(os.getpid()), "job": job_id}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(owner).encode(), 0)


@contextlib.contextmanager
def one_start_at_a_time(workspace: Workspace) -> Iterator[None]:
    """Begin sweeps of a workspace one after another, so that the second of two that are typed at once sees the first.

    Where its folder cannot be locked nobody waits: the study's own lock refuses the second, in its job's log.
    """
    descriptor = os.open(workspace.root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def refuse_if_locked(paths: StudyPaths) -> None:
    """Say who works on the study, if somebody does.

    Raises:
        JobError: a coordinator works on it.
    """
    if not paths.lock.exists():
        return
    with _opened(paths.lock) as stream:
        if not _try_lock(stream.fileno()) and _is_at_work(paths):
            raise _locked(paths)


def _opened(lock: Path) -> IO[bytes]:
    """The file, to be locked: NFS wants it writable for that, and a disk or folder may be there for reading alone."""
    try:
        return lock.open("r+b")
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES):
            raise
        return lock.open("rb")


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOTSUP):
            raise JobError(
                "the file system of this workspace has no locks, so two coordinators could work on one study",
                hint="keep the workspace on a local disk, or mount the shared one with locks (NFS: without nolock)",
            ) from error
        raise
    return True


def _owner(paths: StudyPaths) -> dict[str, Any]:
    try:
        owner = json.loads(paths.lock.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}


def _is_at_work(paths: StudyPaths) -> bool:
    """Whether the lock's owner lives, as far as this machine can tell: of another one its lock is the proof."""
    owner = _owner(paths)
    if not owner:
        return False
    return _is_elsewhere(owner) or is_alive(int(owner["pid"]), str(owner["identity"]))


def _is_elsewhere(owner: dict[str, Any]) -> bool:
    return bool(owner.get("host", socket.gethostname()) != socket.gethostname())


def _locked(paths: StudyPaths) -> JobError:
    owner = _owner(paths)
    if _is_elsewhere(owner):
        return JobError(
            f"process {owner['pid']} on {owner['host']} works on the study {paths.name} already",
            hint=f"end it there: kagglerun stop {owner['job'] or ''}".rstrip(),
        )
    if owner and not _is_at_work(paths):
        return JobError(
            f"workers of a coordinator that has died still hold the study {paths.name}",
            hint=f"fuser -v {paths.lock}    says which processes; end them",
        )
    return locked_error(paths, owner.get("job"), owner.get("pid"))


def locked_error(paths: StudyPaths, job: str | None, pid: int | None) -> JobError:
    """The error that says who works on a study."""
    who = f"the job {job}" if job else f"process {pid or 'unknown'}"
    return JobError(
        f"{who} works on the study {paths.name} already",
        hint=f"kagglerun logs -f {job}    or: kagglerun stop {job}" if job else "wait for it, or end it with Ctrl-C",
    )

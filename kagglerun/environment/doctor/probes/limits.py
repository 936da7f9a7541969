"""What the system and a container leave to a training."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from kagglerun.config.load import load_config
from kagglerun.config.schema import Config
from kagglerun.environment.doctor.probe import DiskState, LimitState, LoaderUse
from kagglerun.errors import ConfigError
from kagglerun.training.available_memory import available_memory
from kagglerun.workspace import Workspace

_SHARED_MEMORY = Path("/dev") / "shm"
_CGROUP = Path("/sys/fs/cgroup")
_MOUNTS = Path("/proc/self/mountinfo")


def limit_state(workspace: Workspace | None) -> LimitState:
    """This process's limits.

    Args:
        workspace: whose disk and configs are looked at.
    """
    shared = shutil.disk_usage(_SHARED_MEMORY) if _SHARED_MEMORY.is_dir() else None
    # Python takes another folder in silence where TMPDIR cannot be used.
    places = [("temporary files", Path(os.environ.get("TMPDIR") or tempfile.gettempdir()))]
    if workspace is not None:
        places.insert(0, ("workspace", workspace.root))
    return LimitState(
        shared_memory=shared.total if shared else None,
        shared_memory_free=shared.free if shared else None,
        disks=tuple(disk_state(role, path) for role, path in places),
        memory_total=_memory_total(_CGROUP),
        memory_available=available_memory(),
        cores=os.cpu_count() or 1,
        cores_allowed=len(os.sched_getaffinity(0)),
        cores_quota=cores_quota(_CGROUP),
        load=os.getloadavg()[0],
        open_files=_both(resource.RLIMIT_NOFILE),
        processes=_soft(resource.RLIMIT_NPROC),
        file_size=_soft(resource.RLIMIT_FSIZE),
        address_space=_soft(resource.RLIMIT_AS),
        cpu_seconds=_soft(resource.RLIMIT_CPU),
        loaders=tuple(_loaders(workspace)) if workspace is not None else (),
    )


def disk_state(role: str, path: Path, mounts: Path = _MOUNTS) -> DiskState:
    """The disk under a folder.

    Args:
        role: what the folder is for.
        path: the folder.
        mounts: the kernel's list of what is mounted where.
    """
    try:
        usage = os.statvfs(path)
    except OSError:
        return DiskState(role, str(path), 0, 0, is_writable=False)
    return DiskState(
        role=role,
        path=str(path),
        free=usage.f_bavail * usage.f_frsize,
        total=usage.f_blocks * usage.f_frsize,
        free_inodes_share=usage.f_favail / usage.f_files if usage.f_files else None,
        kind=_kind(path, mounts),
        is_writable=_is_writable(path),
    )


def cores_quota(cgroup: Path) -> float | None:
    """The container's share of CPU time in cores; None without one.

    Args:
        cgroup: folder in which the container's limits stand, of version 2 or 1.
    """
    quota, period = [*_words(cgroup / "cpu.max"), "max", "100000"][:2]
    if quota == "max":
        quota = next(iter(_words(cgroup / "cpu/cpu.cfs_quota_us")), "-1")
        period = next(iter(_words(cgroup / "cpu/cpu.cfs_period_us")), "100000")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def _memory_total(cgroup: Path) -> int:
    limits = [*_words(cgroup / "memory.max"), *_words(cgroup / "memory/memory.limit_in_bytes")]
    return min([psutil.virtual_memory().total, *(int(limit) for limit in limits if limit.isdigit())])


def _words(path: Path) -> list[str]:
    try:
        return path.read_text("ascii").split()
    except OSError:
        return []


def _kind(path: Path, mounts: Path) -> str | None:
    """The file system of the longest mount point above a folder."""
    found: tuple[int, str | None] = (-1, None)
    for line in _lines(mounts):
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or not kind:
            continue
        point = Path(fields[4].replace("\\040", " "))
        if path.is_relative_to(point) and len(point.parts) >= found[0]:
            found = len(point.parts), kind[0]
    return found[1]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _is_writable(path: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=path):
            return True
    except OSError:
        return False


def _soft(limit: int) -> int | None:
    value = resource.getrlimit(limit)[0]
    return None if value == resource.RLIM_INFINITY else value


def _both(limit: int) -> tuple[int, int]:
    soft, hard = resource.getrlimit(limit)
    most = 1 << 30
    return (most if soft == resource.RLIM_INFINITY else soft, most if hard == resource.RLIM_INFINITY else hard)


def _loaders(workspace: Workspace) -> Iterator[LoaderUse]:
    """The configs that ask for loader workers; one that cannot be read is told by who runs it."""
    for path in sorted(workspace.sweeps.glob("*.yaml")):
        try:
            config = load_config(path)
        except (ConfigError, OSError):
            continue
        if config.training.loader_workers:
            training = config.training
            yield LoaderUse(path.name, training.loader_workers, training.cpu_threads, _processes(config))


def _processes(config: Config) -> int:
    workers = config.sweep.workers if config.sweep is not None else 1
    return config.training.gpus * (workers if isinstance(workers, int) else 1)

"""Which process a process id means: a number is used again after its process has died."""

from __future__ import annotations

import sys
from pathlib import Path

_PROC = Path("/proc")
_DEAD_STATES = ("Z", "X")


def identity(pid: int) -> str | None:
    """What tells this process from every other one that had or will have its number.

    On Linux: the boot's id and the start time in clock ticks since boot. psutil's start time in seconds of the
    wall clock moves when the clock is set, so it serves elsewhere only.

    Returns:
        None when the process does not run (any more); a zombie does not run.
    """
    return _linux_identity(pid) if sys.platform == "linux" else _psutil_identity(pid)


def is_alive(pid: int, started: str) -> bool:
    """Whether process `pid` runs and is the one that `identity` once called `started`."""
    return identity(pid) == started


def _linux_identity(pid: int) -> str | None:
    try:
        stat = (_PROC / str(pid) / "stat").read_text("utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name in parentheses, which may itself hold spaces and parentheses.
    fields = stat.rpartition(")")[2].split()
    if fields[0] in _DEAD_STATES:
        return None
    boot = (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
    return f"{boot}:{fields[19]}"


def _psutil_identity(pid: int) -> str | None:
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return None
        return f"{process.create_time():.2f}"
    except psutil.NoSuchProcess:
        return None

"""How much memory a process may still take: what the machine has free, and what its container allows."""

from __future__ import annotations

import os
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")
_LIMITS = (
    ("memory.max", "memory.current"),  # version 2
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),  # version 1
)


def available_memory(meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> int:
    """Bytes that can be taken before the machine swaps or the container's limit ends the process.

    Args:
        meminfo: what the machine tells.
        cgroup: folder in which the container's limits stand.
    """
    return min([_of_machine(meminfo), *_of_container(cgroup)])


def _of_machine(meminfo: Path) -> int:
    if meminfo.is_file():
        for line in meminfo.read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    # Without Linux's figure: half of what there is.
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _of_container(cgroup: Path) -> list[int]:
    """What the container's limit leaves, where there is one; page cache, which it counts in, can be given back."""
    left = []
    for limit_name, usage_name in _LIMITS:
        limit, usage = _number(cgroup / limit_name), _number(cgroup / usage_name)
        if limit is not None and usage is not None:
            left.append(max(0, limit - usage + _cached(cgroup / limit_name)))
    return left


def _cached(limit: Path) -> int:
    path = limit.with_name("memory.stat")
    lines = path.read_text("ascii").splitlines() if path.is_file() else []
    return sum(int(line.split()[1]) for line in lines if line.startswith(("inactive_file ", "active_file ")))


def _number(path: Path) -> int | None:
    text = path.read_text("ascii").strip() if path.is_file() else "max"
    return int(text) if text.isdigit() else None

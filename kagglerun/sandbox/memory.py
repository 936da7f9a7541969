"""How much memory a tree of processes holds."""

from __future__ import annotations

import contextlib

import psutil


class TreeMemory:
    """Memory of a process and all its descendants.

    Pages that several of them share count once (their proportional set size), as for Kaggle's limit, which is that of a
    container. That is slow to read, so it is read only where the sum that counts them several times is a new peak.

    Args:
        pid: the process.
    """

    def __init__(self, pid: int) -> None:
        self.peak_bytes = 0
        self._root = psutil.Process(pid)

    def measure(self) -> int:
        """The peak so far in bytes, this moment included."""
        members = self.members()
        if _sum(members, proportional=False) > self.peak_bytes:
            self.peak_bytes = max(self.peak_bytes, _sum(members, proportional=True))
        return self.peak_bytes

    def members(self) -> list[psutil.Process]:
        """The processes that there are."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return [self._root, *self._root.children(recursive=True)]
        return []


def _sum(members: list[psutil.Process], proportional: bool) -> int:
    total = 0
    for process in members:
        # It may end at any moment; of another user's nothing is told.
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, ProcessLookupError):
            total += process.memory_full_info().pss if proportional else process.memory_info().rss
    return total

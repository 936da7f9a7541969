"""Whether files are still as they were, told without reading them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

Stamp = tuple[str, int, int, int, int, int]
"""Path, device, inode, bytes, and the times in ns at which content and inode changed last."""

LEAST_AGE_SECONDS = 2.0
"""File systems note times in steps of up to two seconds: a file that changed just now may change again unseen."""


def stamps(paths: Iterable[Path], now: float | None = None) -> tuple[Stamp, ...] | None:
    """Stamps of files and folders, which differ once a file changes, or an entry of a folder comes or goes.

    To be taken before what they vouch for is read.

    Args:
        paths: files and folders; links are followed.
        now: seconds since 1970.

    Returns:
        One stamp a path; None where one is missing, or changed so lately that a further change might not show.
    """
    young = int(((time.time() if now is None else now) - LEAST_AGE_SECONDS) * 1e9)
    taken = []
    for path in paths:
        try:
            known = path.stat()
        except OSError:
            return None
        if max(known.st_mtime_ns, known.st_ctime_ns) > young:
            return None
        taken.append((str(path), known.st_dev, known.st_ino, known.st_size, known.st_mtime_ns, known.st_ctime_ns))
    return tuple(taken)


def folders_below(folder: Path) -> tuple[Path, ...] | None:
    """A folder and all folders below it; None where it is none, or holds links, whose targets may change unseen."""
    if not folder.is_dir():
        return None
    found, waiting = [folder], [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    return None
                if entry.is_dir(follow_symlinks=False):
                    found.append(Path(entry.path))
                    waiting.append(Path(entry.path))
    return tuple(found)

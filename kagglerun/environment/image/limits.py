"""Limits of a container's first process, which all others in it inherit."""

from __future__ import annotations

import resource

_OPEN_FILES = 65_536


def raise_open_files() -> None:
    """Allow as many open files as the container may have: loader workers hand over tensors by them.

    Engines set a soft limit of 1024 with a hard limit far above it, and may not be allowed to set another themselves.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

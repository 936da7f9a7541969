"""What a run in work says of itself, in one small file beside its results, for whoever looks: `kagglerun top`.

The file names its process, so what a killed one left behind is not taken for a run in work.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from dataclasses import asdict, dataclass
from typing import Any

from kagglerun.errors import DiskFull
from kagglerun.files import read_json, write_json
from kagglerun.jobs.process import identity, is_alive
from kagglerun.workspace import RunPaths


@dataclass(frozen=True)
class Live:
    """A run in work.

    Attributes:
        pid: its process, on `host`.
        identity: tells it from another process with this number.
        host: the machine's name.
        time: when it was written, in seconds since 1970.
        loader_wait: share of the last stretch's updates that was spent waiting for data, 0 to 1; None without updates.
        samples_per_second: trained in the last stretch.
        cores: cores that it kept busy.
        gpus: numbers of the GPUs that it computes on, as NVML has them.
        warning: what it warned of.
    """

    pid: int
    identity: str
    host: str
    time: float
    loader_wait: float | None = None
    samples_per_second: float | None = None
    cores: float | None = None
    gpus: tuple[str, ...] = ()
    warning: str | None = None


def this_process(**known: Any) -> Live:
    """What this process says now."""
    pid = os.getpid()
    return Live(pid, identity(pid) or "", socket.gethostname(), time.time(), **known)


def write_live(paths: RunPaths, live: Live) -> None:
    """Say it; a full disk is no reason to stop."""
    with contextlib.suppress(OSError, DiskFull):
        write_json(paths.live, asdict(live), durable=False)


def forget_live(paths: RunPaths) -> None:
    """Say nothing any more."""
    with contextlib.suppress(OSError):
        paths.live.unlink(missing_ok=True)


def read_live(paths: RunPaths, silent_seconds: float = 60.0) -> Live | None:
    """What a run in work said last; None where no process works on it.

    Args:
        paths: the run.
        silent_seconds: a process of another machine counts as gone when it has said nothing for so long.
    """
    try:
        values = read_json(paths.live)
        live = Live(**{**values, "gpus": tuple(values["gpus"])})
    except (OSError, json.JSONDecodeError, UnicodeDecodeError, TypeError, KeyError):
        return None  # none in work, or a file that is just being replaced
    if live.host != socket.gethostname():
        return live if time.time() - live.time < silent_seconds else None
    return live if is_alive(live.pid, live.identity) else None


def others_in_work(paths: RunPaths) -> list[Live]:
    """What the other runs in work of the same competition said last."""
    others = (RunPaths(path.parent) for path in sorted(paths.folder.parent.glob("*/live.json")))
    found = (read_live(other) for other in others if other.folder != paths.folder)
    return [live for live in found if live is not None]

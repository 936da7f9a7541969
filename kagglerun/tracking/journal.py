"""The journal of a run: what was tracked, one JSON object a line, in order.

Lines are only ever appended, each by one write. A process killed in the middle of a line leaves a torn last
line: readers stop before it, and the next writer closes it off, so that it costs itself and nothing else.

Who writes a run holds a lock on its journal. The kernel drops the lock with the process, so a journal without
an end that nobody holds belongs to a run that was killed.
"""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RUNNING = "RUNNING"
_CLAIM_SECONDS = 2.0


@dataclass(frozen=True)
class Start:
    """The run began, or goes on.

    Attributes:
        name: what people call it.
        params: flat, as text.
        tags: as text.
        parent: the study's key, see `tracker.open_parent`.
    """

    name: str
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    parent: str | None = None


@dataclass(frozen=True)
class Values:
    """Metrics at a step."""

    values: Mapping[str, float]
    step: int


@dataclass(frozen=True)
class Tags:
    """Tags set after the start."""

    tags: Mapping[str, str]


@dataclass(frozen=True)
class Artifact:
    """A file worth keeping with the run; `path` is relative to the run's folder where it lies in it."""

    path: str
    folder: str = ""


@dataclass(frozen=True)
class End:
    """The run ended: FINISHED, FAILED or KILLED."""

    state: str
    error: str | None = None


Body = Start | Values | Tags | Artifact | End
_BODIES: dict[str, type[Body]] = {"start": Start, "values": Values, "tags": Tags, "artifact": Artifact, "end": End}
_KINDS = {body: kind for kind, body in _BODIES.items()}


@dataclass(frozen=True)
class Entry:
    """One line.

    Attributes:
        time_ms: when it was written, in milliseconds since 1970.
        body: what it says.
        end: offset in bytes of the first byte after the line.
    """

    time_ms: int
    body: Body
    end: int


class Journal:
    """Reads and appends to one journal.

    Args:
        path: the file; it and its folder are made by the first append.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def append(self, *bodies: Body) -> None:
        """Append one line for each of `bodies`.

        Raises:
            OSError: the file cannot be written, e.g. because the disk is full.
        """
        now = time.time_ns() // 1_000_000
        text = "".join(json.dumps(_as_json(body, now), ensure_ascii=False, allow_nan=False) + "\n" for body in bodies)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            content = (b"\n" if _is_torn(descriptor) else b"") + text.encode("utf-8")
            while content:
                content = content[os.write(descriptor, content) :]
        finally:
            os.close(descriptor)

    def read(self, offset: int = 0) -> Iterator[Entry]:
        """Every whole line from `offset` on; a line that is not an entry is passed over."""
        if not self.path.is_file():
            return
        with self.path.open("rb") as stream:
            end = stream.seek(offset)
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                end += len(line)
                entry = _parse(line, end)
                if entry is not None:
                    yield entry

    def state(self) -> str | None:
        """RUNNING after a start, else the state it ended in; None for a journal that never started."""
        state = None
        for entry in self.read():
            if isinstance(entry.body, Start):
                state = RUNNING
            elif isinstance(entry.body, End):
                state = entry.body.state
        return state

    def claim(self, seconds: float = _CLAIM_SECONDS) -> bool:
        """Hold the journal's lock until `release` or the end of the process.

        Args:
            seconds: how long to wait for it.

        Returns:
            Whether it is held now. False means that another process writes this run.
        """
        if self._lock is not None:
            return True
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        deadline = time.monotonic() + seconds
        while not _try_lock(descriptor):
            if time.monotonic() >= deadline:
                os.close(descriptor)
                return False
            time.sleep(0.02)
        self._lock = descriptor
        return True

    def release(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _as_json(body: Body, time_ms: int) -> dict[str, Any]:
    content = asdict(body)
    if isinstance(body, Values):
        # JSON has no NaN: it and the infinities are written as text, which float() reads back.
        content["values"] = {key: value if math.isfinite(value) else str(value) for key, value in body.values.items()}
    return {"time_ms": time_ms, "kind": _KINDS[type(body)], **content}


def _parse(line: bytes, end: int) -> Entry | None:
    try:
        content = json.loads(line)
        time_ms = int(content.pop("time_ms"))
        body = _BODIES[content.pop("kind")](**content)
        if isinstance(body, Values):
            body = Values({key: float(value) for key, value in body.values.items()}, int(body.step))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return Entry(time_ms, body, end)


def _is_torn(descriptor: int) -> bool:
    """Whether the file ends in the middle of a line."""
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # A file system without locks (ENOLCK, ENOTSUP) is no reason to stop: then every claim succeeds.
        return error.errno not in (errno.EWOULDBLOCK, errno.EINTR)
    return True

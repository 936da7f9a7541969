"""A job's log: written by one process, read by any, in files of limited size.

log.txt            what was printed last
log-000001.txt     full; higher numbers are newer; the oldest are deleted
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator
from io import SEEK_END
from pathlib import Path
from typing import BinaryIO

from kagglerun.workspace import JobPaths

LOG_BYTES = 16 << 20
KEPT_LOGS = 4
SIZE_VARIABLE = "KAGGLERUN_LOG_MB"
"""Environment variable: size of a log file in MB, in place of LOG_BYTES."""
_KEPT_IN_MEMORY_BYTES = 1 << 20
_BLOCK_BYTES = 1 << 16
_POLL_SECONDS = 0.2


def limit_bytes() -> int:
    """Size from which a log file is full."""
    try:
        return max(1, int(float(os.environ.get(SIZE_VARIABLE, "")) * 1e6))
    except ValueError:
        return LOG_BYTES


class RotatedLog:
    """Writes a log, and begins another file at the end of a line once one is full.

    On a full disk what is written waits in memory, at most 1 MiB of it, until there is room.

    Args:
        paths: the job.
        limit: bytes of a file; one line may exceed them.
        kept: files that are kept besides the one that is written.
    """

    def __init__(self, paths: JobPaths, limit: int | None = None, kept: int = KEPT_LOGS) -> None:
        self._paths = paths
        self._limit = limit or limit_bytes()
        self._kept = kept
        self._waiting = b""
        self._lost_bytes = 0
        self._descriptor: int | None = None
        self._open()

    @property
    def is_written(self) -> bool:
        """Whether nothing waits for room on the disk."""
        return not self._waiting

    def write(self, block: bytes) -> None:
        """Append what waits and `block`; it never raises for a full disk or a folder that is gone."""
        self._waiting += block
        while self._waiting and self._descriptor is not None:
            room = self._limit - os.fstat(self._descriptor).st_size
            if room <= 0 and self._begin_another():
                continue
            text = self._note() + self._waiting
            piece = text if len(text) <= room else _through_line(text, room)
            written = self._append(piece)
            if written:
                self._waiting, self._lost_bytes = text[written:], 0
            if written < len(piece):
                break
        self._forget_oldest()

    def _note(self) -> bytes:
        return f"\n... {self._lost_bytes} bytes were lost: the disk was full\n".encode() if self._lost_bytes else b""

    def _append(self, piece: bytes) -> int:
        """Number of bytes written; less than all where the disk is full."""
        assert self._descriptor is not None
        try:
            return os.write(self._descriptor, piece)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                self._waiting = b""  # no place to write to, now or later
            return 0

    def _forget_oldest(self) -> None:
        if self._descriptor is None:
            self._waiting = b""
        excess = len(self._waiting) - _KEPT_IN_MEMORY_BYTES
        if excess > 0:
            self._lost_bytes += excess
            self._waiting = self._waiting[excess:]

    def _begin_another(self) -> bool:
        """Give the full file its number; whether there is another one to write to."""
        assert self._descriptor is not None
        earlier = self._paths.earlier_logs()
        try:
            if os.path.samestat(self._paths.log.stat(), os.fstat(self._descriptor)):
                self._paths.log.rename(self._paths.next_earlier_log(earlier))
            for old in earlier[: max(0, len(earlier) + 1 - self._kept)]:
                old.unlink(missing_ok=True)
        except OSError:
            return False
        os.close(self._descriptor)
        self._open()
        return self._descriptor is not None

    def _open(self) -> None:
        self._descriptor = None
        with contextlib.suppress(OSError):
            self._descriptor = os.open(self._paths.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


def _through_line(text: bytes, room: int) -> bytes:
    """The beginning of `text` through the first line that ends at or behind `room`."""
    end = text.find(b"\n", max(0, room - 1))
    return text if end < 0 else text[: end + 1]


def tail(paths: JobPaths, lines: int) -> list[str]:
    """The last lines of the log, without reading all of it."""
    with _opened(paths) as stream:
        return _read_tail(paths, stream, lines).splitlines()


def follow(paths: JobPaths, lines: int, alive: Callable[[], bool]) -> Iterator[str]:
    """Yield the last lines, then what is added, until the job has ended; empty texts while nothing happens.

    Args:
        paths: the job.
        lines: lines of what is there already.
        alive: whether the job still runs; asked while the log does not grow.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    stream = _opened(paths)
    try:
        yield _read_tail(paths, stream, lines)
        while True:
            running = alive()  # asked first: what was written before the end is then read below
            if not running:
                time.sleep(_POLL_SECONDS)  # what a job that was killed wrote last is on its way from its pipe
            yield from _decoded(stream, decoder)
            while (newer := _newer(paths, stream)) is not None:
                yield from _decoded(stream, decoder)  # what came before the file was full
                stream.close()
                stream = newer
                yield from _decoded(stream, decoder)
            if not running:
                return
            yield ""
            time.sleep(_POLL_SECONDS)
    finally:
        stream.close()


def _decoded(stream: BinaryIO, decoder: codecs.IncrementalDecoder) -> Iterator[str]:
    while block := stream.read(_BLOCK_BYTES):
        yield decoder.decode(block)


def _opened(paths: JobPaths) -> BinaryIO:
    """The file that is written now; made when there is none yet."""
    try:
        return paths.log.open("rb")
    except FileNotFoundError:
        paths.log.touch()
        return paths.log.open("rb")


def _newer(paths: JobPaths, stream: BinaryIO) -> BinaryIO | None:
    """The file that follows the one that was read, once that is full; of those still kept the oldest."""
    read = os.fstat(stream.fileno())
    try:
        if os.path.samestat(read, paths.log.stat()):
            return None
        earlier = paths.earlier_logs()
        places = [number for number, path in enumerate(earlier) if os.path.samestat(read, path.stat())]
        following = [*earlier[places[0] + 1 if places else 0 :], paths.log]
        return following[0].open("rb")
    except FileNotFoundError:
        return None  # it changes just now: the next look finds it


def _read_tail(paths: JobPaths, stream: BinaryIO, lines: int) -> str:
    """The last lines up to the end of `stream`, which is then its position."""
    content = _last_lines(stream, lines)
    if content.count(b"\n") < lines:
        # Listed after the file was opened: a file that became full in between is listed and must not count twice.
        read = os.fstat(stream.fileno())
        for path in reversed(paths.earlier_logs()):
            content = _last_lines_of(path, read, lines) + content
            if content.count(b"\n") >= lines:
                break
    return b"".join(content.splitlines(keepends=True)[-lines:] if lines else []).decode("utf-8", errors="replace")


def _last_lines_of(path: Path, but: os.stat_result, lines: int) -> bytes:
    """Last lines of a file that is full; none if it is the file `but`, or was deleted meanwhile."""
    try:
        with path.open("rb") as stream:
            return b"" if os.path.samestat(but, os.fstat(stream.fileno())) else _last_lines(stream, lines)
    except FileNotFoundError:
        return b""


def _last_lines(stream: BinaryIO, lines: int) -> bytes:
    """At least the last lines, read in blocks from the end; the position is then the end."""
    end = stream.seek(0, SEEK_END)
    start, blocks, found = end, [b""], 0
    while start > 0 and found <= lines:
        size = min(_BLOCK_BYTES, start)
        start -= size
        stream.seek(start)
        blocks.append(stream.read(size))
        found += blocks[-1].count(b"\n")
    stream.seek(end)
    return b"".join(reversed(blocks))

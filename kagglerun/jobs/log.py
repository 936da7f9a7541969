"""Reading a job's log while the job writes it."""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

from kagglerun.workspace import JobPaths

_BLOCK_BYTES = 1 << 16
_POLL_SECONDS = 0.2


def tail(paths: JobPaths, lines: int) -> list[str]:
    """The last lines of the log, without reading all of it."""
    return _read_tail(paths, lines)[0].splitlines()


def follow(paths: JobPaths, lines: int, alive: Callable[[], bool]) -> Iterator[str]:
    """Yield the last lines, then what is added, until the job has ended; empty texts while nothing happens.

    Args:
        paths: the job.
        lines: lines of what is there already.
        alive: whether the job still runs; asked while the log does not grow.
    """
    text, position = _read_tail(paths, lines)
    yield text
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    with paths.log.open("rb") as stream:
        stream.seek(position)
        while True:
            running = alive()  # asked first: what was written before the end is then read below
            yield from _decoded(stream, decoder)
            if not running:
                return
            yield ""
            time.sleep(_POLL_SECONDS)


def _decoded(stream: BinaryIO, decoder: codecs.IncrementalDecoder) -> Iterator[str]:
    while block := stream.read(_BLOCK_BYTES):
        yield decoder.decode(block)


def _read_tail(paths: JobPaths, lines: int) -> tuple[str, int]:
    """The last lines as text, and the position in bytes behind them."""
    try:
        with paths.log.open("rb") as stream:
            end = stream.seek(0, 2)
            start, content = end, b""
            while start > 0 and content.count(b"\n") <= lines:
                start = max(0, start - _BLOCK_BYTES)
                stream.seek(start)
                content = stream.read(end - start)
    except FileNotFoundError:
        paths.log.touch()
        return "", 0
    kept = b"".join(content.splitlines(keepends=True)[-lines:]) if lines else b""
    return kept.decode("utf-8", errors="replace"), end

"""Images of a test set that nobody has seen: one that cannot be read is grey, and what was decoded is kept.

The pixels of those that can be read are the same as in `open_images`.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np

from kagglerun.data.image_decoding import Aspect, Pixels, decode, decoding_threads
from kagglerun.data.image_store import Rows
from kagglerun.errors import DataError

_GREY = 128
_MOST_OF_FREE_DISK = 0.5


class TolerantImages:
    """Square RGB images by their number; see `ImageSource`.

    Args:
        paths: the files, there or not.
        side: of the decoded images, in pixels.
        aspect: how images become squares.
        store: a file for what was decoded, where it will be read again; it is not made where the disk has little room.
    """

    def __init__(self, paths: Sequence[Path], side: int, aspect: Aspect, store: Path | None = None) -> None:
        self._paths, self.side, self._aspect = paths, side, aspect
        self._row_bytes = 3 * side * side
        self._threads = decoding_threads()
        self._kept = np.zeros(len(paths), dtype=bool)
        self._broken: set[int] = set()
        self._store = None if store is None else _make_store(store, len(paths) * self._row_bytes)

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def broken(self) -> tuple[Path, ...]:
        """Files that could not be read so far."""
        return tuple(self._paths[row] for row in sorted(self._broken))

    def read(self, rows: Rows, out: Pixels) -> None:
        """Put image rows[i] into out[i], grey where it cannot be read."""
        known = self._kept[rows]
        for place in np.flatnonzero(known).tolist():
            self._recall(int(rows[place]), out[place])
        wanted = np.flatnonzero(~known).tolist()
        if len(wanted) > 1 and self._threads > 1:
            with ThreadPoolExecutor(self._threads) as pool:
                list(pool.map(lambda place: self._decode(int(rows[place]), out[place]), wanted))
        else:
            for place in wanted:
                self._decode(int(rows[place]), out[place])
        for place in wanted:
            self._keep(int(rows[place]), out[place])

    def close(self) -> None:
        """Close the store and let its disk space go."""
        if self._store is not None:
            os.close(self._store)
            self._store = None
        self._kept[:] = False

    def _decode(self, row: int, out: Pixels) -> None:
        try:
            out[:] = np.asarray(decode(self._paths[row], self.side, self._aspect))
        except DataError:
            self._broken.add(row)
            out[:] = _GREY

    def _recall(self, row: int, out: Pixels) -> None:
        assert self._store is not None, "what is kept stands in the store"
        out[:] = np.frombuffer(os.pread(self._store, self._row_bytes, row * self._row_bytes), np.uint8).reshape(
            out.shape
        )

    def _keep(self, row: int, pixels: Pixels) -> None:
        if self._store is None:
            return
        try:
            written = os.pwrite(self._store, np.ascontiguousarray(pixels).data, row * self._row_bytes)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            written = 0
        self._kept[row] = written == self._row_bytes
        if not self._kept[row]:
            self.close()  # the disk is full: everything is decoded again from now on


def _make_store(path: Path, size: int) -> int | None:
    """An open file without a name, so that its space is given back however the process ends; None for want of room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if size > _MOST_OF_FREE_DISK * shutil.disk_usage(path.parent).free:
        return None
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    with suppress(OSError):
        path.unlink()
    return descriptor

"""Where decoded images come from: a store on disk, or the files themselves, decoded again at each reading."""

from __future__ import annotations

import fcntl
import io
import os
import weakref
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from kagglerun.data.image_decoding import Aspect, Pixels, decode_into
from kagglerun.errors import DataError

Rows = NDArray[np.int64]


class ImageSource(Protocol):
    """Square RGB images by their number; reading is safe from several threads and forked processes.

    Attributes:
        side: in pixels.
    """

    side: int

    def __len__(self) -> int:
        """Number of images."""

    def read(self, rows: Rows, out: Pixels) -> None:
        """Put image rows[i] into out[i], uint8 (n, side, side, 3)."""

    def close(self) -> None:
        """Let go of what it holds."""


class ImageStore:
    """Decoded images in a file. While it is open the file counts as in use, so that it is not evicted.

    It is read by system calls and not mapped: pages of a map count as the process's memory, and a store may be larger
    than that. A row of 27 KB takes 3 microseconds so, and 2 when mapped.

    Args:
        descriptor: the open file, which the store closes.
        count: number of images.
        side: their side in pixels.
    """

    def __init__(self, descriptor: int, count: int, side: int) -> None:
        self._descriptor, self._count, self.side = descriptor, count, side
        self._offset, self._row_bytes = len(header(count, side)), 3 * side * side
        self._closer = weakref.finalize(self, os.close, descriptor)

    @classmethod
    def open(cls, path: Path, count: int, side: int) -> ImageStore | None:
        """Open a store and mark it as used now; None where there is none, or one that was cut short."""
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        # Who evicts it holds the lock exclusively for a moment; afterwards the name is gone.
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        whole = os.fstat(descriptor).st_size == file_bytes(count, side)
        if not whole or not is_still(path, descriptor):
            os.close(descriptor)
            return None
        with suppress(PermissionError):  # another user's
            os.utime(descriptor)
        return cls(descriptor, count, side)

    def __len__(self) -> int:
        return self._count

    @property
    def size_bytes(self) -> int:
        """Bytes of all pixels."""
        return self._count * self._row_bytes

    def read(self, rows: Rows, out: Pixels) -> None:
        """Put image rows[i] into out[i]; neighbours are read at once."""
        if len(rows) and (rows.min() < 0 or rows.max() >= self._count):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of {self._count} images")
        assert out.flags.c_contiguous, "what is read goes into consecutive bytes"
        flat = out.reshape(-1).data
        for first, row, length in _runs(rows):
            self._read_bytes(
                flat[first * self._row_bytes : (first + length) * self._row_bytes],
                self._offset + row * self._row_bytes,
            )

    def close(self) -> None:
        """Close the file; it may then be evicted."""
        self._closer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read_bytes(self, into: memoryview, offset: int) -> None:
        done = 0
        while done < len(into):
            count = os.preadv(self._descriptor, [into[done:]], offset + done)
            if count == 0:
                raise DataError(
                    "the store of decoded images was cut short while it was in use",
                    hint="run the same command again: the images will be decoded again",
                )
            done += count


class ImageFiles:
    """Image files, decoded at each reading to the same pixels as a store of them holds.

    Args:
        paths: the files.
        side: of the decoded images, in pixels.
        threads: how many decode at a time.
        aspect: how images become squares.
    """

    def __init__(self, paths: Sequence[Path], side: int, threads: int, aspect: Aspect = "stretch") -> None:
        self._paths, self.side, self._threads, self._aspect = paths, side, threads, aspect

    def __len__(self) -> int:
        return len(self._paths)

    def read(self, rows: Rows, out: Pixels) -> None:
        """Decode file rows[i] into out[i].

        Raises:
            DataError: a file is not an image; the message names it.
        """
        decode_into([self._paths[row] for row in rows], out, self._threads, self._aspect)

    def in_one_thread(self) -> ImageFiles:
        """The same, for a process that is one of several."""
        return ImageFiles(self._paths, self.side, 1, self._aspect)

    def close(self) -> None:
        """Nothing is held."""


def header(count: int, side: int) -> bytes:
    """What stands before the pixels: NumPy's header, so that np.load reads a store too."""
    stream = io.BytesIO()
    described = {"descr": "|u1", "fortran_order": False, "shape": (count, side, side, 3)}
    np.lib.format.write_array_header_1_0(stream, described)
    return stream.getvalue()


def file_bytes(count: int, side: int) -> int:
    """Size of a whole store."""
    return len(header(count, side)) + 3 * count * side * side


def is_still(path: Path, descriptor: int) -> bool:
    """Whether the name still leads to the open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _runs(rows: Rows) -> Iterator[tuple[int, int, int]]:
    """(place of the first, its row, length) of each run of neighbouring rows."""
    starts = np.flatnonzero(np.diff(rows, prepend=rows[:1] - 2) != 1)
    lengths = np.diff(starts, append=len(rows))
    return zip(starts.tolist(), rows[starts].tolist(), lengths.tolist(), strict=True)

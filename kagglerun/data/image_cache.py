"""The folder of stores of decoded images: made once, shared by processes, evicted when the room is short.

A store is written under a temporary name, locked by its writer, and moved into place whole; so a second process
waits for the first, and a writer that was killed leaves a file that nobody locks and the next writer clears. A reader
holds a shared lock on its store. The store that was opened longest ago is evicted first, none that a process uses.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from kagglerun.data.image_decoding import Aspect, decode, decoding_threads
from kagglerun.data.image_store import ImageStore, file_bytes, header, is_still
from kagglerun.errors import DiskFull

_CHUNK_BYTES = 4 << 20
_CHUNK_IMAGES = 16
_SYNCED_CHUNKS = 64
_POLL_SECONDS = 0.1
_NOTE_SECONDS = 10.0
_STORES, _PARTS = "images-*.npy", ".images-*.npy.part"

_log = logging.getLogger("kagglerun.images")


class ImageCache:
    """The stores in one folder.

    Args:
        folder: where they are.
        limit_bytes: most that all stores may take; half of what is free or theirs already when left out.
        aspect: how the images of stores that are made become squares.
    """

    def __init__(self, folder: Path, limit_bytes: int | None = None, aspect: Aspect = "stretch") -> None:
        self._folder, self._limit_bytes, self._aspect = folder, limit_bytes, aspect

    def open(self, name: str, paths: Sequence[Path], side: int) -> ImageStore:
        """The store of this name, made of these files where there is none.

        Args:
            name: says which files and settings it is made of.
            paths: image files.
            side: of the decoded images, in pixels.

        Raises:
            DataError: a file is not an image; the message names it.
            DiskFull: there is no room for the store.
        """
        final = self._folder / f"images-{side}-{name}.npy"
        self._clear_leftovers()
        while True:
            store = ImageStore.open(final, len(paths), side)
            if store is None:
                store = self._make(final, paths, side)
            if store is not None:
                return store

    def _make(self, final: Path, paths: Sequence[Path], side: int) -> ImageStore | None:
        """Write the store; None where another process did, or cleared the temporary file, while this one waited."""
        self._folder.mkdir(parents=True, exist_ok=True)
        part = final.with_name(f".{final.name}.part")
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock_as_writer(descriptor, part, len(paths))
            if not is_still(part, descriptor):
                return None
            try:
                if _size(final) == file_bytes(len(paths), side):
                    return None
                self._write(descriptor, paths, side)
                # The lock that made it a writer's makes it a reader's: from here on it is in use.
                fcntl.flock(descriptor, fcntl.LOCK_SH)
                part.replace(final)
            finally:
                if is_still(part, descriptor):
                    part.unlink()
            return ImageStore(os.dup(descriptor), len(paths), side)
        finally:
            os.close(descriptor)

    def _write(self, descriptor: int, paths: Sequence[Path], side: int) -> None:
        needed = file_bytes(len(paths), side)
        os.ftruncate(descriptor, 0)
        self._make_room(needed)
        with _no_room_named(self._folder, needed):
            self._reserve(descriptor, needed)
            _decode_all(descriptor, paths, side, self._aspect)
            os.fsync(descriptor)

    def _clear_leftovers(self) -> None:
        for part in self._folder.glob(_PARTS):
            _remove_unused(part)

    def _make_room(self, needed: int) -> None:
        """Evict until the new store fits below the limit."""
        limit = self._limit()
        if needed > limit:
            raise self._too_small(needed, limit, "")
        if not self._evict(lambda: self._taken() + needed <= limit):
            raise self._too_small(needed, limit, f", of which {_gigabytes(self._taken())} are in use")

    def _reserve(self, descriptor: int, needed: int) -> None:
        """Take the whole room at once: a disk that is too small shows before anything is decoded."""
        while True:
            try:
                os.posix_fallocate(descriptor, 0, needed)
                return
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not self._evict_one():
                    raise

    def _limit(self) -> int:
        if self._limit_bytes is not None:
            return self._limit_bytes
        return (shutil.disk_usage(self._folder).free + self._taken()) // 2

    def _too_small(self, needed: int, limit: int, in_use: str) -> DiskFull:
        more = "allow more by image_cache_gb in .kagglerun/settings.yaml"
        if self._limit_bytes is None:
            more = "free some space (half of what is free may be taken, or as much as image_cache_gb says)"
        return DiskFull(
            f"the decoded images need {_gigabytes(needed)} in {self._folder}, where all may take "
            f"{_gigabytes(limit)}{in_use}",
            hint=f"{more}, or decode again in each epoch: training.image_cache=false",
        )

    def _taken(self) -> int:
        return sum(size for _, size, _ in self._stores())

    def _evict(self, fits: Callable[[], bool]) -> bool:
        while not fits():
            if not self._evict_one():
                return False
        return True

    def _evict_one(self) -> bool:
        """Remove the store that was opened longest ago and is not in use; False where there is none."""
        return any(_remove_unused(path) for _, _, path in sorted(self._stores()))

    def _stores(self) -> Iterator[tuple[int, int, Path]]:
        """(time of the last use, bytes, path) of each store."""
        for path in self._folder.glob(_STORES):
            with suppress(FileNotFoundError):
                known = path.stat()
                yield known.st_mtime_ns, known.st_size, path


def _lock_as_writer(descriptor: int, part: Path, count: int) -> None:
    """Wait until no other process writes the store, not until it has done with it: it may use the file for hours."""
    noted = time.monotonic() + _NOTE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not is_still(part, descriptor):
                return
            if time.monotonic() > noted:
                _log.warning("another process decodes the same %d images; waiting for it", count)
                noted = float("inf")
            time.sleep(_POLL_SECONDS)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _remove_unused(path: Path) -> bool:
    """Remove a file unless a process holds a lock on it, or it is another user's."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except (FileNotFoundError, PermissionError):
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not is_still(path, descriptor):
            return False
        path.unlink()
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)


@contextmanager
def _no_room_named(folder: Path, needed: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DiskFull(
            f"the disk is full: the decoded images need {_gigabytes(needed)} in {folder}",
            hint="free some space there, or decode again in each epoch: training.image_cache=false",
        ) from error


def _decode_all(descriptor: int, paths: Sequence[Path], side: int, aspect: Aspect) -> None:
    """Decode in threads, each of which writes its images to their place; Pillow decodes without the interpreter's lock.

    What is written goes to the disk meanwhile, so that little is left to be synced at the end.
    """
    start = len(header(len(paths), side))
    os.pwrite(descriptor, header(len(paths), side), 0)
    per_chunk = max(1, min(_CHUNK_IMAGES, _CHUNK_BYTES // (3 * side * side)))
    given_up = threading.Event()

    def one(first: int) -> None:
        chunk = paths[first : first + per_chunk]
        pixels = np.empty((len(chunk), side, side, 3), dtype=np.uint8)
        for place, path in enumerate(chunk):
            if given_up.is_set():
                return
            pixels[place] = np.asarray(decode(path, side, aspect))
        _write_all(descriptor, pixels.reshape(-1).data, start + first * 3 * side * side)

    with ThreadPoolExecutor(decoding_threads()) as pool:
        chunks = [pool.submit(one, first) for first in range(0, len(paths), per_chunk)]
        try:
            for number, _ in enumerate(_each_done(chunks, len(paths)), start=1):
                if number % _SYNCED_CHUNKS == 0:
                    pool.submit(os.fdatasync, descriptor)
        except BaseException:
            given_up.set()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _each_done(chunks: Sequence[Future[None]], count: int) -> Iterator[None]:
    """Wait for each chunk in order; a long wait is told of."""
    noted = time.monotonic() + _NOTE_SECONDS
    for number, chunk in enumerate(chunks):
        chunk.result()
        if time.monotonic() > noted:
            _log.warning("decoded %d of %d images (once; they are kept)", count * (number + 1) // len(chunks), count)
            noted = time.monotonic() + 6 * _NOTE_SECONDS
        yield


def _write_all(descriptor: int, content: memoryview, offset: int) -> None:
    done = 0
    while done < len(content):
        done += os.pwrite(descriptor, content[done:], offset + done)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.3g} GB"

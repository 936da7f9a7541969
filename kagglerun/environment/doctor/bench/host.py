"""How fast this machine decodes photos, and its disk reads and writes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from kagglerun.data.image_decoding import decode_into, decoding_threads
from kagglerun.environment.doctor.bench.rates import Rate
from kagglerun.files import sync

_PHOTO = (500, 375)
_SIDE = 224
_CHUNK_BYTES = 8 << 20


def decode_rate(folder: Path, quick: bool = False) -> Rate:
    """Photos a second from JPEG files to squares, by all cores, as a run decodes them.

    Args:
        folder: an empty folder for the photos.
        quick: only prove that it works.
    """
    different, count, seconds = (2, 4, 0.0) if quick else (32, 256, 2.0)
    paths = [_photo(folder, number) for number in range(different)]
    pixels = np.empty((count, _SIDE, _SIDE, 3), dtype=np.uint8)
    many = [paths[number % different] for number in range(count)]
    decode_into(many[:different], pixels[:different], decoding_threads())
    began, done = time.perf_counter(), 0
    while done == 0 or time.perf_counter() - began < seconds:
        decode_into(many, pixels, decoding_threads())
        done += count
    return Rate("decode", done / (time.perf_counter() - began), "images/s")


def disk_rates(folder: Path, quick: bool = False) -> tuple[Rate, ...]:
    """What the disk under a folder does: one large file written and synced, small ones synced, small ones read.

    Args:
        folder: where files are made and removed.
        quick: only prove that it works.
    """
    size, files = (1 << 20, 2) if quick else (256 << 20, 64)
    chunk = np.random.default_rng(0).bytes(min(_CHUNK_BYTES, size))
    large = folder / "large"
    written = _seconds(lambda: _write(large, chunk, size // len(chunk)))
    _forget(large)
    read = _seconds(lambda: _read([large]))
    small = [folder / f"{number}.small" for number in range(files)]
    synced = _seconds(lambda: _write_each(small, chunk[:16384]))
    for path in small:
        _forget(path)
    opened = _seconds(lambda: _read(small))
    return (
        Rate("disk write", size / written, "B/s"),
        Rate("disk read", size / read, "B/s"),
        Rate("disk synced files", files / synced, "files/s"),
        Rate("disk read files", files / opened, "files/s"),
    )


def _photo(folder: Path, number: int) -> Path:
    """A JPEG with soft forms and some noise, which compresses about as a photo does."""
    source = np.random.default_rng(number)
    rough = Image.fromarray(source.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize(
        _PHOTO, Image.Resampling.BICUBIC
    )
    noise = source.integers(-12, 13, (_PHOTO[1], _PHOTO[0], 3))
    path = folder / f"{number}.jpg"
    Image.fromarray(np.clip(np.asarray(rough) + noise, 0, 255).astype(np.uint8)).save(path, quality=90)
    return path


def _write(path: Path, chunk: bytes, times: int) -> None:
    with path.open("wb") as stream:
        for _ in range(times):
            stream.write(chunk)
    sync(path)


def _write_each(paths: list[Path], content: bytes) -> None:
    for path in paths:
        _write(path, content, 1)


def _read(paths: list[Path]) -> None:
    for path in paths:
        with path.open("rb", buffering=0) as stream:
            while stream.read(_CHUNK_BYTES):
                pass


def _forget(path: Path) -> None:
    """Ask the system to read it from the disk the next time; one that declines is measured with its cache."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return max(time.perf_counter() - began, 1e-9)

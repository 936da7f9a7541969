"""Images decoded once into a memory-mapped store, shared by folds, trials and workers.

The store lives in the cache, under a name made of the files and settings it depends on. It is written under a
temporary name and moved into place, so a store that exists is whole, whoever was killed while writing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from kagglerun.errors import DataError
from kagglerun.files import atomic_path, sha256_of_json

_STORE_VERSION = 1
_SAMPLED_SIDES = 64


def decoded_images(paths: Sequence[Path], size: int, cache: Path, content: str) -> NDArray[np.uint8]:
    """All images as RGB squares, read-only.

    Args:
        paths: image files.
        size: side in pixels; images are resized without keeping their shape (bilinear, antialiased).
        cache: folder of the stores.
        content: digest of the competition's files, so that changed files make another store.

    Returns:
        uint8, shape (n, size, size, 3), memory-mapped.

    Raises:
        DataError: a file is not an image; the message names it.
        DiskFull: there was no room for the store.
    """
    names = [str(path) for path in paths]
    key = sha256_of_json({"version": _STORE_VERSION, "content": content, "size": size, "names": names})
    store = cache / f"images-{size}-{key[:24]}.npy"
    if not store.exists():
        _write_store(paths, size, store)
    pixels: NDArray[np.uint8] = np.load(store, mmap_mode="r")
    return pixels


def typical_side(paths: Sequence[Path]) -> int:
    """Median of the shorter side, in pixels, over up to 64 evenly spread files.

    Raises:
        DataError: a file is not an image.
    """
    step = max(1, len(paths) // _SAMPLED_SIDES)
    return int(np.median([min(_open_size(path)) for path in paths[::step]]))


def _open_size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _not_an_image(path, error) from error


def _write_store(paths: Sequence[Path], size: int, store: Path) -> None:
    with atomic_path(store) as temporary:
        shape = (len(paths), size, size, 3)
        with temporary.open("wb") as stream:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
            for pixels in _decode_in_order(paths, size):
                stream.write(pixels)


def _decode_in_order(paths: Sequence[Path], size: int) -> Iterable[bytes]:
    """Decoded squares in order; Pillow releases the interpreter lock while it decodes."""
    threads = min(16, len(os.sched_getaffinity(0)) + 1)
    with ThreadPoolExecutor(threads) as pool:
        # In slices, so that decoded images waiting to be written stay few.
        for start in range(0, len(paths), 256):
            yield from pool.map(lambda path: _decode(path, size), paths[start : start + 256])


def _decode(path: Path, size: int) -> bytes:
    try:
        with Image.open(path) as image:
            # A JPEG can be decoded at a fraction of its size, never below twice what is needed.
            image.draft("RGB", (2 * size, 2 * size))
            upright = ImageOps.exif_transpose(image)
            return upright.convert("RGB").resize((size, size), Image.Resampling.BILINEAR).tobytes()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _not_an_image(path, error) from error


def _not_an_image(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path} cannot be read as an image: {error}",
        hint="fetch it again with kagglerun fetch SLUG --force, or leave its row out by hooks.py",
    )

"""The images of a competition, decoded: from a store that folds, trials and workers share, or again at each reading."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import PIL

from kagglerun.data.image_cache import ImageCache
from kagglerun.data.image_decoding import Aspect, decoding_threads, image_size, not_an_image
from kagglerun.data.image_store import ImageFiles, ImageSource
from kagglerun.files import sha256_of_json

_PIXELS_VERSION = 2
"""Raised whenever the same file would be decoded to other pixels."""
_SAMPLED_SIDES = 64


def open_images(
    paths: Sequence[Path],
    side: int,
    cache: Path,
    content: str,
    *,
    keep: bool = True,
    limit_bytes: int | None = None,
    aspect: Aspect = "stretch",
) -> ImageSource:
    """All images as RGB squares of one size (bilinear, antialiased).

    Args:
        paths: image files.
        side: in pixels.
        cache: folder of the stores.
        content: digest of the competition's files, so that changed files make another store.
        keep: decode once into a store, unless it is there already; else decode at each reading, to the same pixels.
        limit_bytes: most that all stores may take; half of what is free or theirs already when left out.
        aspect: how images that are not square become so.

    Returns:
        The images by their place in `paths`; to be closed after use.

    Raises:
        DataError: a file is not an image; the message names it.
        DiskFull: there is no room for the store.
    """
    if not keep:
        return ImageFiles(paths, side, decoding_threads(), aspect)
    name = _digest(paths, side, cache, content, aspect)
    return ImageCache(cache, limit_bytes, aspect).open(name, paths, side)


def typical_side(paths: Sequence[Path]) -> int:
    """Median of the shorter side, in pixels, over up to 64 evenly spread files.

    Raises:
        DataError: a file is not an image.
    """
    step = max(1, len(paths) // _SAMPLED_SIDES)
    return int(np.median([min(image_size(path)) for path in paths[::step]]))


def _digest(paths: Sequence[Path], side: int, cache: Path, content: str, aspect: Aspect) -> str:
    """What the pixels depend on.

    `content` covers the competition's own files; sizes and times tell when others, which hooks named, were made again.
    """
    made_of = {
        "version": _PIXELS_VERSION,
        "pillow": PIL.__version__,
        "content": content,
        "side": side,
        "aspect": aspect,
        "files": list(_described(paths, cache)),
    }
    return sha256_of_json(made_of)[:24]


def _described(paths: Sequence[Path], cache: Path) -> Iterator[tuple[str, str, int, int]]:
    """(folder, name, bytes, time of change); folders as seen from the cache, so that a workspace may be moved."""
    folders: dict[Path, str] = {}
    for path in paths:
        folder = path.parent
        if folder not in folders:
            folders[folder] = os.path.relpath(folder, cache)
        try:
            known = path.stat()
        except OSError as error:
            raise not_an_image(path, error) from error
        yield folders[folder], path.name, known.st_size, known.st_mtime_ns

"""From an image file to a square of RGB bytes: the one way in which pixels come into being.

What a file shows is what a viewer shows: upright, its transparent parts over white. 16 bits a channel become 8 by
their upper half, the same for every file.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from kagglerun.errors import DataError

Pixels = NDArray[np.uint8]
"""RGB images, shape (n, side, side, 3), C-contiguous."""

Aspect = Literal["stretch", "pad", "crop"]
"""How an image that is not square becomes one: stretched, between grey bars, or its middle alone."""

_GREY = (128, 128, 128)
_ORIENTATION = 0x0112
_UPRIGHT = 1
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


class _RangeUnknown(Exception):
    """Whole numbers of 32 bits or floats: which value is white is not said."""


def decode(path: Path, side: int, aspect: Aspect = "stretch") -> Image.Image:
    """An image as an RGB square, resized (bilinear, antialiased).

    Raises:
        DataError: the file is not an image, or one whose values have no known range; the message names it.
    """
    try:
        # Read at once: Pillow would read in pieces, and wait for the interpreter's lock at each.
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            # A JPEG can be decoded at a fraction of its size, never below twice what is needed.
            image.draft("RGB", (2 * side, 2 * side))
            return _square(_as_rgb(_upright(image)), side, aspect)
    except _RangeUnknown:
        raise DataError(
            f"{path} has 32 bits a channel, whose range of values is not known",
            hint="write 8-bit copies of such images and name them in `dataset()` of hooks.py",
        ) from None
    except _UNREADABLE as error:
        raise not_an_image(path, error) from error


def _square(image: Image.Image, side: int, aspect: Aspect) -> Image.Image:
    if aspect == "pad":
        return ImageOps.pad(image, (side, side), Image.Resampling.BILINEAR, color=_GREY)
    if aspect == "crop":
        return ImageOps.fit(image, (side, side), Image.Resampling.BILINEAR)
    return image.resize((side, side), Image.Resampling.BILINEAR)


def image_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels, as stored.

    Raises:
        DataError: the file is not an image.
    """
    try:
        with Image.open(path) as image:
            return image.size
    except _UNREADABLE as error:
        raise not_an_image(path, error) from error


def decode_into(paths: Sequence[Path], out: Pixels, threads: int, aspect: Aspect = "stretch") -> None:
    """Decode one image for each entry of `out`.

    Args:
        paths: image files, n of them.
        out: where their pixels go, shape (n, side, side, 3).
        threads: how many decode at a time.
        aspect: how images become squares.

    Raises:
        DataError: see `decode`.
    """
    side = out.shape[1]

    def one(place: int) -> None:
        out[place] = np.asarray(decode(paths[place], side, aspect))

    if threads <= 1 or len(paths) <= 1:
        for place in range(len(paths)):
            one(place)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(one, range(len(paths))):
            pass


def decoding_threads() -> int:
    """How many threads decode fastest: one more than cores, since each holds the interpreter's lock for a while."""
    return min(16, len(os.sched_getaffinity(0)) + 1)


def not_an_image(path: Path, error: Exception) -> DataError:
    """The error that names a file which Pillow cannot read."""
    return DataError(
        f"{path} cannot be read as an image: {error}",
        hint="fetch it again with kagglerun fetch SLUG --force, or leave its row out by hooks.py",
    )


def _upright(image: Image.Image) -> Image.Image:
    if image.getexif().get(_ORIENTATION, _UPRIGHT) == _UPRIGHT:
        return image
    return ImageOps.exif_transpose(image)


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        upper = (np.asarray(image) >> 8).astype(np.uint8)
        return Image.fromarray(upper).convert("RGB")
    if image.mode in ("I", "F"):
        raise _RangeUnknown
    if image.has_transparency_data:
        return _over_white(image.convert("RGBA"))
    return image.convert("RGB")


def _over_white(image: Image.Image) -> Image.Image:
    """Colours under transparent parts are arbitrary; a viewer's white page takes their place."""
    if image.getchannel("A").getextrema() == (255, 255):
        return image.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")

"""The whole augmentation of one image in one pass for a CPU, compiled by numba; it holds no interpreter lock.

What is computed is what `geometry`, `colour` and `cutout` say, and what they do on a GPU. There torch's operations are
right: each takes a batch. On a CPU each goes through memory once more; here an image stays in the
second-level cache from its bytes to its normalised numbers.

The loops are cut so that LLVM turns each into vector instructions: one that both gathers and stores may not be, since
the addresses could overlap. Arithmetic is neither reordered nor contracted (numba's `fastmath` stays off), and each
image is done alone, so bits depend neither on the batch nor on the width of the machine's vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

_Loop = TypeVar("_Loop", bound=Callable[..., Any])
Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Words = NDArray[np.uint32]
Integers = NDArray[np.int64]

_LUMA = (np.float32(0.2989), np.float32(0.587), np.float32(0.114))
_TINY, _ZERO, _ONE, _TWO, _FOUR, _SIX = (np.float32(number) for number in (1e-12, 0, 1, 2, 4, 6))
_LEVEL = np.float32(1 / (4 * 255))
"""A word holds red, green and blue with ten bits each: bytes times four, so that means of blocks keep two more bits."""
_TEN_BITS = np.uint32(1023)
_RED, _GREEN, _BLUE = np.uint32(20), np.uint32(10), np.uint32(0)


def _compiled(function: Callable[..., None]) -> Callable[..., None]:
    """The function in machine code, kept beside this file or in the user's cache for the next process."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        kept: Callable[..., None] = njit(cache=True, **options)(function)
    except RuntimeError:  # no folder can be written to: each process compiles
        return njit(**options)(function)  # type: ignore[no-any-return]

    def call(*args: Any) -> None:
        try:
            kept(*args)
        except OSError:  # a full disk: compiled, but not kept; the second call finds it in memory
            kept(*args)

    return call


def _part(function: _Loop) -> _Loop:
    """A part of a compiled function."""
    return cast(_Loop, njit(error_model="numpy")(function))


@_compiled
def augment(
    images: Bytes,
    shrunk_sides: Integers,
    maps: Floats,
    changes: Floats,
    holes: Floats,
    colours: tuple[bool, bool, bool, bool],
    means: Floats,
    scales: Floats,
    made: Floats,
) -> None:
    """Sample, recolour, normalise and cut out.

    Args:
        images: (n, side, side, 3).
        shrunk_sides: side to which each image is shrunk before it is sampled, (n,); `side` leaves it.
        maps: affine maps from output to input, see `geometry`, (n, 6).
        changes: see `colour.colour_changes`, (n, 4).
        holes: see `cutout.holes`, (n, 4).
        colours: whether brightness, contrast, saturation and hue are changed at all.
        means: of red, green and blue, (3,).
        scales: one over their standard deviations, (3,).
        made: the result, (n, size, size, 3).
    """
    side, size = images.shape[1], made.shape[1]
    words = np.empty((side + 1) * (side + 1), np.uint32)
    places, across, down = np.empty(size, np.int32), np.empty(size, np.float32), np.empty(size, np.float32)
    neighbours = np.empty((4, size), np.uint32)
    recolours = colours[0] or colours[1] or colours[2] or colours[3]
    planes = np.empty((3, size if recolours else 0, size), np.float32)
    for number in range(images.shape[0]):
        shrunk = shrunk_sides[number]
        if shrunk == side:
            first, last = _rows_needed(maps[number], size, side)
            _pack(images[number], first, last, words)
        else:
            _pack_means(images[number], shrunk, words)
        for y in range(size):
            start, step = _line(maps[number], y, size, shrunk)
            _locate(start, step, shrunk, places, across, down)
            _gather(words, places, shrunk + 1, neighbours)
            if recolours:
                _blend(neighbours, across, down, planes[0, y], planes[1, y], planes[2, y])
            else:
                _blend_normalised(neighbours, across, down, means, scales, made[number, y].reshape(3 * size))
        if recolours:
            _recolour(planes, changes[number], colours, means, scales, made[number])
        _cut_out(made[number], holes[number])


@_part
def _rows_needed(rows: Floats, size: int, side: int) -> tuple[int, int]:
    """The first row of the input that is sampled and the one behind the last, with one to spare on either side."""
    first, step = _line(rows, 0, size, side)
    last, _ = _line(rows, size - 1, size, side)
    across, most = step[1] * np.float32(size - 1), np.float32(side - 1)
    top, bottom = min(first[1], last[1]) + min(across, _ZERO), max(first[1], last[1]) + max(across, _ZERO)
    top, bottom = (top if top > _ZERO else _ZERO), (bottom if bottom > _ZERO else _ZERO)
    top, bottom = (top if top < most else most), (bottom if bottom < most else most)
    return max(0, int(top) - 1), min(side, int(bottom) + 3)


@_part
def _pack(image: Bytes, first: int, last: int, words: Words) -> None:
    """Some rows of an image as words, with one more column and row: a right and a lower neighbour are always there."""
    side = image.shape[0]
    stride = side + 1
    for y in range(first, last):
        start = y * stride
        line = words[start : start + side]
        row = image[y]
        for x in range(side):
            line[x] = (np.uint32(row[x, 0]) << np.uint32(22)) | (np.uint32(row[x, 1]) << np.uint32(12)) | (
                np.uint32(row[x, 2]) << np.uint32(2)
            )  # fmt: skip
        words[start + side] = words[start + side - 1]
    if last == side:
        words[side * stride :] = words[(side - 1) * stride : side * stride]


@_part
def _pack_means(image: Bytes, shrunk: int, words: Words) -> None:
    """The same of an image shrunk to `shrunk` by `shrunk` pixels, each the mean of a block, as torch's mode "area"."""
    side, stride = image.shape[0], shrunk + 1
    for y in range(shrunk):
        top, bottom = y * side // shrunk, -(-(y + 1) * side // shrunk)
        for x in range(shrunk):
            left, right = x * side // shrunk, -(-(x + 1) * side // shrunk)
            word = np.uint32(0)
            pixels = (bottom - top) * (right - left)
            for channel in range(3):
                total = 0
                for row in range(top, bottom):
                    for column in range(left, right):
                        total += int(image[row, column, channel])
                # Rounded to the nearest, halves up.
                word = (word << np.uint32(10)) | np.uint32((8 * total + pixels) // (2 * pixels))
            words[y * stride + x] = word
        words[y * stride + shrunk] = words[y * stride + shrunk - 1]
    last = shrunk * stride
    words[last : last + stride] = words[last - stride : last]


@_part
def _line(rows: Floats, y: int, size: int, side: int) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Where a line of the output begins in the input, and the step from pixel to pixel; both (x, y) in pixels."""
    half, step = side / 2, 2 / size
    left, centre = step / 2 - 1, step / 2 - 1 + step * y
    start_x = half * (rows[0] * left + rows[1] * centre + rows[2] + 1) - 0.5
    start_y = half * (rows[3] * left + rows[4] * centre + rows[5] + 1) - 0.5
    return (_exact(start_x), _exact(start_y)), (np.float32(half * rows[0] * step), np.float32(half * rows[3] * step))


@_part
def _exact(place: float) -> Any:
    """A place in pixels of the input, whose first has its centre at 0; whole numbers stay whole, so that an image that
    is only mirrored is not changed."""
    return np.float32(np.floor(place * 2**20 + 0.5) / 2**20)


@_part
def _locate(
    start: tuple[Any, Any], step: tuple[Any, Any], side: int, places: NDArray[np.int32], across: Floats, down: Floats
) -> None:
    """The word of each pixel's upper left neighbour, and how far right and below of it the pixel lies."""
    most, stride = np.float32(side - 1), np.int32(side + 1)
    for column in range(places.shape[0]):
        along = np.float32(np.int32(column))
        x, y = start[0] + along * step[0], start[1] + along * step[1]
        x, y = (x if x > _ZERO else _ZERO), (y if y > _ZERO else _ZERO)
        x, y = (x if x < most else most), (y if y < most else most)
        left, top = np.int32(x), np.int32(y)
        across[column], down[column] = x - np.float32(left), y - np.float32(top)
        places[column] = np.int32(top * stride + left)


@_part
def _gather(words: Words, places: NDArray[np.int32], stride: int, neighbours: Words) -> None:
    """The four neighbours of each pixel, the lower after the upper, (4, size).

    Unsigned places are not looked at for a sign, as Python's would be.
    """
    here, right, below, both = neighbours[0], neighbours[1], neighbours[2], neighbours[3]
    one, down = np.uint64(1), np.uint64(stride)
    for column in range(places.shape[0]):
        place = np.uint64(np.uint32(places[column]))
        here[column], right[column] = words[place], words[place + one]
        below[column], both[column] = words[place + down], words[place + down + one]


@_part
def _between(here: Any, right: Any, below: Any, both: Any, across: Any, down: Any, shift: Any) -> Any:
    """One colour between four neighbours, in [0, 1]."""
    a = np.float32(np.int32((here >> shift) & _TEN_BITS))
    b = np.float32(np.int32((right >> shift) & _TEN_BITS))
    c = np.float32(np.int32((below >> shift) & _TEN_BITS))
    d = np.float32(np.int32((both >> shift) & _TEN_BITS))
    upper = a + across * (b - a)
    lower = c + across * (d - c)
    return (upper + down * (lower - upper)) * _LEVEL


@_part
def _blend(neighbours: Words, across: Floats, down: Floats, red: Floats, green: Floats, blue: Floats) -> None:
    """The colours of a line of pixels between their neighbours, in [0, 1]."""
    here, right, below, both = neighbours[0], neighbours[1], neighbours[2], neighbours[3]
    for x in range(across.shape[0]):
        a, b, c, d, u, v = here[x], right[x], below[x], both[x], across[x], down[x]
        red[x] = _between(a, b, c, d, u, v, _RED)
        green[x] = _between(a, b, c, d, u, v, _GREEN)
        blue[x] = _between(a, b, c, d, u, v, _BLUE)


@_part
def _blend_normalised(
    neighbours: Words, across: Floats, down: Floats, means: Floats, scales: Floats, line: Floats
) -> None:
    """The same, normalised, (3 * size,)."""
    here, right, below, both = neighbours[0], neighbours[1], neighbours[2], neighbours[3]
    from_red, from_green, from_blue = means[0], means[1], means[2]
    by_red, by_green, by_blue = scales[0], scales[1], scales[2]
    for x in range(across.shape[0]):
        a, b, c, d, u, v = here[x], right[x], below[x], both[x], across[x], down[x]
        line[3 * x] = (_between(a, b, c, d, u, v, _RED) - from_red) * by_red
        line[3 * x + 1] = (_between(a, b, c, d, u, v, _GREEN) - from_green) * by_green
        line[3 * x + 2] = (_between(a, b, c, d, u, v, _BLUE) - from_blue) * by_blue


@_part
def _recolour(
    planes: Floats,
    changes: Floats,
    colours: tuple[bool, bool, bool, bool],
    means: Floats,
    scales: Floats,
    made: Floats,
) -> None:
    """Change the colours of (3, size, size) in place, and write them normalised to (size, size, 3)."""
    size = planes.shape[1]
    brightness, contrast, saturation, hue = colours
    if brightness:
        _brighten(planes.reshape(-1), changes[0])
    mean = _mean_grey(planes) if contrast else _ZERO
    for y in range(size):
        red, green, blue = planes[0, y], planes[1, y], planes[2, y]
        if contrast:
            rest = mean * (_ONE - changes[1])
            for row in (red, green, blue):
                for x in range(size):
                    row[x] = _unit(row[x] * changes[1] + rest)
        if saturation:
            _saturate(red, green, blue, changes[2])
        if hue:
            _turn_hue(red, green, blue, changes[3])
        _normalise(red, green, blue, means, scales, made[y].reshape(3 * size))


@_part
def _cut_out(made: Floats, hole: Floats) -> None:
    """Zero is the mean colour now."""
    for y in range(np.int64(hole[1]), np.int64(hole[3])):
        made[y, np.int64(hole[0]) : np.int64(hole[2])] = _ZERO


@_part
def _unit(number: Any) -> Any:
    """Cut off below 0 and above 1."""
    least = number if number > _ZERO else _ZERO
    return least if least < _ONE else _ONE


@_part
def _brighten(numbers: Floats, factor: Any) -> None:
    for place in range(numbers.shape[0]):
        numbers[place] = _unit(numbers[place] * factor)


@_part
def _mean_grey(planes: Floats) -> Any:
    """Summed by columns, whose sums are added one after another."""
    size = planes.shape[1]
    columns = np.zeros(size, np.float32)
    for y in range(size):
        red, green, blue = planes[0, y], planes[1, y], planes[2, y]
        for x in range(size):
            columns[x] += red[x] * _LUMA[0] + green[x] * _LUMA[1] + blue[x] * _LUMA[2]
    total = np.float64(0)
    for x in range(size):
        total += columns[x]
    return np.float32(total / (size * size))


@_part
def _saturate(red: Floats, green: Floats, blue: Floats, factor: Any) -> None:
    for x in range(red.shape[0]):
        rest = (red[x] * _LUMA[0] + green[x] * _LUMA[1] + blue[x] * _LUMA[2]) * (_ONE - factor)
        red[x], green[x], blue[x] = (
            _unit(red[x] * factor + rest),
            _unit(green[x] * factor + rest),
            _unit(blue[x] * factor + rest),
        )


@_part
def _turn_hue(red: Floats, green: Floats, blue: Floats, turn: Any) -> None:
    """See `colour._turn_hue` for the formula."""
    for x in range(red.shape[0]):
        r, g, b = red[x], green[x], blue[x]
        largest = r if r > g else g
        largest = b if b > largest else largest
        least = r if r < g else g
        least = b if b < least else least
        chroma = largest - least
        from_green = (b - r) + chroma * _TWO
        from_blue = (r - g) + chroma * _FOUR
        sixth = from_green if g == largest else from_blue
        sixth = (g - b) if r == largest else sixth
        divisor = (chroma if chroma > _TINY else _TINY) * _SIX
        hue = sixth / divisor + (turn + _ONE)
        hue = (hue - np.float32(np.int32(hue))) * _SIX
        red[x] = _unit(np.abs(hue - np.float32(3)) - _ONE) * chroma + least
        green[x] = _unit(_TWO - np.abs(hue - _TWO)) * chroma + least
        blue[x] = _unit(_TWO - np.abs(hue - _FOUR)) * chroma + least


@_part
def _normalise(red: Floats, green: Floats, blue: Floats, means: Floats, scales: Floats, line: Floats) -> None:
    by_red, by_green, by_blue = scales[0], scales[1], scales[2]
    from_red, from_green, from_blue = means[0], means[1], means[2]
    for x in range(red.shape[0]):
        line[3 * x] = (red[x] - from_red) * by_red
        line[3 * x + 1] = (green[x] - from_green) * by_green
        line[3 * x + 2] = (blue[x] - from_blue) * by_blue

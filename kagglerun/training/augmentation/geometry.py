"""Where each pixel comes from: crop, mirroring, rotation, scale and translation as one affine sampling.

Coordinates run from -1 to 1 over the image's outer edges (torch's `align_corners=False`). An output pixel p comes from

    crop centre + crop half extents * mirror * rotation^-1 (p - translation) / scale

which is what RandomResizedCrop, the flips and RandomAffine of torchvision do one after another, but resampled once.
Positive angles turn clockwise, as in RandomAffine. Outside the image its border is repeated.

A crop of an image that was decoded larger than the model's input may shrink it. Where it shrinks by more than
`_MOST_SHRINKING` the image is halved first (each pixel the mean of a block), as often as needed, so that no pixel is
skipped by the bilinear sampling, which looks at two by two.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from kagglerun.config.augment import AugmentStrengths
from kagglerun.training.augmentation.uniforms import Column, Floats, either_way

_MOST_SHRINKING = 2.0
"""Decoded pixels for one output pixel, along a side, that are sampled without halving first. On photos the distance to
torchvision's antialiased resize is then least for every shrinking: 2 to 5 of 255 (root mean square), against 7 to 10
without halving from 2.4 on."""


def affine_rows(strengths: AugmentStrengths, uniforms: Floats) -> Floats:
    """The affine map of each sample, from output to input: float64 (n, 6), two rows of three."""
    width, height, centre_x, centre_y = _crops(strengths, uniforms)
    mirror_x, mirror_y = (np.where(flipped, -1.0, 1.0) for flipped in mirrored(strengths, uniforms).T)
    angle = np.radians(either_way(uniforms, Column.ANGLE, strengths.degrees))
    zoom = 1 + either_way(uniforms, Column.SCALE, strengths.scale)
    cosine, sine = np.cos(angle) / zoom, np.sin(angle) / zoom
    # The whole side is 2 in these coordinates.
    move_x = either_way(uniforms, Column.TRANSLATE_X, 2 * strengths.translate)
    move_y = either_way(uniforms, Column.TRANSLATE_Y, 2 * strengths.translate)
    xx, xy = width * mirror_x * cosine, width * mirror_x * sine
    yx, yy = -height * mirror_y * sine, height * mirror_y * cosine
    x, y = centre_x - xx * move_x - xy * move_y, centre_y - yx * move_x - yy * move_y
    return np.stack([xx, xy, x, yx, yy, y], axis=1)


def mirrored(strengths: AugmentStrengths, uniforms: Floats) -> NDArray[np.bool_]:
    """Whether each sample is mirrored left to right, and top to bottom: (n, 2)."""
    flips: NDArray[np.bool_] = uniforms[:, [Column.HFLIP, Column.VFLIP]] < [strengths.hflip, strengths.vflip]
    return flips


def _crops(strengths: AugmentStrengths, uniforms: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Width, height (shares of the side) and centre (-1 to 1) of each crop.

    The area is uniform and the logarithm of width / height is uniform among those with which the crop fits, so the
    area is never changed; torchvision draws both again until the crop fits, up to ten times.
    """
    least, most = strengths.crop_scale
    area = least + uniforms[:, Column.CROP_AREA] * (most - least)
    fits = -np.log(area)
    low, high = (np.clip(np.log(ratio), -fits, fits) for ratio in strengths.crop_ratio)
    root_ratio = np.exp((low + uniforms[:, Column.CROP_RATIO] * (high - low)) / 2)
    width, height = np.sqrt(area) * root_ratio, np.sqrt(area) / root_ratio
    return (
        width,
        height,
        (1 - width) * (2 * uniforms[:, Column.CROP_X] - 1),
        (1 - height) * (2 * uniforms[:, Column.CROP_Y] - 1),
    )


def halvings(rows: Floats, decoded_per_output: float) -> NDArray[np.int64]:
    """How often each image is halved before it is sampled, int64 (n,).

    Args:
        rows: affine maps, (n, 6).
        decoded_per_output: side of the decoded image over side of the output.
    """
    area = np.abs(rows[:, 0] * rows[:, 4] - rows[:, 1] * rows[:, 3])
    shrinking = np.sqrt(area) * decoded_per_output
    return np.ceil(np.log2(np.maximum(shrinking / _MOST_SHRINKING, 1.0))).astype(np.int64)


def resample(images: Tensor, rows: Tensor, halved: Tensor, present: tuple[int, ...], size: int) -> Tensor:
    """Sample each image by its affine map.

    Args:
        images: float32 (n, channels, side, side).
        rows: affine maps, float32 (n, 6).
        halved: how often each image is halved first, float32 (n,).
        present: the different numbers in `halved`, known on the host.
        size: side of the output.

    Returns:
        float32 (n, channels, size, size).
    """
    grid = _grid(rows, size)
    sampled = None
    for times in present:
        source = _shrunk(images, times)
        here = F.grid_sample(source, grid, mode="bilinear", padding_mode="border", align_corners=False)
        sampled = here if sampled is None else choose(sampled, here, (halved == times).view(-1, 1, 1, 1))
    assert sampled is not None, "a batch has at least one image"
    return sampled


def _grid(rows: Tensor, size: int) -> Tensor:
    """Where each output pixel comes from, (n, size, size, 2).

    Made as two planes, x and y, by one addition a number: an eighth of the time of torch's `affine_grid` on a CPU,
    whose matrix product may also round by the batch's size.
    """
    centres = (torch.arange(size, device=rows.device, dtype=torch.float32) * 2 + (1 - size)) / size
    maps = rows.view(-1, 2, 3, 1, 1)
    across = maps[:, :, 0] * centres.view(1, 1, 1, size) + maps[:, :, 2]
    down = maps[:, :, 1] * centres.view(1, 1, size, 1)
    return (across + down).permute(0, 2, 3, 1)


def _shrunk(images: Tensor, times: int) -> Tensor:
    """Halve images so many times, each pixel the mean of a block."""
    if times == 0:
        return images
    side = shrunk_side(images.shape[-1], times)
    return F.interpolate(images, size=(side, side), mode="area")


def shrunk_side(side: int, times: int) -> int:
    """Side in pixels of an image that was halved so many times."""
    return max(1, round(side / float(2**times)))


def choose(these: Tensor, those: Tensor, chosen: Tensor) -> Tensor:
    """`those` where `chosen` is 1, `these` where it is 0, to the bit; all finite.

    A fifth of the time of `torch.where` on a CPU.
    """
    return torch.lerp(these, those, chosen.float())


def mirror(images: Tensor, flips: Tensor) -> Tensor:
    """Mirror images without sampling, exact to the bit.

    Args:
        images: (n, channels, height, width).
        flips: 1 where an image is mirrored left to right, top to bottom; (n, 2).
    """
    for axis, column in ((3, 0), (2, 1)):
        images = choose(images, images.flip(axis), flips[:, column].view(-1, 1, 1, 1))
    return images


def resize(images: Tensor, size: int) -> Tensor:
    """Bilinear and antialiased, for images that are not augmented; the same image where the size is right."""
    if images.shape[-1] == size:
        return images
    return F.interpolate(images, size=(size, size), mode="bilinear", antialias=True, align_corners=False)

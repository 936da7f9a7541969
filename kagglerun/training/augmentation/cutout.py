"""Cutout: a square of the image becomes the mean colour (DeVries and Taylor 2017)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kagglerun.config.augment import AugmentStrengths
from kagglerun.training.augmentation.uniforms import Column, Floats


def holes(strengths: AugmentStrengths, uniforms: Floats, size: int) -> Floats:
    """Left, top, right, bottom of each sample's square in pixels: float64 (n, 4), whole numbers.

    The square lies wholly within the image. It is empty, all zeros, where nothing is cut out.
    """
    side = round(strengths.cutout_size * size)
    left, top = (np.floor(uniforms[:, column] * (size - side + 1)) for column in (Column.CUTOUT_X, Column.CUTOUT_Y))
    boxes = np.stack([left, top, left + side, top + side], axis=1)
    return np.where(uniforms[:, [Column.CUTOUT]] < strengths.cutout, boxes, 0.0)


def inside(boxes: Tensor, size: int) -> Tensor:
    """Which pixels lie in each image's box: 1 or 0, float32 (n, 1, size, size).

    Args:
        boxes: left, top, right, bottom in pixels, float32 (n, 4); the last row and column are right - 1, bottom - 1.
        size: side of the images.
    """
    places = torch.arange(size, device=boxes.device, dtype=torch.float32)
    left, top, right, bottom = (boxes[:, place : place + 1] for place in range(4))
    across = ((places >= left) & (places < right)).float().view(-1, 1, 1, size)
    down = ((places >= top) & (places < bottom)).float().view(-1, 1, size, 1)
    return across * down

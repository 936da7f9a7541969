"""Image augmentation in batches, on the device.

Each parameter belongs to (seed, epoch, sample), never to the batch, so that it is the same for any batch size,
order or resume.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from kagglerun.training.seed import sample_uniforms


@dataclass(frozen=True)
class Augmentation:
    """How strongly images are changed.

    Attributes:
        flip: probability of a mirror image.
        degrees: largest rotation either way.
        scale: largest relative change of size either way.
        shift: largest move either way, as a share of the side.
        brightness: largest relative change either way.
        contrast: largest relative change either way.
    """

    flip: float = 0.0
    degrees: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0

    @property
    def is_identity(self) -> bool:
        """Whether nothing changes."""
        return self == Augmentation()

    @property
    def moves_pixels(self) -> bool:
        """Whether the geometry changes."""
        return any((self.flip, self.degrees, self.scale, self.shift))


AUGMENTATIONS = {
    "none": Augmentation(),
    "light": Augmentation(degrees=8, scale=0.08, shift=0.06),
    "flip": Augmentation(flip=0.5, degrees=8, scale=0.08, shift=0.06),
    "medium": Augmentation(flip=0.5, degrees=15, scale=0.2, shift=0.1, brightness=0.2, contrast=0.2),
    "strong": Augmentation(flip=0.5, degrees=20, scale=0.3, shift=0.15, brightness=0.3, contrast=0.3),
}
"""The names that `training.augment` may have."""

_PARAMETERS_PER_SAMPLE = 8


def augment(images: Tensor, kind: Augmentation, seed: int, epoch: int, samples: NDArray[np.int64]) -> Tensor:
    """Change each image in its own way.

    Args:
        images: float32 in [0, 1], shape (n, channels, height, width).
        kind: how strongly.
        seed: the derived seed of this fold's augmentation.
        epoch: the epoch.
        samples: sample ids, shape (n,).

    Returns:
        The same shape and dtype; colours are clipped to [0, 1].
    """
    if kind.is_identity:
        return images
    uniforms = sample_uniforms(seed, epoch, samples, _PARAMETERS_PER_SAMPLE)
    numbers = torch.from_numpy(2 * uniforms - 1).to(images.device, torch.float32)
    if kind.moves_pixels:
        images = _move(images, kind, numbers)
    if kind.brightness or kind.contrast:
        images = _recolour(images, kind, numbers)
    return images


def _move(images: Tensor, kind: Augmentation, numbers: Tensor) -> Tensor:
    """One affine sampling for flip, rotation, scale and shift; the border is repeated outside."""
    angle = numbers[:, 0] * math.radians(kind.degrees)
    scale = 1 + numbers[:, 1] * kind.scale
    mirror = torch.where(numbers[:, 4] < 2 * kind.flip - 1, -1.0, 1.0)
    cosine, sine = torch.cos(angle) / scale, torch.sin(angle) / scale
    matrix = torch.stack(
        [
            torch.stack([cosine * mirror, -sine, 2 * numbers[:, 2] * kind.shift], dim=1),
            torch.stack([sine * mirror, cosine, 2 * numbers[:, 3] * kind.shift], dim=1),
        ],
        dim=1,
    )
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _recolour(images: Tensor, kind: Augmentation, numbers: Tensor) -> Tensor:
    """Brightness scales; contrast blends with the image's mean grey."""
    brightness = (1 + numbers[:, 5] * kind.brightness)[:, None, None, None]
    contrast = (1 + numbers[:, 6] * kind.contrast)[:, None, None, None]
    images = (images * brightness).clamp(0, 1)
    grey = images.mean(dim=(1, 2, 3), keepdim=True)
    return ((images - grey) * contrast + grey).clamp(0, 1)

"""Augmented, normalised batches from decoded images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kagglerun.config.augment import AugmentConfig, AugmentStrengths
from kagglerun.training.augmentation import fused
from kagglerun.training.augmentation.colour import recolour
from kagglerun.training.augmentation.cutout import inside
from kagglerun.training.augmentation.draw import (
    AFFINE,
    BOX,
    COLOURS,
    FLIPS,
    HALVED,
    HOLE,
    PLACE,
    SHARE,
    TARGET_SHARE,
    Draw,
    make_draw,
)
from kagglerun.training.augmentation.geometry import mirror, resample, resize
from kagglerun.training.augmentation.mixing import mix_images, mix_targets
from kagglerun.training.augmentation.pieces import in_pieces, samples_at_once


@dataclass(frozen=True)
class Augmentation:
    """How the images of a fold are changed, and what the model is given.

    Attributes:
        config: how strongly.
        seed: the derived seed of this fold's augmentation.
        side: side in pixels of the decoded images.
        size: side in pixels of the model's input.
        mean: of red, green and blue in [0, 1], as the model expects.
        std: their standard deviations.
    """

    config: AugmentConfig
    seed: int
    side: int
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @cached_property
    def strengths(self) -> AugmentStrengths:
        """The config with its preset filled in."""
        return self.config.strengths()

    @property
    def mixes(self) -> bool:
        """Whether images and targets of two samples are mixed."""
        return self.strengths.mixes

    def draw(self, epoch: int, samples: NDArray[np.int64], ids: NDArray[np.int64]) -> Draw:
        """What is done to some samples in an epoch; each row depends on (seed, epoch, id) and the number of ids alone.

        Args:
            epoch: the epoch.
            samples: their numbers, counted from 0, int64 (n,).
            ids: what the random numbers of each training sample belong to, int64 (n_samples,).
        """
        return make_draw(self.strengths, self.seed, epoch, samples, ids, (self.side, self.size))

    def apply(self, images: Tensor, draw: Draw) -> Tensor:
        """Augment, normalise and mix.

        Args:
            images: uint8 (n + m, side, side, 3), on the device, in the order of `draw.samples`; not changed.
            draw: with its table on the device.

        Returns:
            float32 (n, 3, size, size) in channels-last memory. Nothing here waits for the device.
        """

        def augment(part: slice) -> None:
            made[part] = self._augmented(images[part], draw.table[part], draw.halved[part])

        made = self._output(images)
        if fused.can_fuse(images, self.size, self.strengths):
            fused.augment(images, draw, self.strengths, self.mean, self.std, made)
        else:
            in_pieces(images.device, len(images), self._at_once(images), augment)
        return self.mix(made, draw)

    def plain(self, images: Tensor, mirrored: bool = False) -> Tensor:
        """Resize and normalise only, for validation and prediction.

        Args:
            images: uint8 (n, side, side, 3) of any side, on the device; not changed.
            mirrored: mirror left to right.

        Returns:
            float32 (n, 3, size, size) in channels-last memory.
        """

        def resized(part: slice) -> None:
            unit = resize(_in_planes(images[part]), self.size)
            made[part] = self.normalised(unit.flip(3) if mirrored else unit)

        made = self._output(images)
        if fused.can_fuse(images, self.size):
            fused.normalise(images, mirrored, self.mean, self.std, made)
        else:
            in_pieces(images.device, len(images), self._at_once(images), resized)
        return made

    def mix(self, images: Tensor, draw: Draw) -> Tensor:
        """Mix images that are augmented and normalised already.

        Args:
            images: float32 (n + m, 3, size, size), in the order of `draw.samples`.
            draw: with its table on the device.

        Returns:
            float32 (n, 3, size, size).
        """
        if not self.mixes:
            return images
        own = draw.own
        return mix_images(images, own[:, PLACE].long(), own[:, SHARE], own[:, BOX], self.strengths)

    def mix_targets(self, targets: Tensor, partners: Tensor, draw: Draw, n_classes: int | None) -> Tensor:
        """Mix targets as the images are mixed; without mixup and cutmix they stay as they are.

        Args:
            targets: of `draw.samples[:n]`: classes, int64 (n,), or values, float32 (n, n_outputs).
            partners: of `draw.partners`, of the same shape.
            draw: with its table on the device.
            n_classes: number of classes, where targets are classes.

        Returns:
            float32 (n, n_classes), each row adding up to 1, or float32 (n, n_outputs).
        """
        return mix_targets(targets, partners, draw.own[:, TARGET_SHARE], n_classes) if self.mixes else targets

    def _augmented(self, images: Tensor, table: Tensor, halved: NDArray[np.int64]) -> Tensor:
        """One piece of a batch, uint8 NHWC to normalised float32 NCHW."""
        strengths = self.strengths
        if strengths.bends:
            present = tuple(np.unique(halved).tolist())
            unit = resample(_in_unit_range(images), table[:, AFFINE], table[:, HALVED], present, self.size)
        else:
            unit = resize(_in_planes(images), self.size)
            if strengths.hflip or strengths.vflip:
                unit = mirror(unit, table[:, FLIPS])
        made = self.normalised(recolour(unit, table[:, COLOURS], strengths))
        # Zero is the mean colour now.
        return made.mul_(1 - inside(table[:, HOLE], self.size)) if strengths.cutout else made

    def normalised(self, images: Tensor) -> Tensor:
        """Colours in [0, 1], float32 (n, 3, height, width), to what the model expects; in place."""
        return images.sub_(_on(images.device, self.mean)).div_(_on(images.device, self.std))

    def _output(self, images: Tensor) -> Tensor:
        shape = (len(images), 3, self.size, self.size)
        return torch.empty(shape, device=images.device, memory_format=torch.channels_last)

    def _at_once(self, images: Tensor) -> int:
        """Samples of one piece."""
        return samples_at_once(images.device, 3 * max(images.shape[1], self.size) ** 2)


def _in_unit_range(images: Tensor) -> Tensor:
    """uint8 (n, side, side, 3) to a new float32 (n, 3, side, side) in [0, 1], in the same order of memory."""
    return images.permute(0, 3, 1, 2).float().div_(255)


def _in_planes(images: Tensor) -> Tensor:
    """The same; on a CPU in planes, where arithmetic with a number for each colour is six times as fast."""
    if images.device.type != "cpu":
        return _in_unit_range(images)
    return images.permute(0, 3, 1, 2).contiguous().float().div_(255)


@lru_cache(maxsize=16)
def _on(device: torch.device, colours: tuple[float, ...]) -> Tensor:
    """Three numbers on a device, (1, 3, 1, 1); copied there once, since such a copy waits for the device."""
    return torch.tensor(colours, device=device).view(1, 3, 1, 1)

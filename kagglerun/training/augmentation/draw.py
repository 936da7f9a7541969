"""What is done to each sample of a batch: drawn on the host, for the whole batch, as one table of numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum, auto

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kagglerun.config.augment import AugmentStrengths
from kagglerun.training.augmentation.geometry import matrices, octaves
from kagglerun.training.augmentation.mixing import Mixing
from kagglerun.training.seed import sample_uniforms

Floats = NDArray[np.float64]


class Column(IntEnum):
    """Which of a sample's uniform numbers is for what. New purposes go to the end, so that no other number moves."""

    ANGLE = 0
    SCALE = auto()
    TRANSLATE_X = auto()
    TRANSLATE_Y = auto()
    HFLIP = auto()
    BRIGHTNESS = auto()
    CONTRAST = auto()
    VFLIP = auto()
    SATURATION = auto()
    HUE = auto()
    CROP_AREA = auto()
    CROP_RATIO = auto()
    CROP_X = auto()
    CROP_Y = auto()
    CUTOUT = auto()
    CUTOUT_X = auto()
    CUTOUT_Y = auto()
    MIX = auto()
    MIX_KIND = auto()
    MIX_SHARE = auto()
    MIX_PARTNER = auto()
    MIX_X = auto()
    MIX_Y = auto()


@dataclass(frozen=True)
class Draw:
    """What is done to the n samples of a batch, and to the partners that m of them are mixed with.

    Attributes:
        samples: numbers of the images needed, int64 (n + m,): the samples', then the partners' of the mixed ones.
        partners: number of each sample's partner, int64 (n,); its own where it is not mixed.
        octaves: how often each image is halved before it is sampled, int64 (n + m,), on the host.
        table: float32 (n + m, `WIDTH`), on the device: for each image the columns below.
    """

    samples: NDArray[np.int64]
    partners: NDArray[np.int64]
    octaves: NDArray[np.int64]
    table: Tensor

    def to(self, device: torch.device) -> Draw:
        """The same with its table on the device; one copy, which the host does not wait for."""
        if device.type == "cpu":
            return self
        table = self.table.pin_memory() if device.type == "cuda" else self.table
        return replace(self, table=table.to(device, non_blocking=True))


MATRIX = slice(0, 6)
"""Rows of the affine map from output to input, in coordinates from -1 to 1."""
MIRRORED = slice(6, 8)
"""1 where the image is mirrored left to right, top to bottom."""
BRIGHTNESS, CONTRAST, SATURATION, HUE, OCTAVES = range(8, 13)
"""Factors around 1, the turn of the hue around 0, and halvings before sampling."""
HOLE = slice(13, 17)
"""Left, top, right, bottom of the square cut out, in pixels of the output; right and bottom are beyond it."""
BOX = slice(17, 21)
"""The same of cutmix's box, which shows the partner."""
SHARE, PARTNER, TARGET_SHARE = range(21, 24)
"""The sample's own share of the blend by mixup; its partner's place among the images; its share of the target."""
WIDTH = 24


def draw(
    strengths: AugmentStrengths,
    seed: int,
    epoch: int,
    samples: NDArray[np.int64],
    ids: NDArray[np.int64],
    size: int,
    side: int,
) -> Draw:
    """Draw what is done to each sample.

    Args:
        strengths: how strongly images are changed.
        seed: the derived seed of this fold's augmentation.
        epoch: the epoch.
        samples: numbers of the samples, counted from 0, shape (n,).
        ids: what the random numbers belong to, for every training sample, shape (n_samples,).
        size: side in pixels of the model's input.
        side: side in pixels of the decoded images.
    """
    uniforms = sample_uniforms(seed, epoch, ids[samples], len(Column))
    mixing = Mixing.draw(strengths, uniforms[:, Column.MIX :], samples, len(ids), size)
    if len(mixing.images) > len(samples):
        added = sample_uniforms(seed, epoch, ids[mixing.images[len(samples) :]], len(Column))
        uniforms = np.concatenate([uniforms, added])
    table = np.zeros((len(uniforms), WIDTH))
    table[:, MATRIX] = matrices(strengths, uniforms[:, Column.ANGLE : Column.MIX])
    table[:, MIRRORED] = uniforms[:, [Column.HFLIP, Column.VFLIP]] < [strengths.hflip, strengths.vflip]
    halvings = octaves(table[:, MATRIX], side / size)
    table[:, OCTAVES] = halvings
    _draw_colours(table, strengths, uniforms)
    table[:, HOLE] = _holes(strengths, uniforms, size)
    table[: len(samples), BOX] = mixing.boxes
    table[: len(samples), SHARE] = mixing.shares
    table[: len(samples), PARTNER] = mixing.places
    table[: len(samples), TARGET_SHARE] = mixing.target_shares
    return Draw(mixing.images, mixing.partners, halvings, torch.from_numpy(table.astype(np.float32)))

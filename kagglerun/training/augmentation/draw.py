"""What is done to each sample of a batch: drawn on the host for the whole batch, as one table of numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kagglerun.config.augment import AugmentStrengths
from kagglerun.training.augmentation.colour import colour_changes
from kagglerun.training.augmentation.cutout import holes
from kagglerun.training.augmentation.geometry import affine_rows, halvings, mirrored
from kagglerun.training.augmentation.mixing import draw_mixing
from kagglerun.training.augmentation.uniforms import Column
from kagglerun.training.seed import sample_uniforms

# Columns of the table; each function that takes one explains it.
AFFINE = slice(0, 6)
FLIPS = slice(6, 8)
COLOURS = slice(8, 12)
HALVED = 12
HOLE = slice(13, 17)
BOX = slice(17, 21)
SHARE, TARGET_SHARE, PLACE = 21, 22, 23
_WIDTH = 24


@dataclass(frozen=True)
class Draw:
    """What is done to the n samples of a batch, and to the partners of the m of them that are mixed.

    Attributes:
        samples: numbers of the samples whose images are needed, int64 (n + m,): those of the batch, then the partners.
        partners: number of each sample's partner, int64 (n,); its own where it is not mixed.
        halved: how often each image is halved before it is sampled, int64 (n + m,), on the host.
        table: all numbers, float32 (n + m, 24), on the device.
    """

    samples: NDArray[np.int64]
    partners: NDArray[np.int64]
    halved: NDArray[np.int64]
    table: Tensor

    def to(self, device: torch.device) -> Draw:
        """The same with the table on the device: one copy, which the host does not wait for."""
        if device.type == "cpu":
            return self
        table = self.table.pin_memory() if device.type == "cuda" else self.table
        return replace(self, table=table.to(device, non_blocking=True))

    @property
    def n(self) -> int:
        """Samples of the batch."""
        return len(self.partners)

    @property
    def own(self) -> Tensor:
        """The table's rows of the batch's samples, without the partners'."""
        return self.table[: self.n]


def make_draw(
    strengths: AugmentStrengths,
    seed: int,
    epoch: int,
    samples: NDArray[np.int64],
    ids: NDArray[np.int64],
    sides: tuple[int, int],
) -> Draw:
    """Draw what is done to some samples.

    Args:
        strengths: how strongly images are changed.
        seed: the derived seed of this fold's augmentation.
        epoch: the epoch.
        samples: numbers of the samples, counted from 0, int64 (n,).
        ids: what the random numbers of each training sample belong to, int64 (n_samples,).
        sides: in pixels, of the decoded images and of the model's input.
    """
    decoded, size = sides
    uniforms = sample_uniforms(seed, epoch, ids[samples], len(Column))
    mixing = draw_mixing(strengths, uniforms, samples, len(ids), size)
    n, needed = len(samples), np.concatenate([samples, mixing.partners[mixing.mixed]])
    if len(needed) > n:
        uniforms = np.concatenate([uniforms, sample_uniforms(seed, epoch, ids[needed[n:]], len(Column))])
    table = np.zeros((len(needed), _WIDTH))
    table[:, AFFINE] = affine_rows(strengths, uniforms)
    table[:, FLIPS] = mirrored(strengths, uniforms)
    if strengths.recolours:
        table[:, COLOURS] = colour_changes(strengths, uniforms)
    if strengths.cutout:
        table[:, HOLE] = holes(strengths, uniforms, size)
    halved = halvings(table[:, AFFINE], decoded / size)
    table[:, HALVED] = halved
    table[:n, BOX] = mixing.boxes
    table[:n, SHARE] = mixing.shares
    table[:n, TARGET_SHARE] = mixing.target_shares
    # A partner's image stands behind the batch's own, in the order of the samples that are mixed.
    table[:n, PLACE] = np.where(mixing.mixed, n - 1 + np.cumsum(mixing.mixed), np.arange(n))
    return Draw(needed, mixing.partners, halved, torch.from_numpy(table.astype(np.float32)))

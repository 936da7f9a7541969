"""Mixup (Zhang et al. 2018) and cutmix (Yun et al. 2019); a partner belongs to its sample, not to the batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import betaincinv
from torch import Tensor

from kagglerun.config.augment import AugmentStrengths
from kagglerun.training.augmentation.cutout import inside
from kagglerun.training.augmentation.geometry import choose
from kagglerun.training.augmentation.uniforms import Column, Floats

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Mixing:
    """Who is mixed with whom, and how.

    Attributes:
        partners: number of each sample's partner among the training samples, int64 (n,); its own where not mixed.
        mixed: which samples are mixed, bool (n,).
        shares: the sample's own share of the blend of the pixels, (n,); 1 where there is no mixup.
        boxes: left, top, right, bottom of the box that shows the partner, in pixels, (n, 4); empty without cutmix.
        target_shares: the sample's own share of the target, (n,): for cutmix by the area that is really covered.
    """

    partners: Integers
    mixed: NDArray[np.bool_]
    shares: Floats
    boxes: Floats
    target_shares: Floats


def draw_mixing(strengths: AugmentStrengths, uniforms: Floats, samples: Integers, n_samples: int, size: int) -> Mixing:
    """Draw the partners, shares and boxes.

    Args:
        strengths: how often and how strongly.
        uniforms: the samples' uniform numbers, (n, columns).
        samples: their numbers, int64 (n,).
        n_samples: number of training samples, among which a partner is chosen evenly.
        size: side of the images in pixels.
    """
    n = len(samples)
    if not strengths.mixes:
        return Mixing(samples, np.zeros(n, bool), np.ones(n), np.zeros((n, 4)), np.ones(n))
    mixed = uniforms[:, Column.MIX] < strengths.mix_probability
    both = strengths.mixup > 0 and strengths.cutmix > 0
    by_box = uniforms[:, Column.MIX_KIND] < (0.5 if both else float(strengths.cutmix > 0))
    blended, boxed = mixed & ~by_box, mixed & by_box
    shares, boxes, target_shares = np.ones(n), np.zeros((n, 4)), np.ones(n)
    drawn = uniforms[:, Column.MIX_SHARE]
    if blended.any():
        shares[blended] = betaincinv(strengths.mixup, strengths.mixup, drawn[blended])
        target_shares[blended] = shares[blended]
    if boxed.any():
        boxes[boxed] = _boxes(betaincinv(strengths.cutmix, strengths.cutmix, drawn[boxed]), uniforms[boxed], size)
        left, top, right, bottom = boxes[boxed].T
        target_shares[boxed] = 1 - (right - left) * (bottom - top) / size**2
    chosen = (uniforms[:, Column.MIX_PARTNER] * n_samples).astype(np.int64)
    return Mixing(np.where(mixed, chosen, samples), mixed, shares, boxes, target_shares)


def _boxes(shares: Floats, uniforms: Floats, size: int) -> Floats:
    """Boxes of about 1 - share of the area, centred on any pixel and cut off at the border; the paper's formula."""
    half = np.floor(np.sqrt(1 - shares) / 2 * size)
    x, y = (np.floor(uniforms[:, column] * size) for column in (Column.MIX_X, Column.MIX_Y))
    boxes: Floats = np.stack([x - half, y - half, x + half, y + half], axis=1).clip(0, size)
    return boxes


def mix_images(images: Tensor, places: Tensor, shares: Tensor, boxes: Tensor, strengths: AugmentStrengths) -> Tensor:
    """Mix the first n images with their partners.

    Args:
        images: float32 (n + m, channels, size, size): the samples', then the partners'.
        places: place of each sample's partner among them, int64 (n,).
        shares: see `Mixing`, float32 (n,).
        boxes: see `Mixing`, float32 (n, 4).
        strengths: which of the two is on.

    Returns:
        float32 (n, channels, size, size).
    """
    # Rows are chosen in the order of memory, so that channels-last stays so.
    own, partners = images[: len(places)], images.permute(0, 2, 3, 1)[places].permute(0, 3, 1, 2)
    if strengths.cutmix:
        own = choose(own, partners, inside(boxes, images.shape[-1]))
    if strengths.mixup:
        own = blend(own, partners, shares.view(-1, 1, 1, 1))
    return own


def mix_targets(targets: Tensor, partners: Tensor, shares: Tensor, n_classes: int | None) -> Tensor:
    """Mix targets as the images are mixed.

    Args:
        targets: classes, int64 (n,), or values, float32 (n, n_outputs).
        partners: the partners' targets, of the same shape.
        shares: the sample's own share, float32 (n,).
        n_classes: number of classes, where targets are classes.

    Returns:
        float32 (n, n_classes), each row adding up to 1, or float32 (n, n_outputs).
    """
    if not targets.is_floating_point():
        assert n_classes is not None, "classes can be mixed where their number is known"
        classes = torch.arange(n_classes, device=targets.device)
        targets, partners = ((given.unsqueeze(1) == classes).float() for given in (targets, partners))
    return blend(targets, partners.clone(), shares.unsqueeze(1))


def blend(own: Tensor, partners: Tensor, share: Tensor) -> Tensor:
    """share * own + (1 - share) * partners; exactly `own` where the share is 1. `partners` is overwritten."""
    return partners.mul_(1 - share).add_(own * share)

"""Brightness, contrast, saturation and hue, each as torchvision's functions of the same name do them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from kagglerun.config.augment import AugmentStrengths
from kagglerun.training.augmentation.uniforms import Column, Floats, either_way

_LUMA = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in grey, as torchvision has them."""
_LEAST_CHROMA = 1e-12


def colour_changes(strengths: AugmentStrengths, uniforms: Floats) -> Floats:
    """Factors of brightness, contrast and saturation, and the turn of the hue: float64 (n, 4)."""
    return np.stack(
        [
            1 + either_way(uniforms, Column.BRIGHTNESS, strengths.brightness),
            1 + either_way(uniforms, Column.CONTRAST, strengths.contrast),
            1 + either_way(uniforms, Column.SATURATION, strengths.saturation),
            either_way(uniforms, Column.HUE, strengths.hue),
        ],
        axis=1,
    )


def recolour(images: Tensor, changes: Tensor, strengths: AugmentStrengths) -> Tensor:
    """Change the colours; `images` is worked in and may be overwritten.

    Args:
        images: float32 in [0, 1], (n, 3, height, width).
        changes: see `colour_changes`, float32 (n, 4).
        strengths: an operation whose strength is zero is left out.

    Returns:
        Of the same shape, in [0, 1].
    """
    brightness, contrast, saturation, hue = (changes[:, place].view(-1, 1, 1, 1) for place in range(4))
    if strengths.brightness:
        images.mul_(brightness).clamp_(0, 1)
    if strengths.contrast:
        grey = _mean(_grey(images))
        images.mul_(contrast).add_(grey.mul_(1 - contrast)).clamp_(0, 1)
    if strengths.saturation:
        grey = _grey(images)
        images.mul_(saturation).add_(grey.mul_(1 - saturation)).clamp_(0, 1)
    return _turn_hue(images, hue) if strengths.hue else images


def _grey(images: Tensor) -> Tensor:
    """(n, 1, height, width)."""
    red, green, blue = (images[:, channel : channel + 1] for channel in range(3))
    return red * _LUMA[0] + green * _LUMA[1] + blue * _LUMA[2]


def _mean(grey: Tensor) -> Tensor:
    """Mean of each image, (n, 1, 1, 1), summed in halves.

    A reduction may add in an order that depends on the number of images or threads; additions of halves cannot.
    """
    n, pixels = len(grey), grey[0].numel()
    rest = grey.reshape(n, pixels)
    while (length := rest.shape[1]) > 1:
        half = length // 2
        folded = rest[:, :half] + rest[:, half : 2 * half]
        rest = torch.cat([folded, rest[:, -1:]], dim=1) if length % 2 else folded
    return (rest / pixels).view(n, 1, 1, 1)


def _turn_hue(images: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue of HSV; value and saturation stay. Made of operations that are fast on a CPU too.

    With the least and the largest of the three colours and six times the hue, h from 0 to 6, the colours are
    least + (largest - least) * clip(|h - 3| - 1), clip(2 - |h - 2|), clip(2 - |h - 4|), which needs no cases.
    """
    red, green, blue = (images[:, channel : channel + 1] for channel in range(3))
    largest = torch.maximum(torch.maximum(red, green), blue)
    least = torch.minimum(torch.minimum(red, green), blue)
    chroma = largest - least
    # 0 where the colour is the largest, else 1.
    not_red, not_green = (largest - red).sign_(), (largest - green).sign_()
    from_green = (blue - red).add_(chroma * 2)
    from_blue = (red - green).add_(chroma * 4)
    hue = torch.lerp(green - blue, torch.lerp(from_green, from_blue, not_green), not_red)
    # Grey pixels have no hue: any will do, since it is multiplied by their chroma of zero.
    # As a share of the circle, and above zero before whole turns are taken off.
    hue.div_(chroma.clamp(min=_LEAST_CHROMA).mul_(6)).add_(turn + 1).frac_()
    centres, slopes, offsets = (_constants(images.device)[:, place].view(1, 3, 1, 1) for place in range(3))
    shares = (hue - centres).abs_().mul_(slopes).add_(offsets).clamp_(0, 1)
    return shares.mul_(chroma).add_(least)


@lru_cache(maxsize=8)
def _constants(device: torch.device) -> Tensor:
    """Centre (a share of the circle), slope and offset of red, green and blue; (3, 3), copied to a device once."""
    return torch.tensor([[3 / 6, 6.0, -1.0], [2 / 6, -6.0, 2.0], [4 / 6, -6.0, 2.0]], device=device)

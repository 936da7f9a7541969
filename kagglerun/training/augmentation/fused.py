"""Images on a CPU by the compiled kernel. The first call of a process loads it, that of a machine compiles it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kagglerun.config.augment import AugmentStrengths
from kagglerun.training.augmentation.draw import AFFINE, COLOURS, HOLE, Draw
from kagglerun.training.augmentation.geometry import shrunk_side
from kagglerun.training.augmentation.pieces import in_pieces

_PIECES_A_THREAD = 3
"""So that a thread whose core was busy with something else leaves the rest to the others."""
_SAME, _MIRRORED = (1, 0, 0, 0, 1, 0), (-1, 0, 0, 0, 1, 0)

Colours = tuple[float, ...]


def can_fuse(images: Tensor, size: int, strengths: AugmentStrengths | None = None) -> bool:
    """Whether the kernel does these images: on the CPU, and not resized without being sampled.

    Args:
        images: uint8 (n, side, side, 3).
        size: side of the result.
        strengths: None for images that are not augmented.
    """
    bends = strengths is not None and strengths.bends
    return images.device.type == "cpu" and (bends or images.shape[1] == size)


def augment(images: Tensor, draw: Draw, strengths: AugmentStrengths, mean: Colours, std: Colours, made: Tensor) -> None:
    """Sample, recolour, normalise and cut out, as the operations on a GPU do; images are not mixed.

    Args:
        images: uint8 (n, side, side, 3), on the CPU.
        draw: what is done to them.
        strengths: an operation whose strength is zero is left out.
        mean: of red, green and blue in [0, 1].
        std: their standard deviations.
        made: the result, float32 (n, 3, size, size) in channels-last memory.
    """
    table = draw.table.numpy()
    changed = (strengths.brightness > 0, strengths.contrast > 0, strengths.saturation > 0, strengths.hue > 0)
    maps, changes, holes = (np.ascontiguousarray(table[:, columns]) for columns in (AFFINE, COLOURS, HOLE))
    _run(images, draw.halved, maps, changes, holes, changed, mean, std, made)


def normalise(images: Tensor, mirrored: bool, mean: Colours, std: Colours, made: Tensor) -> None:
    """Normalise images that have their size already, mirrored left to right or not; see `augment`."""
    n = len(images)
    maps = np.tile(np.array(_MIRRORED if mirrored else _SAME, dtype=np.float32), (n, 1))
    nothing = np.zeros((n, 4), dtype=np.float32)
    _run(images, np.zeros(n, np.int64), maps, nothing, nothing, (False, False, False, False), mean, std, made)


def _run(
    images: Tensor,
    halved: NDArray[np.int64],
    maps: NDArray[np.float32],
    changes: NDArray[np.float32],
    holes: NDArray[np.float32],
    changed: tuple[bool, bool, bool, bool],
    mean: Colours,
    std: Colours,
    made: Tensor,
) -> None:
    # Here, since numba takes half a second to load and nothing but a CPU needs it.
    from kagglerun.training.augmentation.kernel import augment as kernel

    n, side = len(images), images.shape[1]
    sides = np.array([shrunk_side(side, times) for times in range(int(halved.max(initial=0)) + 1)], np.int64)[halved]
    means, scales = np.array(mean, np.float32), 1 / np.array(std, np.float32)
    source, target = images.contiguous().numpy(), made.permute(0, 2, 3, 1).numpy()

    def work(part: slice) -> None:
        kernel(
            source[part], sides[part], maps[part], changes[part], holes[part], changed, means, scales, target[part]
        )  # fmt: skip

    in_pieces(images.device, n, -(-n // (_PIECES_A_THREAD * torch.get_num_threads())), work)

"""Which uniform number of a sample is for what."""

from __future__ import annotations

from enum import IntEnum, auto

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Column(IntEnum):
    """Columns of `sample_uniforms`. New purposes go to the end, so that no other number moves."""

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


def either_way(uniforms: Floats, column: Column, most: float) -> Floats:
    """A column as numbers in [-most, most), shape (n,)."""
    return (2 * uniforms[:, column] - 1) * most

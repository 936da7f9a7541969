"""Image augmentation as a config says it: a preset's name, or a preset with some of its values changed.

augment: flip
augment: {preset: flip, degrees: 20, mixup: 0.2}
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from kagglerun.config.section import Section

Share = Annotated[float, Field(ge=0, le=1)]
Preset = Literal["none", "light", "flip", "medium", "strong"]


@dataclass(frozen=True)
class AugmentStrengths:
    """Every value of an augmentation, settled; `AugmentConfig` explains each. The defaults change nothing."""

    crop_scale: tuple[float, float] = (1.0, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    hflip: float = 0.0
    vflip: float = 0.0
    degrees: float = 0.0
    scale: float = 0.0
    translate: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    cutout: float = 0.0
    cutout_size: float = 0.25
    mixup: float = 0.0
    cutmix: float = 0.0
    mix_probability: float = 1.0

    @property
    def bends(self) -> bool:
        """Whether pixels move otherwise than by mirroring, so that images must be sampled anew."""
        return self.crop_scale != (1.0, 1.0) or any((self.degrees, self.scale, self.translate))

    @property
    def recolours(self) -> bool:
        """Whether colours are changed."""
        return any((self.brightness, self.contrast, self.saturation, self.hue))

    @property
    def mixes(self) -> bool:
        """Whether images and targets of two samples are mixed."""
        return self.mix_probability > 0 and (self.mixup > 0 or self.cutmix > 0)


PRESETS: dict[Preset, AugmentStrengths] = {
    "none": AugmentStrengths(),
    "light": AugmentStrengths(degrees=8, scale=0.08, translate=0.06),
    "flip": AugmentStrengths(hflip=0.5, degrees=8, scale=0.08, translate=0.06),
    "medium": AugmentStrengths(hflip=0.5, degrees=15, scale=0.2, translate=0.1, brightness=0.2, contrast=0.2),
    "strong": AugmentStrengths(
        crop_scale=(0.35, 1.0),
        hflip=0.5,
        degrees=15,
        translate=0.05,
        brightness=0.3,
        contrast=0.3,
        saturation=0.3,
        hue=0.03,
        cutout=0.5,
    ),
}
"""What each preset's name stands for."""


class AugmentConfig(Section):
    """How strongly training images are changed; each value that is left out is the preset's.

    Every random number belongs to (seed, epoch, sample): batches, workers and resumes cannot change it.
    """

    name_alone: ClassVar[str | None] = "preset"

    preset: Preset = "light"
    """light shifts, rotates and scales a little; flip also mirrors; medium adds colour; strong also crops and cuts."""
    crop_scale: tuple[float, float] | None = None
    """Random resized crop: share of the area that is kept, [least, most]; [1, 1] keeps all."""
    crop_ratio: tuple[float, float] | None = None
    """Width to height of the crop, [least, most]."""
    hflip: Share | None = None
    """Probability of a mirror image, left to right."""
    vflip: Share | None = None
    """Probability of a mirror image, top to bottom."""
    degrees: Annotated[float, Field(ge=0, le=180)] | None = None
    """Largest rotation either way."""
    scale: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Largest relative change of size either way."""
    translate: Share | None = None
    """Largest move either way, as a share of the side."""
    brightness: Share | None = None
    """Largest relative change either way."""
    contrast: Share | None = None
    """Largest relative change either way."""
    saturation: Share | None = None
    """Largest relative change either way."""
    hue: Annotated[float, Field(ge=0, le=0.5)] | None = None
    """Largest turn of the hue either way, as a share of the colour circle."""
    cutout: Share | None = None
    """Probability that a square is cut out."""
    cutout_size: Share | None = None
    """Side of that square, as a share of the image's side."""
    mixup: Annotated[float, Field(ge=0)] | None = None
    """Alpha of mixup's Beta distribution; 0 is off."""
    cutmix: Annotated[float, Field(ge=0)] | None = None
    """Alpha of cutmix's Beta distribution; 0 is off."""
    mix_probability: Share | None = None
    """Share of the samples that are mixed, where mixup or cutmix is on; with both on, each takes half of them."""

    @field_validator("crop_scale", "crop_ratio")
    @classmethod
    def _least_before_most(cls, given: tuple[float, float] | None) -> tuple[float, float] | None:
        if given is not None and not 0 < given[0] <= given[1]:
            raise ValueError("it must be [least, most], both above 0")
        return given

    @field_validator("crop_scale")
    @classmethod
    def _not_more_than_all(cls, given: tuple[float, float] | None) -> tuple[float, float] | None:
        if given is not None and given[1] > 1:
            raise ValueError("a crop keeps at most 1, the whole area")
        return given

    def strengths(self) -> AugmentStrengths:
        """Every value: the config's own, and the preset's where the config says nothing."""
        given = {field.name: getattr(self, field.name) for field in fields(AugmentStrengths)}
        return replace(PRESETS[self.preset], **{name: value for name, value in given.items() if value is not None})

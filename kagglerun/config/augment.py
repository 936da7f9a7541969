"""Image augmentation as a config says it: a preset's name, or a preset with some of its values changed.

augment: flip
augment: {preset: flip, degrees: 20, mixup: 0.2}
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from kagglerun.config.section import Section

Share = Annotated[float, Field(ge=0, le=1)]
Preset = Literal["none", "light", "flip", "medium", "strong"]


class AugmentConfig(Section):
    """How strongly training images are changed; each value that is left out is the preset's.

    Every random number belongs to (seed, epoch, sample): batches, workers and resumes cannot change it.
    """

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

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, given: Any) -> Any:
        """`augment: flip` means `augment: {preset: flip}`."""
        return {"preset": given} if isinstance(given, str) else given

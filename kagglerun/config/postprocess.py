"""What predictions go through after the folds, as a config says it: a method's name, or the method and more.

postprocess: none
postprocess: {method: isotonic, floor: 1e-4}
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from kagglerun.config.section import Section

PostprocessMethod = Literal["auto", "none", "cutoffs", "thresholds", "temperature", "platt", "isotonic"]


class PostprocessConfig(Section):
    """What out-of-fold and test predictions go through before they are scored and submitted; fitted on OOF alone."""

    name_alone: ClassVar[str | None] = "method"

    method: PostprocessMethod = "auto"
    """auto: cut-offs or thresholds where the metric needs them, such as QWK, F1 and MCC; nothing for all others.
    cutoffs: where one ordered label ends and the next begins. thresholds: from which probability on a label is given;
    of several classes a weight each. temperature, platt, isotonic: calibrated probabilities."""
    clip: bool = False
    """Hold predicted numbers within the range of the training targets."""
    floor: float | None = Field(None, gt=0, lt=0.5)
    """Hold probabilities within this and one minus it: it bounds the log loss of a row that was surely wrong."""
    sum_to_one: tuple[tuple[str, ...], ...] = ()
    """Groups of targets of which one is true: their probabilities are divided by their sum in each row."""

    @property
    def is_default(self) -> bool:
        """Whether it says no more than a config that does not name it."""
        return self == PostprocessConfig()

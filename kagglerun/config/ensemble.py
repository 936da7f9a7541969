"""What an ensemble's run says of itself in its config.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kagglerun.config.section import Section


class EnsembleModelConfig(Section):
    """Earlier runs joined by their out-of-fold predictions; `kagglerun ensemble` makes it, `kagglerun train` cannot."""

    kind: Literal["ensemble"] = "ensemble"
    method: Literal["auto", "mean", "hill", "rank", "ridge", "logistic"] = "auto"
    """How the weights are found; auto: whichever is best by nested cross-validation."""
    top: int = Field(40, ge=1)
    """At most so many runs take part in one fit, the best on the rows that it is fitted on."""
    runs: tuple[str, ...] = ()
    """Ids of the runs that it was chosen from."""

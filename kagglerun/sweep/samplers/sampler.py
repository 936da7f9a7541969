"""What a sampler is.

It is told results in order and keeps them. Each draw is made with a generator of its own, so that a sampler that
has lived through the study and one that was just told all of it draw the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from kagglerun.config.search import Parameter
from kagglerun.sweep.space import from_unit
from kagglerun.sweep.trials import Trial

Draw = Callable[[Sequence[Parameter]], dict[str, Any]]
"""Gives values for parameters that count in the same trials, by key."""


class Sampler(Protocol):
    """Draws values for trials."""

    def tell(self, trial: Trial) -> None:
        """A trial has ended; told in order, those of earlier studies first."""

    def draw(self, number: int, attempt: int, running: Sequence[Trial]) -> Draw | None:
        """The draw for a trial.

        Args:
            number: of the trial.
            attempt: 0, and above where the values drawn before were tried already.
            running: trials in work, whose results are not to be known.

        Returns:
            None where no further attempt is made.
        """


def at(parameters: Sequence[Parameter], position: np.ndarray) -> Draw:
    """The draw that gives the values at a point of the unit cube.

    Args:
        parameters: the axes.
        position: shape (parameters,), in [0, 1).
    """
    values = {
        parameter.key: from_unit(parameter, float(coordinate))
        for parameter, coordinate in zip(parameters, position, strict=True)
    }
    return lambda wanted: {parameter.key: values[parameter.key] for parameter in wanted}

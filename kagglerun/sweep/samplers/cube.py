"""Samplers that look at no result: points of the unit cube, and the grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kagglerun.config.search import Parameter
from kagglerun.randomness import generator
from kagglerun.sweep.samplers.sampler import Draw, at
from kagglerun.sweep.trials import Trial


class RandomSampler:
    """Points of the unit cube, each for itself.

    Args:
        seed: of the study.
        parameters: the search space.
    """

    _ATTEMPTS = 32

    def __init__(self, seed: int, parameters: Sequence[Parameter]) -> None:
        self._seed = seed
        self._parameters = parameters

    def tell(self, trial: Trial) -> None:
        """Results do not matter."""

    def draw(self, number: int, attempt: int, running: Sequence[Trial]) -> Draw | None:  # noqa: ARG002
        """See `Sampler`."""
        if attempt >= self._ATTEMPTS:
            return None
        return at(self._parameters, generator(self._seed, "draw", number, attempt).random(len(self._parameters)))


class GridSampler(RandomSampler):
    """Draws nothing: each trial is a combination that was not tried yet; see `Proposer`."""

    _ATTEMPTS = 0


class QmcSampler(RandomSampler):
    """Trial n is point n of a scrambled Sobol sequence with a coordinate for each parameter."""

    def draw(self, number: int, attempt: int, running: Sequence[Trial]) -> Draw | None:
        """See `Sampler`."""
        if attempt:
            return super().draw(number, attempt, running)
        # The scrambling is drawn first, with the same generator each time: it is one sequence for the whole study.
        engine = _sobol(len(self._parameters), generator(self._seed, "sobol"))
        if number:
            engine.fast_forward(number)
        return at(self._parameters, engine.random(1)[0])


def _sobol(dimensions: int, rng: np.random.Generator) -> Any:
    from scipy.stats import qmc

    try:
        return qmc.Sobol(dimensions, scramble=True, rng=rng)
    except TypeError:  # scipy before 1.15 calls it by another name
        return qmc.Sobol(dimensions, scramble=True, seed=rng)

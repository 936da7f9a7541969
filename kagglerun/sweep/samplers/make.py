"""From the sampler's name to the sampler, and what each of them cannot do."""

from __future__ import annotations

from collections.abc import Sequence

from kagglerun.config.schema import Config
from kagglerun.config.search import Parameter
from kagglerun.sweep.samplers.bayesian import GpSampler, TpeSampler
from kagglerun.sweep.samplers.cube import GridSampler, QmcSampler, RandomSampler
from kagglerun.sweep.samplers.evolution import CmaSampler
from kagglerun.sweep.samplers.sampler import Sampler


def make_sampler(config: Config, parameters: Sequence[Parameter], greater_is_better: bool) -> Sampler:
    """The sampler that a config names, with no result told yet.

    Args:
        config: the study's base config; see `check_proposals` for what it may ask for.
        parameters: the search space that it really has; see `reachable`.
        greater_is_better: direction of the score.
    """
    match config.sweep.sampler:
        case "tpe":
            return TpeSampler(config, parameters, greater_is_better)
        case "gp":
            return GpSampler(config, parameters, greater_is_better)
        case "cmaes":
            return CmaSampler(config, parameters, greater_is_better)
        case "qmc":
            return QmcSampler(config.seed, parameters)
        case "random":
            return RandomSampler(config.seed, parameters)
        case "grid":
            return GridSampler(config.seed, parameters)

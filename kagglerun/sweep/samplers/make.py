"""From the sampler's name to the sampler, and what each of them cannot do."""

from __future__ import annotations

from collections.abc import Sequence

from kagglerun.config.schema import Config
from kagglerun.config.search import Parameter
from kagglerun.sweep.samplers.bayesian import GpSampler, TpeSampler
from kagglerun.sweep.samplers.cube import GridSampler, QmcSampler, RandomSampler
from kagglerun.sweep.samplers.sampler import Sampler
from kagglerun.sweep.trials import Trial


def make_sampler(
    config: Config, parameters: Sequence[Parameter], greater_is_better: bool, earlier: Sequence[Trial] = ()
) -> Sampler:
    """The sampler that a config names, with no result of the study told yet.

    Args:
        config: the study's base config; see `check_proposals` for what it may ask for.
        parameters: the search space that it really has; see `reachable`.
        greater_is_better: direction of the score.
        earlier: complete trials of earlier studies.
    """
    if config.sweep.sampler == "cmaes":
        # Here, since it imports scipy.stats, which takes longer than all else that a sweep imports.
        from kagglerun.sweep.samplers.evolution import CmaSampler

        return CmaSampler(config, parameters, greater_is_better, earlier)
    sampler = _make(config, parameters, greater_is_better)
    for trial in earlier:
        sampler.tell(trial)
    return sampler


def _make(config: Config, parameters: Sequence[Parameter], greater_is_better: bool) -> Sampler:
    match config.sweep.sampler:
        case "tpe":
            return TpeSampler(config, parameters, greater_is_better)
        case "gp":
            return GpSampler(config, parameters, greater_is_better)
        case "qmc":
            return QmcSampler(config.seed, parameters)
        case "grid":
            return GridSampler(config.seed, parameters)
        case _:
            return RandomSampler(config.seed, parameters)

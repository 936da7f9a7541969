"""What a study may ask of its sampler, checked before it begins."""

from __future__ import annotations

from collections.abc import Sequence

from kagglerun.config.schema import Config
from kagglerun.config.search import Choice, Parameter, parse_search, reachable
from kagglerun.errors import ConfigError
from kagglerun.sweep.space import combinations, first_configs, grid_values

_LEARNING = ("tpe", "gp", "cmaes")


def checked_proposals(config: Config) -> Config:
    """Check that the study's trials can be proposed.

    Args:
        config: the resolved base config.

    Returns:
        The config; with fewer trials where its search space has fewer configs: none is tried twice.

    Raises:
        ConfigError: nothing is left to vary, the sampler cannot do what is asked, or an enqueued config lies outside
            the search space.
    """
    parameters = reachable(config, parse_search(config))
    if not parameters:
        raise ConfigError(
            "no entry of sweep.search counts in this config, so there is nothing to vary",
            hint="their conditions (when: ...) name another model or value",
        )
    _check_objectives(config)
    _check_sampler(config, parameters)
    return _with_possible_trials(config, parameters)


def _check_objectives(config: Config) -> None:
    objectives = config.sweep.objectives
    if "score" not in objectives or len(set(objectives)) < len(objectives):
        raise ConfigError(
            f"sweep.objectives is {list(objectives)}; it names each objective once, score among them",
            hint="sweep.objectives: [score]    or    [score, seconds_per_fold]",
        )


def _check_sampler(config: Config, parameters: Sequence[Parameter]) -> None:
    sampler, tpe = config.sweep.sampler, "sweep.sampler=tpe takes all of these"
    conditional = next((parameter for parameter in parameters if parameter.when), None)
    choice = next((parameter for parameter in parameters if isinstance(parameter, Choice)), None)
    endless = next((parameter for parameter in parameters if grid_values(parameter) is None), None)
    if sampler in ("gp", "cmaes") and conditional:
        raise ConfigError(f"sweep.sampler {sampler} takes no conditions: {conditional.key} has `when`", hint=tpe)
    if sampler == "cmaes" and choice:
        raise ConfigError(f"sweep.sampler cmaes takes ranges of numbers only: {choice.key} is a choice", hint=tpe)
    if sampler == "cmaes" and len(config.sweep.objectives) > 1:
        raise ConfigError("sweep.sampler cmaes optimises the score alone", hint="sweep.sampler=tpe or gp takes both")
    if sampler == "grid" and endless:
        raise ConfigError(
            f"sweep.sampler grid needs a step: {endless.key} is a range of real numbers",
            hint=f"{endless.key}: {{low: ..., high: ..., step: ...}}    or a list",
        )
    if config.sweep.warm_start and sampler not in _LEARNING:
        raise ConfigError(
            f"sweep.sampler {sampler} learns from no results, so sweep.warm_start is of no use to it",
            hint=f"sweep.sampler: {', '.join(_LEARNING)}",
        )


def _with_possible_trials(config: Config, parameters: Sequence[Parameter]) -> Config:
    first_configs(config, parameters)  # refuses what lies outside the search space
    every = combinations(config, parameters)
    sweep = config.sweep
    if every is None:
        if sweep.sampler == "grid":
            raise ConfigError("the grid of sweep.search has more than 100,000 configs", hint="take larger steps")
        return config
    possible = len(every)
    if sweep.sampler == "grid" and sweep.trials < possible:
        raise ConfigError(
            f"the grid of sweep.search has {possible} configs, sweep.trials is {sweep.trials}",
            hint=f"sweep.trials={possible}    or sweep.sampler=random for some of them",
        )
    return config.model_copy(update={"sweep": sweep.model_copy(update={"trials": min(sweep.trials, possible)})})

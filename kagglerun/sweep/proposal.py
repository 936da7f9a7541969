"""Which config a trial tries: a function of the study and of earlier results, without a state.

Trial n is proposed by a sampler made afresh from (seed, n), in a study made afresh that holds the results of
trials 0..n-lag. Trials n-lag+1..n-1 stand in it as running, with their proposals, which are such functions
too; their results, even if known, are not looked at. So nothing depends on timing, on kills or on the worker.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna

from kagglerun.config.load import value_at, with_value
from kagglerun.config.schema import Config
from kagglerun.config.search import Choice, Parameter, Range
from kagglerun.errors import ConfigError
from kagglerun.randomness import derive
from kagglerun.sweep.trials import Trial, TrialState

_STARTUP_TRIALS = 10
"""Trials proposed at random before TPE; Optuna's default, written down since it is part of a study."""
_ON_GRID = 1e-8


def propose(
    config: Config, parameters: Sequence[Parameter], trials: Sequence[Trial], lag: int, greater_is_better: bool
) -> dict[str, Any]:
    """Propose the values of trial `len(trials)`.

    Args:
        config: the study's base config; trial 0 tries its values where they lie in the search space.
        parameters: the search space.
        trials: all earlier trials; results of the last lag - 1 are not used.
        lag: the study's lag.
        greater_is_better: direction of the values.

    Returns:
        Config key to value, in the order of the parameters.
    """
    number = len(trials)
    known = max(0, number - lag + 1)
    study = in_memory_study(parameters, trials[:known], greater_is_better, _sampler(config, parameters, number))
    for trial in trials[known:]:
        study.add_trial(frozen_trial(parameters, trial, finished=False))
    if number == 0:
        study.enqueue_trial(_baseline(config, parameters))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return _suggest_all(config, parameters, study.ask())


def in_memory_study(
    parameters: Sequence[Parameter], trials: Sequence[Trial], greater_is_better: bool, sampler: Any = None
) -> Any:
    """An Optuna study in memory that holds finished trials."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction=direction(greater_is_better), sampler=sampler)
    for trial in trials:
        study.add_trial(frozen_trial(parameters, trial, finished=trial.is_finished))
    return study


def direction(greater_is_better: bool) -> str:
    """Optuna's word for the direction."""
    return "maximize" if greater_is_better else "minimize"


def frozen_trial(parameters: Sequence[Parameter], trial: Trial, finished: bool) -> Any:
    """A trial as Optuna keeps it.

    Args:
        parameters: the search space.
        trial: the trial.
        finished: False shows it as running, whatever is known of it.
    """
    by_key = {parameter.key: parameter for parameter in parameters if parameter.key in trial.params}
    complete = finished and trial.state is TrialState.COMPLETE
    return optuna.trial.create_trial(
        state=optuna.trial.TrialState[trial.state if finished else TrialState.RUNNING],
        value=trial.value if complete else None,
        params={key: _to_optuna(parameter, trial.params[key]) for key, parameter in by_key.items()},
        distributions={key: _distribution(parameter) for key, parameter in by_key.items()},
    )


def _sampler(config: Config, parameters: Sequence[Parameter], number: int) -> Any:
    seed = derive(config.seed, "sampler", number) % 2**32
    if config.sweep.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            seed=seed,
            n_startup_trials=_STARTUP_TRIALS,
            multivariate=True,
            # Parameters with conditions: each group that occurs together is sampled jointly.
            group=any(parameter.when for parameter in parameters),
            constant_liar=True,
        )


def _suggest_all(config: Config, parameters: Sequence[Parameter], trial: Any) -> dict[str, Any]:
    proposed: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.when is None or parameter.when.holds(config, proposed):
            proposed[parameter.key] = _suggest(parameter, trial)
    return proposed


def _suggest(parameter: Parameter, trial: Any) -> Any:
    if isinstance(parameter, Choice):
        categories = _categories(parameter)
        return parameter.values[categories.index(trial.suggest_categorical(parameter.key, categories))]
    distribution = _distribution(parameter)
    suggest = trial.suggest_int if parameter.whole else trial.suggest_float
    return suggest(parameter.key, distribution.low, distribution.high, log=parameter.log, step=_step(parameter))


def _distribution(parameter: Parameter) -> Any:
    if isinstance(parameter, Choice):
        return optuna.distributions.CategoricalDistribution(_categories(parameter))
    kind = optuna.distributions.IntDistribution if parameter.whole else optuna.distributions.FloatDistribution
    cast = int if parameter.whole else float
    return kind(cast(parameter.low), cast(_reachable_high(parameter)), log=parameter.log, step=_step(parameter))


def _step(parameter: Range) -> float | int | None:
    if parameter.whole:
        return int(parameter.step or 1)
    return parameter.step


def _reachable_high(parameter: Range) -> float:
    """The last value that steps from `low` reach; Optuna would warn and do the same."""
    if parameter.step is None:
        return parameter.high
    steps = math.floor((parameter.high - parameter.low) / parameter.step + _ON_GRID)
    return parameter.low + steps * parameter.step


def _categories(parameter: Choice) -> list[Any]:
    """The choices as Optuna stores them: scalars as they are; if there are others, all as JSON."""
    if all(value is None or isinstance(value, bool | int | float | str) for value in parameter.values):
        return list(parameter.values)
    return [json.dumps(value, sort_keys=True) for value in parameter.values]


def _to_optuna(parameter: Parameter, value: Any) -> Any:
    if isinstance(parameter, Choice):
        return _categories(parameter)[parameter.values.index(value)]
    return value


def _baseline(config: Config, parameters: Sequence[Parameter]) -> dict[str, Any]:
    """The base config's own values, in Optuna's form, of the parameters whose search space holds them."""
    values: dict[str, Any] = {}
    for parameter in parameters:
        actual = value_at(config, parameter.key, None)
        if isinstance(parameter, Choice):
            fitting = [value for value in parameter.values if _same(config, parameter.key, value, actual)]
            if fitting:
                values[parameter.key] = _to_optuna(parameter, fitting[0])
        elif _in_range(parameter, actual):
            values[parameter.key] = actual
    return values


def _same(config: Config, key: str, value: Any, actual: Any) -> bool:
    """Whether a choice as YAML has it ('3e-4' is text there) means the config's value."""
    try:
        return bool(value_at(with_value(config, key, value), key, None) == actual)
    except ConfigError:
        return False  # a choice for another model kind


def _in_range(parameter: Range, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if not parameter.low <= value <= _reachable_high(parameter):
        return False
    if parameter.step is None:
        return True
    steps = (value - parameter.low) / parameter.step
    return abs(steps - round(steps)) < _ON_GRID


def describe(params: Mapping[str, Any]) -> str:
    """The values for people: `optimizer.lr=0.000312 model.name=resnet18`."""
    return " ".join(
        f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in params.items()
    )

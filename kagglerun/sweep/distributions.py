"""Search spaces and trials in Optuna's form."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import optuna

from kagglerun.config.search import Choice, Parameter
from kagglerun.errors import JobError
from kagglerun.sweep.objectives import objective_values, progress_values
from kagglerun.sweep.space import reachable_high, snapped
from kagglerun.sweep.trials import Trial, TrialState


def distribution(parameter: Parameter) -> Any:
    """A parameter as Optuna's distribution."""
    if isinstance(parameter, Choice):
        return optuna.distributions.CategoricalDistribution(categories(parameter))
    low, high = parameter.low, reachable_high(parameter)
    if parameter.whole:
        return optuna.distributions.IntDistribution(
            int(low), int(high), log=parameter.log, step=int(parameter.step or 1)
        )
    return optuna.distributions.FloatDistribution(low, high, log=parameter.log, step=parameter.step)


def categories(parameter: Choice) -> list[Any]:
    """The choices as Optuna stores them: scalars as they are; if there are others, all as JSON."""
    if all(value is None or isinstance(value, bool | int | float | str) for value in parameter.values):
        return list(parameter.values)
    return [json.dumps(value, sort_keys=True) for value in parameter.values]


def to_optuna(parameter: Parameter, value: Any) -> Any:
    """A proposed value in Optuna's form."""
    if isinstance(parameter, Choice):
        return categories(parameter)[parameter.values.index(value)]
    return value


def from_optuna(parameter: Parameter, value: Any) -> Any:
    """The proposed value that Optuna's form means."""
    if isinstance(parameter, Choice):
        return parameter.values[categories(parameter).index(value)]
    return snapped(parameter, value)


def frozen_trial(
    parameters: Sequence[Parameter],
    trial: Trial,
    state: TrialState,
    values: Sequence[float] | None = None,
    with_progress: bool = True,
) -> Any:
    """A trial as Optuna keeps it.

    Args:
        parameters: the search space; keys of the trial that are not in it are left out.
        trial: the trial.
        state: what it is to be shown as.
        values: of the objectives; what the trial says where left out.
        with_progress: whether its values on the way are shown.

    Raises:
        JobError: a value of the trial is not of the search space.
    """
    by_key = {parameter.key: parameter for parameter in parameters if parameter.key in trial.params}
    if values is None and state is TrialState.COMPLETE:
        values = objective_values(trial, ("score",))
    try:
        return optuna.trial.create_trial(
            state=optuna.trial.TrialState[state],
            values=values if state is TrialState.COMPLETE else None,
            params={key: to_optuna(parameter, trial.params[key]) for key, parameter in by_key.items()},
            distributions={key: distribution(parameter) for key, parameter in by_key.items()},
            intermediate_values=progress_values(trial) if with_progress and state is not TrialState.RUNNING else None,
        )
    except (ValueError, TypeError) as error:
        raise JobError(
            f"the params of trial {trial.number} are not of the study's search space: {error}",
            hint="put its trials.jsonl back as it was, or start with --new",
        ) from error

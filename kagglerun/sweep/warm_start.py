"""What a study knows from earlier ones: their complete trials, as configs of its own search space.

They are copied into the study's folder when it begins. So its proposals do not change when an earlier study goes on,
or is removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kagglerun.config.load import with_values
from kagglerun.config.schema import Config
from kagglerun.config.search import Parameter, reachable
from kagglerun.errors import ConfigError, JobError
from kagglerun.files import read_json, write_json
from kagglerun.sweep.space import fitting
from kagglerun.sweep.trials import Trial, TrialState
from kagglerun.workspace import StudyPaths

if TYPE_CHECKING:
    from kagglerun.sweep.study import StudySpec


def keep_earlier_trials(
    paths: StudyPaths, spec: StudySpec, sources: Sequence[tuple[StudySpec, Sequence[Trial]]]
) -> None:
    """Copy what fits of earlier studies into a study that begins.

    Args:
        paths: the study's files.
        spec: the study.
        sources: the earlier studies and their trials, in the order in which the config names them.

    Raises:
        ConfigError: a study optimises in the other direction, or none of its trials fits the search space.
    """
    parameters = reachable(spec.config, spec.parameters)
    entries: list[dict[str, Any]] = []
    for source, trials in sources:
        if source.greater_is_better != spec.greater_is_better:
            raise ConfigError(
                f"sweep.warm_start: {source.name} optimises another metric, in the other direction",
                hint=f"kagglerun study {source.name}",
            )
        found = [_entry(source, trial, params) for trial, params in _fitting_trials(source, trials, parameters)]
        if not found:
            raise ConfigError(
                f"sweep.warm_start: no complete trial of {source.name} is a config of this search space",
                hint=f"widen sweep.search, or leave {source.name} out",
            )
        entries += found
    write_json(paths.earlier, entries)


def read_earlier_trials(paths: StudyPaths) -> tuple[Trial, ...]:
    """The trials that a study knows from earlier ones; none where it names no study.

    Raises:
        JobError: their file is damaged.
    """
    if not paths.earlier.exists():
        return ()
    try:
        return tuple(
            Trial(
                number,
                dict(entry["params"]),
                TrialState.COMPLETE,
                value=float(entry["value"]),
                fold_scores=tuple(entry["fold_scores"]),
                seconds=entry["seconds"],
            )
            for number, entry in enumerate(read_json(paths.earlier))
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise JobError(f"{paths.earlier} is damaged: {error}", hint="put it back, or start with --new") from error


def _fitting_trials(
    source: StudySpec, trials: Sequence[Trial], parameters: Sequence[Parameter]
) -> list[tuple[Trial, dict[str, Any]]]:
    """Complete trials whose whole config lies in a search space, with their values there."""
    found = []
    for trial in trials:
        if trial.state is not TrialState.COMPLETE:
            continue
        config = with_values(source.config, trial.params)
        params = fitting(config, parameters)
        if _is_whole(config, parameters, params):
            found.append((trial, params))
    return found


def _is_whole(config: Config, parameters: Sequence[Parameter], params: dict[str, Any]) -> bool:
    return all(
        parameter.key in params
        for parameter in parameters
        if parameter.when is None or parameter.when.holds(config, params)
    )


def _entry(source: StudySpec, trial: Trial, params: dict[str, Any]) -> dict[str, Any]:
    return {
        "study": source.name,
        "trial": trial.number,
        "params": params,
        "value": trial.value,
        "fold_scores": list(trial.fold_scores),
        "seconds": trial.seconds,
    }

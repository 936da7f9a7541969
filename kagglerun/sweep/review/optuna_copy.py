"""Studies as Optuna keeps them, in memory: for its tools, which may do with the copy what they like."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import optuna

from kagglerun.config.search import Parameter
from kagglerun.errors import KagglerunError
from kagglerun.sweep.proposal import frozen_trial
from kagglerun.sweep.study import StudySpec, read_spec
from kagglerun.sweep.trials import Trial, read_trials
from kagglerun.workspace import Workspace

_LONGEST_ATTRIBUTE = 500


def optuna_study(spec: StudySpec, trials: Sequence[Trial], storage: Any = None) -> Any:
    """A study whose trials have their scores as values, mean scores of the folds as intermediate values.

    Args:
        spec: the study.
        trials: its trials, the finished and those in work.
        storage: where it is made; a new one in memory by default. Nothing is made there where a trial is damaged.

    Raises:
        JobError: a value of a trial is not of the search space.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    direction = "maximize" if spec.greater_is_better else "minimize"
    parameters = spec.parameters
    copies = [_optuna_trial(spec, parameters, trial) for trial in trials]
    study = optuna.create_study(study_name=f"{spec.slug}/{spec.name}", direction=direction, storage=storage)
    study.add_trials(copies)
    return study


def all_studies(workspace: Workspace) -> Any:
    """A storage in memory with every study of a workspace that can be read."""
    storage = optuna.storages.InMemoryStorage()
    for paths in workspace.all_studies():
        try:
            spec = read_spec(paths)
            optuna_study(spec, read_trials(paths), storage)
        except KagglerunError:
            continue  # `kagglerun study` of that name says what is wrong with it
    return storage


def _optuna_trial(spec: StudySpec, parameters: Sequence[Parameter], trial: Trial) -> Any:
    plain = frozen_trial(parameters, trial, finished=trial.is_finished)
    scores = [score for score in trial.fold_scores if score is not None]
    copy = optuna.trial.create_trial(
        state=plain.state,
        value=trial.value,
        params=plain.params,
        distributions=plain.distributions,
        user_attrs=_attributes(spec, trial),
        intermediate_values={fold: statistics.fmean(scores[: fold + 1]) for fold in range(len(scores))},
    )
    if trial.started_at is not None:
        copy.datetime_start = datetime.fromtimestamp(trial.started_at)
    if trial.ended_at is not None:
        copy.datetime_complete = datetime.fromtimestamp(trial.ended_at)
    return copy


def _attributes(spec: StudySpec, trial: Trial) -> dict[str, Any]:
    attributes: dict[str, Any] = {"run": spec.run_id(trial.number)}
    if trial.seconds is not None:
        attributes["seconds"] = trial.seconds
    reason = trial.stopped or (f"{trial.failure.kind}: {trial.failure.message}" if trial.failure else None)
    if reason:
        attributes["reason"] = reason[:_LONGEST_ATTRIBUTE]
    return attributes

"""What a trial does: the objective, and what passes between coordinator and workers."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from kagglerun.config.schema import Config
from kagglerun.sweep.pruning.rule import StopRule
from kagglerun.workspace import Workspace


@dataclass(frozen=True)
class TrialTask:
    """What a worker needs to execute a trial.

    Attributes:
        number: the trial's number.
        run_id: id of its run. A trial that is repeated goes on in the same run.
        config: the study's base config with the proposed values.
        rule: when to stop it early; None runs all its folds.
        parent: MLflow key of the study's parent run.
        tags: MLflow tags of the run.
    """

    number: int
    run_id: str
    config: Config
    parent: str | None
    tags: Mapping[str, str]
    rule: StopRule | None = None


@dataclass(frozen=True)
class TrialScore:
    """The result of a trial.

    Attributes:
        value: the run's score; None when the trial was stopped early.
        fold_scores: the metric of each fold that was done.
        seconds: time over these folds.
        curve: validation score after each epoch of the first fold, where the model has epochs.
        stopped: why and where it was stopped early, in a line; None when it has all its folds.
        raw_fold_scores: the metric of each fold before post-processing; empty where there is none. Trials that are
            stopped early have no other.
    """

    value: float | None
    fold_scores: tuple[float, ...]
    seconds: float
    curve: tuple[float, ...] = ()
    stopped: str | None = None
    raw_fold_scores: tuple[float, ...] = ()


class TrialStopped(Exception):
    """The trial ended because its observer asked for it; it can be continued."""


class TrialObserver(Protocol):
    """Watches a trial and may stop it; an `experiment.run.RunObserver`."""

    def epoch(self, fold: int, epoch: int, epochs: int, values: Mapping[str, float]) -> None:
        """An epoch of a fold is done."""

    def fold(self, fold: int, n_folds: int, score: float) -> None:
        """A fold is done."""

    def should_stop(self) -> bool:
        """Whether to save everything and raise TrialStopped."""


class Objective(Protocol):
    """What the trials of a study do."""

    is_tracked: bool
    """Whether its runs are tracked in MLflow."""

    def resolve(self, workspace: Workspace, config: Config) -> Config:
        """Fill in what the config leaves open, and check what can be checked before a trial runs."""

    def greater_is_better(self, workspace: Workspace, config: Config) -> bool:
        """Direction of the values."""

    def run(self, workspace: Workspace, task: TrialTask, observer: TrialObserver) -> TrialScore:
        """Execute a trial, or go on with one that was interrupted.

        Raises:
            TrialStopped: the observer asked for it.
            KagglerunError: it failed.
        """


class Experiment:
    """The objective of every real study: a run over all folds, scored by its out-of-fold predictions."""

    is_tracked = True

    def resolve(self, workspace: Workspace, config: Config) -> Config:
        """See `kagglerun.experiment.prepare.resolve_config`."""
        from kagglerun.experiment.prepare import resolve_config
        from kagglerun.experiment.reserved_gpus import leave_reserved_gpus

        leave_reserved_gpus(config)  # it may measure on one how much a trial needs
        return resolve_config(workspace, config)

    def greater_is_better(self, workspace: Workspace, config: Config) -> bool:
        """Direction of the metric: that of the competition's hooks, else the card's."""
        from kagglerun.config.load import load_card
        from kagglerun.hooks import competition_metric, load_hooks

        paths = workspace.competition(workspace.resolve_competition(config.competition))
        own = load_hooks(paths.hooks, config.hooks).metric()
        return bool((own or competition_metric(paths, load_card(paths.card))).greater_is_better)

    def run(self, workspace: Workspace, task: TrialTask, observer: TrialObserver) -> TrialScore:
        """See `kagglerun.experiment.run.run_experiment`."""
        from kagglerun.experiment.pruned import RunPruned
        from kagglerun.experiment.run import RunStopped, resolve_config, run_experiment
        from kagglerun.sweep.pruning.judge import RuleJudge

        config = resolve_config(workspace, task.config)
        judge = RuleJudge(workspace, task.rule or StopRule())
        try:
            result = run_experiment(
                workspace, config, task.run_id, parent=task.parent, tags=task.tags, observer=observer, judge=judge
            )
        except RunStopped as stopped:
            raise TrialStopped from stopped
        except RunPruned as pruned:
            end = pruned.end
            curve = tuple(math.nan if score is None else score for score in end.curve)
            return TrialScore(None, end.fold_scores, end.seconds, curve, end.reason)
        raw = result.raw_fold_scores
        return TrialScore(result.score, result.fold_scores, result.seconds, result.curve, raw_fold_scores=raw)


EXPERIMENT = f"{Experiment.__module__}:{Experiment.__qualname__}"
"""Dotted path of the objective of real studies."""


def load_objective(path: str) -> Objective:
    """Make the objective that a dotted path names, `package.module:Class`."""
    module, _, name = path.partition(":")
    made: Any = getattr(importlib.import_module(module), name)()
    objective: Objective = made
    return objective

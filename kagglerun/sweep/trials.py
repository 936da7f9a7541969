"""The trials of a study on disk: one JSON file each, the truth from which everything else is made again.

A trial's file is written when it is proposed, and again, before anything depends on it, when it has ended.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from itertools import takewhile
from typing import Any

from kagglerun.errors import JobError
from kagglerun.files import read_json, write_json
from kagglerun.sweep.objective import TrialScore
from kagglerun.workspace import StudyPaths


class TrialState(StrEnum):
    """Optuna's names."""

    RUNNING = "RUNNING"
    """Proposed and not ended: in work, or waiting to be continued."""
    COMPLETE = "COMPLETE"
    PRUNED = "PRUNED"
    """Stopped early: it was not going to be the best."""
    FAIL = "FAIL"


@dataclass(frozen=True)
class Failure:
    """Why a trial failed.

    Attributes:
        kind: the error's class, e.g. "NonFiniteLoss".
        message: one line.
    """

    kind: str
    message: str


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes:
        number: counted from 0.
        params: config key to proposed value; keys whose condition does not hold are left out.
        state: how it stands.
        value: the run's score, when complete.
        fold_scores: the metric of each fold that was done; None where it is not a finite number.
        seconds: time the folds took, when complete or pruned.
        curve: validation score after each epoch of the first fold, where the model has epochs.
        stopped: why and where it was stopped, in a line, when pruned.
        losses: how often its worker died.
        failure: why it failed.
    """

    number: int
    params: Mapping[str, Any]
    state: TrialState = TrialState.RUNNING
    value: float | None = None
    fold_scores: tuple[float | None, ...] = ()
    seconds: float | None = None
    curve: tuple[float | None, ...] = ()
    stopped: str | None = None
    losses: int = 0
    failure: Failure | None = field(default=None)

    @property
    def is_finished(self) -> bool:
        """Whether it has ended, well or not."""
        return self.state is not TrialState.RUNNING


def failed(trial: Trial, failure: Failure) -> Trial:
    """The trial as failed."""
    return replace(trial, state=TrialState.FAIL, failure=failure)


def scored(trial: Trial, score: TrialScore) -> Trial:
    """The trial as complete or pruned; failed where its score is no finite number."""
    if score.stopped is None and (score.value is None or not math.isfinite(score.value)):
        return failed(trial, Failure("NonFiniteScore", f"the score is {score.value}"))
    return replace(
        trial,
        state=TrialState.COMPLETE if score.stopped is None else TrialState.PRUNED,
        value=score.value if score.stopped is None else None,
        fold_scores=_finite(score.fold_scores),
        seconds=score.seconds,
        curve=_finite(score.curve),
        stopped=score.stopped,
    )


def _finite(values: Sequence[float]) -> tuple[float | None, ...]:
    return tuple(value if math.isfinite(value) else None for value in values)


def write_trial(paths: StudyPaths, trial: Trial) -> None:
    """Write a trial's file; it is on disk when this returns."""
    write_json(paths.trial(trial.number), asdict(trial))


def read_trials(paths: StudyPaths) -> list[Trial]:
    """All trials of a study, by number.

    Raises:
        JobError: a file is damaged or missing.
    """
    files = sorted(paths.trials.glob("[0-9]*.json"), key=lambda path: int(path.stem))
    if [int(path.stem) for path in files] != list(range(len(files))):
        raise JobError(f"trials are missing in {paths.trials}", hint="put them back, or start with --new")
    return [_parse(paths, number) for number in range(len(files))]


def _parse(paths: StudyPaths, number: int) -> Trial:
    path = paths.trial(number)
    try:
        values = read_json(path)
        failure = Failure(**values.pop("failure")) if values["failure"] else values.pop("failure")
        state = TrialState(values.pop("state"))
        values |= {name: tuple(values[name]) for name in ("fold_scores", "curve")}
        return Trial(**values, state=state, failure=failure)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise JobError(f"{path} is damaged: {error}", hint="put it back, or start with --new") from error


def told(trials: Sequence[Trial]) -> list[Trial]:
    """The trials whose results count so far: those that ended before the first one that has not."""
    return list(takewhile(lambda trial: trial.is_finished, trials))


def trailing_failures(trials: Sequence[Trial]) -> list[Trial]:
    """The failed trials at the end of those told, in order."""
    failed = list(takewhile(lambda trial: trial.state is TrialState.FAIL, reversed(told(trials))))
    return failed[::-1]


def is_wanted(trials: Sequence[Trial], lag: int, wanted: int) -> bool:
    """Whether one more trial is to be proposed now.

    Trial n needs the results of 0..n-lag; and it is wanted only when the study would not reach its number of
    trials even if all trials in work succeed. Both follow from the results in order alone, never from when they
    came.

    Args:
        trials: all trials so far.
        lag: the study's lag.
        wanted: number of trials that the study is to have, complete or pruned.
    """
    known = told(trials)
    in_work = len(trials) - len(known)
    return in_work < lag and n_done(known) + in_work < wanted


def n_done(trials: Sequence[Trial]) -> int:
    """Number of trials that count: complete or pruned."""
    return sum(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in trials)


def best_trial(trials: Sequence[Trial], greater_is_better: bool) -> Trial | None:
    """The complete trial with the best value; the first of equal ones."""
    complete = [trial for trial in trials if trial.value is not None]
    sign = -1.0 if greater_is_better else 1.0
    return min(complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number), default=None)

"""The study in Optuna's SQLite database, written behind the trials' files.

The files are the truth; the database is for Optuna's own tools. It is brought in line when a coordinator
starts. While it cannot be written, the sweep goes on.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from kagglerun.config.search import Parameter
from kagglerun.sweep.proposal import direction, frozen_trial
from kagglerun.sweep.trials import Trial, told

_BUSY_SECONDS = 30
_PROBLEMS = (optuna.exceptions.OptunaError, SQLAlchemyError, sqlite3.Error, OSError)


def open_storage(path: Path) -> Any:
    """Optuna's storage in a SQLite file, whatever characters its path holds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(path, timeout=_BUSY_SECONDS)

    return optuna.storages.RDBStorage("sqlite://", engine_kwargs={"creator": connect, "poolclass": NullPool})


class StudyMirror:
    """One study's copy in the database.

    Args:
        path: the SQLite file.
        name: the study's name there.
        parameters: the search space.
        greater_is_better: direction of the values.
        warn: is told once, in a line, when the database cannot be written.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        parameters: Sequence[Parameter],
        greater_is_better: bool,
        warn: Callable[[str], None],
    ) -> None:
        self._path = path
        self._name = name
        self._parameters = parameters
        self._direction = direction(greater_is_better)
        self._warn = warn
        self._study: Any = None
        self._is_behind = False

    def align(self, trials: Sequence[Trial], last: bool = False) -> None:
        """Make the database say what the files say; a study that cannot be continued to that is written anew.

        After a problem it is left alone until the last call: waiting for it each time would slow the sweep.

        Args:
            trials: all trials; those not told yet stand there as running.
            last: whether this is the last call.
        """
        if self._is_behind and not last:
            return
        try:
            self._align(trials)
        except _PROBLEMS as error:
            self._study = None
            self._is_behind = True
            self._warn(f"{self._path} cannot be written ({_reason(error)}); the trials are safe without it")

    def _align(self, trials: Sequence[Trial]) -> None:
        finished = len(told(trials))
        wanted = [
            frozen_trial(self._parameters, trial, finished=number < finished) for number, trial in enumerate(trials)
        ]
        study = self._study or self._open()
        present = study.get_trials(deepcopy=False)
        if len(present) > len(wanted) or not all(map(_can_become, present, wanted)):
            optuna.delete_study(study_name=self._name, storage=study._storage)
            study, present = self._open(study._storage), []
        for before, after in zip(present, wanted, strict=False):
            if before.state != after.state:
                study.tell(before.number, values=after.value, state=after.state)
        for after in wanted[len(present) :]:
            study.add_trial(after)
        self._study = study

    def _open(self, storage: Any = None) -> Any:
        return optuna.create_study(
            study_name=self._name,
            storage=storage or open_storage(self._path),
            direction=self._direction,
            load_if_exists=True,
        )


def _can_become(before: Any, after: Any) -> bool:
    """Whether a trial in the database is, or can be told to be, what it should be."""
    if before.params != after.params or before.distributions != after.distributions:
        return False
    running = optuna.trial.TrialState.RUNNING
    return bool(before.state == running or (before.state == after.state and before.value == after.value))


def _reason(error: BaseException) -> str:
    """The database's own words, from under the wrappings of Optuna and SQLAlchemy."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).splitlines() or [type(error).__name__])[0]

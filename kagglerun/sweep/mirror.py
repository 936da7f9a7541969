"""The study in Optuna's database, written behind the trials' file by a thread of its own.

The file is the truth; the database is for Optuna's own tools, and for a team that looks at one another's studies.
Trials stand in it once they are told, in order, one transaction each. It is compared with the file when a
coordinator starts. While it cannot be written, or is slow, the sweep goes on.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any

import optuna

from kagglerun.sweep.database import Postgres, SqliteFile, StudyTaken, studies_database
from kagglerun.sweep.distributions import frozen_trial
from kagglerun.sweep.objectives import directions, objective_values
from kagglerun.sweep.optuna_rows import insert_trial
from kagglerun.sweep.study import StudySpec
from kagglerun.sweep.trials import Trial, study_id
from kagglerun.workspace import StudyPaths, Workspace

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
_FINISH_SECONDS = 30.0
_CLOSE_SECONDS = 2.0
_OWNER = "kagglerun:study"
_LONGEST_REASON = 1000


class StudyMirror:
    """One study's copy in the database, from `with` to its end.

    Args:
        workspace: the study's.
        paths: its files.
        spec: what it is.
        say: is told, in a line, that the database cannot be written.

    Raises:
        ConfigError: the database that the user named cannot be one; on creation.
        StudyTaken: another coordinator writes the study there; on entry.
    """

    def __init__(self, workspace: Workspace, paths: StudyPaths, spec: StudySpec, say: Callable[[str], None]) -> None:
        self._database = studies_database(workspace, _name(spec))
        self._paths = paths
        self._spec = spec
        self._say = say
        self._problems: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._told: list[Trial] = []
        self._writer: _Writer | None = None

    def __enter__(self) -> StudyMirror:
        copy = _Copy(self._database, self._spec, study_id(self._paths))
        if self._database.is_shared:
            try:
                copy.connect()
            except StudyTaken:
                raise
            except Exception as error:  # whatever a server or a network can do; the writer goes on trying
                self._problems.put(_reason(error))
        self._writer = _Writer(copy, self._told, self._problems)
        self._writer.start()
        return self

    def align(self, trials: Sequence[Trial], last: bool = False) -> None:
        """Let the database follow: returns at once, unless this is the last call.

        Args:
            trials: all trials by number; those that were told before are known.
            last: wait until the database has them all, or does not move for half a minute.
        """
        assert self._writer is not None, "used outside of `with`"
        before = len(self._told)
        while len(self._told) < len(trials) and trials[len(self._told)].is_finished:
            self._told.append(trials[len(self._told)])
        if len(self._told) > before or not before:
            self._writer.wake()
        if last:
            self._writer.finish(_FINISH_SECONDS)
        self._tell(still=last)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._writer is not None
        if self._writer.is_alive():
            self._writer.finish(_CLOSE_SECONDS)
        self._tell()

    def _tell(self, still: bool = False) -> None:
        """Say what the writer met: the first problem of a row, and at the end that it is behind."""
        assert self._writer is not None
        reasons = []
        while not self._problems.empty():
            reasons.append(self._problems.get())
        if still and self._writer.problem:
            reasons.append(self._writer.problem)
        for reason in reasons:
            self._say(f"{self._database.label} cannot be written ({reason}); the trials are safe without it")


class _Writer(threading.Thread):
    """Brings the copy up to what was told, until told to finish.

    Args:
        copy: the study in the database.
        told: grows at its end.
        problems: gets the first problem of a row.
    """

    def __init__(self, copy: _Copy, told: Sequence[Trial], problems: queue.SimpleQueue[str]) -> None:
        super().__init__(name="study mirror", daemon=True)
        self._copy = copy
        self._told = told
        self._problems = problems
        self._awake = threading.Event()
        self._finishing = threading.Event()
        self.problem: str | None = None
        """Why the database is behind; None while it is not."""

    def wake(self) -> None:
        """There is more."""
        self._awake.set()

    def finish(self, seconds: float) -> None:
        """Write what is left, and return when that is done, or nothing was written for some seconds."""
        self._finishing.set()
        self._awake.set()
        before = -1
        while self.is_alive() and self._copy.n_written > before:
            before = self._copy.n_written
            self.join(seconds)
        if self.is_alive():
            self.problem = self.problem or f"it took longer than {seconds:g} seconds"

    def run(self) -> None:
        """Write until `finish`; then once more."""
        pause = _FIRST_PAUSE_SECONDS
        while not self._finishing.is_set():
            self._awake.wait()
            self._awake.clear()
            while not self._advance() and not self._finishing.wait(pause):
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            pause = _FIRST_PAUSE_SECONDS
        self._advance()
        self._copy.close()

    def _advance(self) -> bool:
        try:
            self._copy.advance(self._told)
        except Exception as error:
            # Whatever goes wrong here must not reach the sweep; the file has the trials.
            self._copy.close()
            if self.problem is None:
                self._problems.put(_reason(error))
            self.problem = _reason(error)
            return False
        self.problem = None
        return True


class _Copy:
    """The study in the database.

    Args:
        database: which.
        spec: the study.
        owner: the study's id, which tells it from one of the same name in another workspace.

    Attributes:
        n_written: trials that the database has.
    """

    def __init__(self, database: SqliteFile | Postgres, spec: StudySpec, owner: str) -> None:
        self._database = database
        self._spec = spec
        self._parameters = spec.parameters
        self._owner = owner
        self._storage: Any = None
        self._found: Any = None
        self._study: int | None = None
        self.n_written = 0

    def connect(self) -> None:
        """Open the database.

        Raises:
            StudyTaken: somebody else has the study there.
        """
        try:
            self._database.hold()
            self._storage = self._database.open()
            self._found = self._find()
        except BaseException:
            self.close()
            raise

    def advance(self, told: Sequence[Trial]) -> None:
        """Write the trials that are missing; after `connect` those that are there are looked at first."""
        if self._storage is None:
            self.connect()
        self._database.hold()
        if self._study is None:
            self._study = self._continued(list(told))
        while self.n_written < len(told):
            insert_trial(self._storage, self._study, self.n_written, self._template(told[self.n_written]))
            self.n_written += 1

    def close(self) -> None:
        """Let the database go."""
        if self._storage is not None:
            self._storage.engine.dispose()
        self._storage = self._study = self._found = None
        self._database.release()

    def _find(self) -> Any:
        """The study as Optuna has it; None where it has none.

        Raises:
            StudyTaken: one of this name belongs to another workspace.
        """
        named = [study for study in self._storage.get_all_studies() if study.study_name == _name(self._spec)]
        if named and self._database.is_shared and named[0].user_attrs.get(_OWNER) != self._owner:
            raise StudyTaken(
                f"the study {_name(self._spec)} in {self._database.label} belongs to another workspace",
                hint="choose another name with name=...",
            )
        return named[0] if named else None

    def _continued(self, told: Sequence[Trial]) -> int:
        """Optuna's number of the study, which is begun anew if it cannot be continued to what was told."""
        if self._found is not None:
            study = int(self._found._study_id)
            present = self._storage.get_all_trials(study, deepcopy=False)
            if len(present) <= len(told) and all(map(self._is_same, present, told)):
                self.n_written = len(present)
                return study
            self._storage.delete_study(study)
        self.n_written = 0
        return self._begun()

    def _is_same(self, present: Any, trial: Trial) -> bool:
        return _content(present) == _content(self._template(trial))

    def _begun(self) -> int:
        words = directions(self._spec.config.sweep.objectives, self._spec.greater_is_better)
        towards = [optuna.study.StudyDirection[word.upper()] for word in words]
        study = self._storage.create_new_study(towards, _name(self._spec))
        self._storage.set_study_user_attr(study, _OWNER, self._owner)
        return int(study)

    def _template(self, trial: Trial) -> Any:
        """The trial as Optuna keeps it, with its folds, its times, its run, and why it ended early."""
        values = None if trial.value is None else objective_values(trial, self._spec.config.sweep.objectives)
        template = frozen_trial(self._parameters, trial, trial.state, values)
        for key, value in self._attributes(trial).items():
            if value is not None:
                template.set_user_attr(key, value)
        template.datetime_start = _time(trial.started_at)
        template.datetime_complete = _time(trial.ended_at)
        return template

    def _attributes(self, trial: Trial) -> dict[str, Any]:
        failure = f"{trial.failure.kind}: {trial.failure.message}" if trial.failure else None
        reason = (trial.stopped or failure or "")[:_LONGEST_REASON]
        return {
            "run": self._spec.run_id(trial.number),
            "seconds": trial.seconds,
            "fold_scores": list(trial.fold_scores) or None,
            "reason": reason or None,
        }


def _name(spec: StudySpec) -> str:
    return f"{spec.slug}/{spec.name}"


def _content(trial: Any) -> str:
    """What must agree, as text: JSON made lists of tuples."""
    kept = (trial.state.name, trial.values, trial.params, trial.intermediate_values, trial.user_attrs)
    distributions = {name: repr(distribution) for name, distribution in trial.distributions.items()}
    return json.dumps([*kept, distributions], sort_keys=True)


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds)  # local and naive, as Optuna has it


def _reason(error: BaseException) -> str:
    """The database's own words, from under the wrappings of Optuna and SQLAlchemy."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

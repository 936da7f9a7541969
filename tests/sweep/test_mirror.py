"""The study in Optuna's database follows what was told, and never delays or loses it."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from typing import Any

import optuna
import pytest

from kagglerun.config.load import with_values
from kagglerun.sweep import database
from kagglerun.sweep.database import open_storage
from kagglerun.sweep.mirror import StudyMirror
from kagglerun.sweep.objective import TrialScore
from kagglerun.sweep.study import StudySpec, prepare_study
from kagglerun.sweep.trials import Failure, Trial, failed, scored, write_trial
from kagglerun.workspace import StudyPaths, Workspace
from tests.sweep.conftest import toy_config
from tests.sweep.test_sweep_coordinator import TOY, Listener, sweep

PARAMS = {"optimizer.lr": 0.01, "optimizer.weight_decay": 0.1, "training.batch_size": 32, "optimizer.name": "adamw"}


@pytest.fixture
def study(workspace: Workspace) -> tuple[StudyPaths, StudySpec]:
    return prepare_study(workspace, toy_config(6), objective=TOY)


def ended(paths: StudyPaths, number: int) -> Trial:
    """Trials 0, 3, 6 ... complete, 1, 4, 7 ... pruned, 2, 5, 8 ... failed."""
    running = write_trial(paths, Trial(number, PARAMS | {"optimizer.betas": [0.9, 0.99]}))
    if number % 3 == 2:
        return write_trial(paths, failed(running, Failure("OutOfMemory", "fold 1: no room")))
    stopped = "after fold 2: worse" if number % 3 else None
    value = None if stopped else number / 10
    return write_trial(paths, scored(running, TrialScore(value, (0.5, 0.25), 1.5, stopped=stopped)))


def stored(workspace: Workspace) -> list[Any]:
    if not workspace.studies_db.exists():
        return []
    storage = open_storage(workspace.studies_db)
    named = [found for found in storage.get_all_studies() if found.study_name == "digits/digits-toy"]
    return storage.get_all_trials(named[0]._study_id) if named else []


def write(workspace: Workspace, study: tuple[StudyPaths, StudySpec], trials: list[Trial]) -> list[str]:
    said: list[str] = []
    with StudyMirror(workspace, *study, said.append) as mirror:
        mirror.align(trials, last=True)
    return said


@contextmanager
def locked(workspace: Workspace) -> Iterator[None]:
    """Somebody holds the database for himself."""
    with closing(sqlite3.connect(workspace.studies_db)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.rollback()


def test_a_trial_stands_there_with_folds_times_run_and_reason(
    workspace: Workspace, study: tuple[StudyPaths, StudySpec]
) -> None:
    trials = [ended(study[0], number) for number in range(3)]
    assert write(workspace, study, trials) == []
    complete, pruned, failure = stored(workspace)
    assert (complete.state.name, complete.value, pruned.state.name, failure.state.name) == (
        *("COMPLETE", 0.0, "PRUNED", "FAIL"),
    )
    assert complete.intermediate_values == pruned.intermediate_values == {1: 0.5, 2: 0.375}
    assert complete.user_attrs == {"run": "digits-toy-0000", "seconds": 1.5, "fold_scores": [0.5, 0.25]}
    assert pruned.user_attrs["reason"] == "after fold 2: worse"
    assert failure.user_attrs == {"run": "digits-toy-0002", "reason": "OutOfMemory: fold 1: no room"}
    assert complete.datetime_start.timestamp() == pytest.approx(trials[0].started_at)
    assert complete.datetime_complete.timestamp() == pytest.approx(trials[0].ended_at)
    assert complete.params["optimizer.lr"] == 0.01


def test_trials_stand_there_once_they_are_told_and_in_order(
    workspace: Workspace, study: tuple[StudyPaths, StudySpec]
) -> None:
    trials = [ended(study[0], 0), Trial(1, PARAMS), ended(study[0], 2), Trial(3, PARAMS)]
    write(workspace, study, trials)
    assert [trial.number for trial in stored(workspace)] == [0]
    trials[1] = ended(study[0], 1)
    write(workspace, study, trials)
    assert [trial.number for trial in stored(workspace)] == [0, 1, 2]


def test_a_locked_database_delays_nobody_and_gets_everything_later(
    workspace: Workspace, study: tuple[StudyPaths, StudySpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.05)
    trials = [ended(study[0], 0)]
    write(workspace, study, trials)
    said: list[str] = []
    with StudyMirror(workspace, *study, said.append) as mirror:
        with locked(workspace):
            for number in range(1, 6):
                trials.append(ended(study[0], number))
                mirror.align(trials)
            wait_until_said(mirror, trials, said)
            assert "database is locked" in said[0]
        mirror.align(trials, last=True)
    assert len(said) == 1
    assert len(stored(workspace)) == 6


def wait_until_said(mirror: StudyMirror, trials: list[Trial], said: list[str]) -> None:
    deadline = time.monotonic() + 60
    while not said:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        mirror.align(trials)


def test_what_the_database_missed_is_written_at_the_next_start(
    workspace: Workspace, study: tuple[StudyPaths, StudySpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.05)
    trials = [ended(study[0], 0)]
    write(workspace, study, trials)
    trials.append(ended(study[0], 1))
    with locked(workspace):
        said = write(workspace, study, trials)
    assert any("the trials are safe without it" in line for line in said)
    assert write(workspace, study, trials) == []
    assert len(stored(workspace)) == 2


def test_a_study_in_the_database_that_says_something_else_is_written_anew(
    workspace: Workspace, study: tuple[StudyPaths, StudySpec]
) -> None:
    trials = [ended(study[0], number) for number in range(4)]
    write(workspace, study, trials)
    again = [*trials[:2], ended(study[0], 3)]
    write(workspace, study, [*again[:2], Trial(2, PARAMS)])
    assert [trial.number for trial in stored(workspace)] == [0, 1]


def test_a_study_with_two_objectives_has_two_values(workspace: Workspace) -> None:
    study = prepare_study(workspace, toy_config(6, objectives=["score", "seconds_per_fold"]), objective=TOY)
    write(workspace, study, [ended(study[0], number) for number in range(3)])
    assert [trial.values for trial in stored(workspace)] == [[0.0, 0.75], None, None]


def test_other_studies_in_the_database_are_left_alone(workspace: Workspace) -> None:
    sweep(workspace, with_values(toy_config(2), {"name": "other"}))
    sweep(workspace, toy_config(2))
    storage = open_storage(workspace.studies_db)
    assert sorted(optuna.get_all_study_names(storage)) == ["digits/digits-other", "digits/digits-toy"]
    assert len(optuna.load_study(study_name="digits/digits-other", storage=storage).trials) == 2


def test_each_trial_is_one_transaction(workspace: Workspace, study: tuple[StudyPaths, StudySpec]) -> None:
    trials = [ended(study[0], 0)]
    write(workspace, study, trials)
    with closing(sqlite3.connect(workspace.studies_db)) as connection, StudyMirror(workspace, *study, print) as mirror:
        versions = []
        for number in range(1, 4):
            versions.append(connection.execute("PRAGMA data_version").fetchone()[0])
            trials.append(ended(study[0], number))
            mirror.align(trials)
            wait_for_trials(workspace, len(trials))
        versions.append(connection.execute("PRAGMA data_version").fetchone()[0])
    assert [after - before for before, after in pairwise(versions)] == [1, 1, 1]


def wait_for_trials(workspace: Workspace, number: int) -> None:
    deadline = time.monotonic() + 60
    while len(stored(workspace)) < number:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_database_that_hangs_does_not_keep_a_stopped_sweep_from_ending(
    workspace: Workspace, study: tuple[StudyPaths, StudySpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = threading.Event()

    def hang(file: database.SqliteFile) -> None:
        let_go.wait(60)
        raise OSError("it never answered")

    monkeypatch.setattr(database.SqliteFile, "open", hang)
    monkeypatch.setattr("kagglerun.sweep.mirror._CLOSE_SECONDS", 0.1)
    try:
        with StudyMirror(workspace, *study, print) as mirror:
            mirror.align([ended(study[0], 0)])
    finally:
        let_go.set()
        for thread in threading.enumerate():
            if thread.name == "study mirror":
                thread.join()


def test_a_finished_sweep_says_at_its_end_that_its_database_is_behind(workspace: Workspace) -> None:
    workspace.state.mkdir()
    workspace.studies_db.mkdir()
    listener = Listener()
    assert len(sweep(workspace, toy_config(2), listener)) == 2
    assert "unable to open database file" in [line for line in listener.lines if "cannot be written" in line][-1]


def test_rows_read_back_as_those_of_optunas_own_storage(
    workspace: Workspace, study: tuple[StudyPaths, StudySpec]
) -> None:
    trials = [ended(study[0], number) for number in range(3)]
    write(workspace, study, trials)
    storage = open_storage(workspace.studies_db)
    other = storage.create_new_study([optuna.study.StudyDirection.MAXIMIZE], "other")
    ours = stored(workspace)
    for trial in ours:
        storage.create_new_trial(other, template_trial=trial)
    for trial, copy in zip(ours, storage.get_all_trials(other), strict=True):
        copy._trial_id = trial._trial_id
        assert copy == trial

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from kagglerun.config.load import with_values
from kagglerun.config.schema import Config
from kagglerun.errors import ConfigError, JobError, TrainingError
from kagglerun.sweep.coordinator import run_study
from kagglerun.sweep.database import open_storage
from kagglerun.sweep.dispatch import MOST_LOSSES, End
from kagglerun.sweep.lock import study_lock
from kagglerun.sweep.study import prepare_study
from kagglerun.sweep.trials import Trial, TrialState, best_trial, read_trials
from kagglerun.workspace import StudyPaths, Workspace
from tests.sweep.conftest import toy_config

TOY = "tests.sweep.toy:Toy"


class Listener:
    """Keeps what a sweep says; asks it to stop where its progress holds a text."""

    def __init__(self, stop_at: str | None = None) -> None:
        self.lines: list[str] = []
        self.numbers: Mapping[str, Any] = {}
        self.stop_requested = False
        self._stop_at = stop_at

    def say(self, text: str) -> None:
        self.lines.append(text)

    def progress(self, text: str, numbers: Mapping[str, Any]) -> None:
        self.numbers = numbers
        self.stop_requested |= self._stop_at is not None and self._stop_at in text


def sweep(workspace: Workspace, config: Config, listener: Listener | None = None, **options: Any) -> list[Trial]:
    paths, _ = prepare_study(workspace, config, objective=TOY, **options)
    run_study(workspace, paths, listener or Listener())
    return read_trials(paths)


def paths_of(workspace: Workspace) -> StudyPaths:
    return workspace.study("digits", "digits-toy")


def stored(workspace: Workspace, name: str = "digits/digits-toy") -> list[tuple[str, dict[str, Any], float | None]]:
    """The study as Optuna's database has it."""
    import optuna

    study = optuna.load_study(study_name=name, storage=open_storage(workspace.studies_db))
    return [(trial.state.name, trial.params, trial.value) for trial in study.trials]


def test_a_study_does_not_depend_on_the_number_of_workers(workspace: Workspace) -> None:
    one = sweep(workspace, with_values(toy_config(12, lag=3), {"name": "one"}))
    two = sweep(workspace, with_values(toy_config(12, lag=3, workers=2), {"name": "two", "hooks.delay": 0.01}))
    assert [(t.params, t.value, t.state) for t in one] == [(t.params, t.value, t.state) for t in two]
    assert len(one) == 12


def test_the_database_says_what_the_files_say(workspace: Workspace) -> None:
    trials = sweep(workspace, toy_config(6, hooks={"fail_at": [2]}))
    assert [(t.state, t.value) for t in trials] == [(state, value) for state, _, value in stored(workspace)]
    assert [len(t.params) for t in trials] == [len(params) for _, params, _ in stored(workspace)]


def test_failed_crashed_and_undefined_trials_are_recorded_and_the_sweep_goes_on(workspace: Workspace) -> None:
    hooks = {"fail_at": [1], "crash_at": [3], "nan_at": [5], "kill_at": [7]}
    trials = sweep(workspace, toy_config(6, hooks=hooks))
    reasons = {t.number: t.failure.kind for t in trials if t.failure}
    assert reasons == {1: "TrainingError", 3: "RuntimeError", 5: "NonFiniteScore", 7: "WorkerLost"}
    assert sum(t.state is TrialState.COMPLETE for t in trials) == 6
    assert len(read_executions(workspace)["digits-toy-0007"]) == MOST_LOSSES


def read_executions(workspace: Workspace) -> dict[str, set[str]]:
    """Run id to the processes that executed it."""
    found: dict[str, set[str]] = {}
    for line in (workspace.root / "executions.txt").read_text().splitlines():
        run_id, pid = line.split()
        found.setdefault(run_id, set()).add(pid)
    return found


def test_a_worker_keeps_its_imports_from_trial_to_trial(workspace: Workspace) -> None:
    sweep(workspace, toy_config(4))
    assert len(set.union(*read_executions(workspace).values())) == 1


def test_failures_in_a_row_end_the_sweep_and_are_tried_again_at_the_next_start(workspace: Workspace) -> None:
    config = toy_config(5, hooks={"fail_at": [1, 2, 3]}, max_failures=3, lag=1)
    with pytest.raises(TrainingError, match=r"3 trials in a row failed, all with TrainingError; the last \(trial 3\)"):
        sweep(workspace, config)
    assert len(read_trials(paths_of(workspace))) == 4
    listener = Listener()
    with pytest.raises(TrainingError):
        run_study(workspace, paths_of(workspace), listener)
    assert listener.lines[:3] == [f"trial {number} failed and is tried again" for number in (1, 2, 3)]


def test_more_trials_are_added_to_a_finished_study(workspace: Workspace) -> None:
    first = sweep(workspace, toy_config(4))
    more = sweep(workspace, toy_config(8, workers=2))
    whole = sweep(workspace, with_values(toy_config(8), {"name": "whole"}))
    assert more[:4] == first
    assert [(t.params, t.value) for t in more] == [(t.params, t.value) for t in whole]
    assert len(stored(workspace)) == 8


def test_a_stopped_sweep_goes_on_where_it_was(workspace: Workspace) -> None:
    config = toy_config(4, hooks={"delay": 0.1})
    sweep(workspace, config, Listener(stop_at="trial 2  fold 1"))
    before = read_trials(paths_of(workspace))
    assert [t.is_finished for t in before] == [True, True, False]
    after = sweep(workspace, config)
    whole = sweep(workspace, with_values(config, {"name": "whole", "hooks.delay": 0}))
    assert [(t.params, t.value) for t in after] == [(t.params, t.value) for t in whole]


def test_a_damaged_database_does_not_stop_a_sweep(workspace: Workspace) -> None:
    workspace.state.mkdir()
    workspace.studies_db.write_bytes(b"this is no database" * 100)
    listener = Listener()
    assert len(sweep(workspace, toy_config(3), listener)) == 3
    said = [line for line in listener.lines if "cannot be written" in line]
    assert len(said) == 2  # at once and at the end
    assert "file is not a database" in said[0]


def test_a_database_that_differs_is_written_anew(workspace: Workspace) -> None:
    sweep(workspace, toy_config(4))
    sweep(workspace, with_values(toy_config(3), {"name": "other"}))
    workspace.studies_db.unlink()
    trials = sweep(workspace, toy_config(5))
    assert [t.value for t in trials] == [value for _, _, value in stored(workspace)]


def test_a_second_coordinator_is_refused(workspace: Workspace) -> None:
    paths, _ = prepare_study(workspace, toy_config(2), objective=TOY)
    with study_lock(paths, "sweep-digits-toy-1"):
        with pytest.raises(JobError, match="the job sweep-digits-toy-1 works on the study digits-toy already"):
            run_study(workspace, paths, Listener())
        with pytest.raises(JobError, match="works on the study"):
            prepare_study(workspace, toy_config(3), objective=TOY)
    assert run_study(workspace, paths, Listener()) is End.DONE


def test_a_study_that_differs_is_refused_and_the_difference_named(workspace: Workspace) -> None:
    prepare_study(workspace, toy_config(2), objective=TOY)
    with pytest.raises(ConfigError, match=r"differs from this config in optimizer.lr \(0.001 -> 0.01\)") as refused:
        prepare_study(workspace, with_values(toy_config(2), {"optimizer.lr": 0.01}), objective=TOY)
    assert "--new" in str(refused.value.hint)
    with pytest.raises(ConfigError, match=r"sweep.search.optimizer.lr"):
        prepare_study(workspace, toy_config(2, search={"optimizer.lr": [0.1]}), objective=TOY)
    with pytest.raises(ConfigError, match=r"sweep.lag \(2 -> 7\)"):
        prepare_study(workspace, toy_config(2, lag=7), objective=TOY)


def test_new_makes_another_study(workspace: Workspace) -> None:
    first, _ = prepare_study(workspace, toy_config(2), objective=TOY)
    second, spec = prepare_study(workspace, toy_config(2), new=True, objective=TOY)
    assert (first.name, second.name, spec.run_id(3)) == ("digits-toy", "digits-toy-2", "digits-toy-2-0003")


def test_runs_of_a_study_that_was_removed_are_not_mistaken_for_new_ones(workspace: Workspace) -> None:
    run = workspace.run("digits", "digits-toy-0000")
    run.folder.mkdir(parents=True)
    run.config.write_text("")
    with pytest.raises(ConfigError, match="the run digits-toy-0000 of an earlier study"):
        prepare_study(workspace, toy_config(2), objective=TOY)
    assert prepare_study(workspace, toy_config(2), new=True, objective=TOY)[0].name == "digits-toy-2"


def test_a_config_without_a_search_space_is_refused(workspace: Workspace) -> None:
    with pytest.raises(ConfigError, match=r"no sweep.search"):
        prepare_study(workspace, toy_config(2, search={}), objective=TOY)
    assert not workspace.studies.exists()


def test_workers_that_cannot_start_end_the_sweep_with_their_reason(workspace: Workspace) -> None:
    paths, spec = prepare_study(workspace, toy_config(2), objective=TOY)
    broken = spec.model_copy(update={"objective": "tests.sweep.toy:Broken"})
    paths.spec.write_text(paths.spec.read_text().replace(TOY, broken.objective))
    with pytest.raises(JobError, match="workers cannot start"):
        run_study(workspace, paths, Listener())
    assert "cannot be made" in paths.workers_log.read_text()


def test_damaged_trials_are_an_error(workspace: Workspace) -> None:
    sweep(workspace, toy_config(3))
    paths = paths_of(workspace)
    paths.trials.write_bytes(paths.trials.read_bytes().replace(b'"number": 1', b'"number": ,'))
    with pytest.raises(JobError, match=r"trials.jsonl is damaged"):
        run_study(workspace, paths, Listener())


@pytest.mark.parametrize("damage", ["{", "{}", "[]"])
def test_a_damaged_choice_of_workers_is_an_error(workspace: Workspace, damage: str) -> None:
    paths, _ = prepare_study(workspace, toy_config(2), objective=TOY)
    paths.workers.write_text(damage)
    with pytest.raises(JobError, match=r"is damaged"):
        run_study(workspace, paths, Listener())


def test_the_best_trial_is_the_first_of_equal_ones() -> None:
    trials = [Trial(n, {}, TrialState.COMPLETE, value=v) for n, v in enumerate([0.5, 0.9, 0.9, 0.1])]
    assert best_trial(trials, True) is trials[1]
    assert best_trial(trials, False) is trials[3]
    assert best_trial([], True) is None


def test_progress_is_told_in_numbers(workspace: Workspace) -> None:
    listener = Listener()
    trials = sweep(workspace, toy_config(3), listener)
    best = best_trial(trials, True)
    assert best is not None
    assert listener.numbers["trials_done"] == listener.numbers["trials"] == 3
    assert (listener.numbers["best"], listener.numbers["best_trial"]) == (best.value, best.number)
    assert listener.numbers["eta_seconds"] == 0


def test_a_sweep_leaves_no_process_behind(workspace: Workspace) -> None:
    import psutil

    before = psutil.Process().children()
    sweep(workspace, toy_config(2))
    assert psutil.Process().children() == before

"""A sweep that ends with a race of its best trials, in real processes."""

from __future__ import annotations

import pytest

from kagglerun.config.load import with_values
from kagglerun.sweep.coordinator import run_study
from kagglerun.sweep.dispatch import End
from kagglerun.sweep.finalists import race_is_missing, read_race
from kagglerun.sweep.study import prepare_study, read_spec
from kagglerun.sweep.trials import best_trial, read_trials
from kagglerun.workspace import Workspace
from tests.sweep.conftest import toy_config
from tests.sweep.test_sweep_coordinator import TOY, Listener, paths_of, read_executions, sweep


def test_the_best_trials_race_and_the_study_is_what_it_was(workspace: Workspace) -> None:
    trials = sweep(workspace, toy_config(8, finalists={"top": 2, "rounds": 2}))
    race = read_race(paths_of(workspace))
    best = best_trial(trials, True)
    assert best is not None
    assert race.done
    assert race.finalists[0].number == best.number
    executed = read_executions(workspace)
    for one in race.finalists:
        assert [f"digits-toy-{one.number:04d}-r{turn}" in executed for turn in range(1, len(one.reruns) + 1)]
    plain = sweep(workspace, with_values(toy_config(8), {"name": "plain"}))
    assert [(t.params, t.value) for t in trials] == [(t.params, t.value) for t in plain]


def test_a_race_is_added_to_a_study_that_has_ended_and_goes_on_where_it_was(workspace: Workspace) -> None:
    sweep(workspace, toy_config(6))
    paths, spec = prepare_study(workspace, toy_config(6, finalists={"top": 3, "rounds": 2}), objective=TOY)
    assert race_is_missing(paths, spec, read_trials(paths))
    assert run_study(workspace, paths, Listener(stop_at="race of finalists: round 1")) is End.STOPPED
    assert run_study(workspace, paths, Listener()) is End.DONE
    assert [len(one.reruns) for one in read_race(paths).finalists] == [1, 1, 1]
    assert not race_is_missing(paths, read_spec(paths), read_trials(paths))


@pytest.mark.long
def test_a_finalist_whose_score_is_not_defined_leaves_the_race(workspace: Workspace) -> None:
    listener = Listener()
    sweep(workspace, toy_config(4, hooks={"undefined_reruns": True}, finalists={"top": 2, "rounds": 2}), listener)
    race = read_race(paths_of(workspace))
    assert race.done
    assert sum("rerun 1: failed: the score is nan" in line for line in listener.lines) == 2


def test_a_budget_that_is_spent_ends_a_sweep_after_a_prefix_of_its_trials(workspace: Workspace) -> None:
    listener = Listener()
    paths, _ = prepare_study(workspace, toy_config(200, hours=4 / 3600, hooks={"delay": 0.1}), objective=TOY)
    assert run_study(workspace, paths, listener) is End.SPENT
    trials = read_trials(paths)
    ended = [trial for trial in trials if trial.is_finished]
    assert 0 < len(ended) < 200
    assert any("hours are spent" in line for line in listener.lines), listener.lines
    whole = sweep(workspace, with_values(toy_config(len(ended)), {"name": "whole"}))
    assert [(t.params, t.value) for t in whole] == [(t.params, t.value) for t in ended]

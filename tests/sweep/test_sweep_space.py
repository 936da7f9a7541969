"""What is tried first, what a sampler cannot do, and what a study optimises."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from kagglerun.config.search import parse_search
from kagglerun.errors import ConfigError, TrainingError
from kagglerun.sweep.coordinator import run_study
from kagglerun.sweep.limits import checked_proposals
from kagglerun.sweep.objectives import estimated_score, objective_values, pareto_front, progress_values
from kagglerun.sweep.proposal import Proposer
from kagglerun.sweep.space import first_configs
from kagglerun.sweep.study import prepare_study
from kagglerun.sweep.trials import Trial, TrialState, read_trials
from kagglerun.workspace import Workspace
from tests.sweep.conftest import SEARCH, toy_config
from tests.sweep.test_sweep_coordinator import TOY, Listener, sweep
from tests.sweep.test_sweep_proposal import play, spec_of

LR = {"optimizer.lr": SEARCH["optimizer.lr"]}


def test_enqueued_configs_follow_the_base_config_and_take_its_values_where_they_say_nothing() -> None:
    enqueue = [{"optimizer.lr": "3e-4"}, {"optimizer.name": "sgd", "optimizer.momentum": 0.8}]
    trials = play(4, 2, toy_config(enqueue=enqueue))
    base, quick, sgd, drawn = (trial.params for trial in trials)
    assert quick == {**base, "optimizer.lr": 3e-4}
    assert sgd == {
        **{key: value for key, value in base.items() if key != "optimizer.betas"},
        "optimizer.name": "sgd",
        "optimizer.momentum": 0.8,
    }
    assert drawn not in (base, quick, sgd)


def test_a_config_that_is_enqueued_twice_is_tried_once() -> None:
    config = toy_config(enqueue=[{}, {"optimizer.lr": 1e-3}, {"optimizer.lr": 1e-2}, {"optimizer.lr": 0.01}])
    assert [values["optimizer.lr"] for values in first_configs(config, parse_search(config))] == [1e-3, 1e-2]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"optimizer.ler": 1}, "optimizer.ler is not searched"),
        ({"optimizer.lr": 0.5}, r"optimizer.lr=0.5 is not in its range.*1e-05 to 0.1"),
        ({"training.batch_size": 17}, "step 16"),
        ({"optimizer.name": "lion"}, "none of its choices.*adamw, sgd"),
        ({"optimizer.momentum": 0.8}, r"optimizer.momentum counts only when optimizer.name == sgd"),
    ],
)
def test_an_enqueued_config_outside_the_search_space_is_an_error(entry: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        checked_proposals(toy_config(enqueue=[entry]))
    import re

    assert re.search(words, f"{caught.value.message} {caught.value.hint}")


@pytest.mark.parametrize(
    ("sweep", "words"),
    [
        ({"sampler": "gp"}, "gp takes no conditions: optimizer.momentum has `when`"),
        ({"sampler": "cmaes"}, "cmaes takes no conditions"),
        ({"sampler": "cmaes", "search": {**LR, "optimizer.name": ["adamw", "sgd"]}}, "optimizer.name is a choice"),
        ({"sampler": "cmaes", "search": LR, "objectives": ["score", "seconds_per_fold"]}, "the score alone"),
        ({"sampler": "grid", "search": LR}, "grid needs a step: optimizer.lr"),
        ({"sampler": "grid", "trials": 3, "search": {"training.epochs": {"low": 1, "high": 4}}}, "4 configs.*is 3"),
        (
            {
                "sampler": "grid",
                "search": {
                    "training.epochs": {"low": 1, "high": 1000},
                    "training.batch_size": {"low": 1, "high": 1000},
                },
            },
            "more than 100,000",
        ),
        ({"sampler": "random", "warm_start": ["other"]}, "random learns from no results"),
        ({"objectives": ["seconds_per_fold"]}, "score among them"),
        ({"objectives": ["score", "score"]}, "each objective once"),
        ({"search": {"optimizer.momentum": {"low": 0, "high": 0.5, "when": "optimizer.name == sgd"}}}, "nothing to"),
    ],
)
def test_what_a_sampler_cannot_do_is_told_before_the_study_begins(sweep: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        checked_proposals(toy_config(**sweep))


def test_conditions_that_the_config_settles_are_no_conditions_for_a_sampler() -> None:
    search = {
        **LR,
        "optimizer.weight_decay": {"low": 0.0, "high": 0.1, "when": "optimizer.name == adamw"},
        "optimizer.momentum": {"low": 0.0, "high": 0.1, "when": "optimizer.name == sgd"},
    }
    for sampler in ("gp", "cmaes"):
        config = toy_config(sampler=sampler, search=search)
        assert checked_proposals(config) == config
        assert Proposer(spec_of(config)).propose([]).keys() == {"optimizer.lr", "optimizer.weight_decay"}


def test_a_study_has_no_more_trials_than_there_are_configs(workspace: Workspace) -> None:
    search = {"optimizer.name": ["adamw", "sgd"], "training.epochs": {"low": 8, "high": 10}}
    trials = sweep(workspace, toy_config(20, search=search))
    assert len({str(trial.params) for trial in trials}) == len(trials) == 6
    assert all(trial.state is TrialState.COMPLETE for trial in trials)


def test_a_grid_whose_configs_all_fail_ends_with_a_reason(workspace: Workspace) -> None:
    config = toy_config(2, hooks={"fail_at": [0, 1]}, search={"optimizer.name": ["adamw", "sgd"]}, sampler="grid")
    paths, _ = prepare_study(workspace, config, objective=TOY)
    with pytest.raises(TrainingError, match="all 2 configs of the search space failed"):
        run_study(workspace, paths, Listener())
    assert len(read_trials(paths)) == 2


def complete(number: int, value: float, seconds: float, folds: tuple[float, ...] = (0.0, 0.0)) -> Trial:
    return Trial(number, {}, TrialState.COMPLETE, value=value, fold_scores=folds, seconds=seconds)


BOTH = ("score", "seconds_per_fold")


def test_the_pareto_front_holds_what_nothing_beats() -> None:
    trials = [complete(0, 0.9, 10), complete(1, 0.8, 2), complete(2, 0.8, 4), complete(3, 0.95, 20), Trial(4, {})]
    assert [trial.number for trial in pareto_front(trials, BOTH, True)] == [3, 0, 1]
    assert [trial.number for trial in pareto_front(trials, BOTH, False)] == [1]
    assert [trial.number for trial in pareto_front(trials, ("score",), True)] == [3]
    assert objective_values(trials[0], BOTH) == (0.9, 5.0)


def test_what_was_known_on_the_way_is_the_mean_of_the_folds_so_far() -> None:
    assert progress_values(complete(0, 0.5, 1, (0.4, 0.6, 0.8))) == pytest.approx({1: 0.4, 2: 0.5, 3: 0.6})
    stopped = Trial(1, {}, TrialState.PRUNED, curve=(0.1, None, 0.3))
    assert progress_values(stopped) == {0: 0.3}
    assert progress_values(Trial(2, {}, TrialState.FAIL)) == {}


def test_the_estimate_for_a_pruned_trial_knows_that_some_folds_are_harder() -> None:
    reference = complete(0, 0.8, 1, (0.6, 0.9, 0.9))
    pruned = Trial(1, {}, TrialState.PRUNED, fold_scores=(0.5,))
    assert estimated_score(pruned, reference) == pytest.approx(0.7)
    assert estimated_score(replace(pruned, fold_scores=(), curve=(0.2, 0.4)), reference) == pytest.approx(0.6)
    assert estimated_score(pruned, None) == 0.5
    assert estimated_score(Trial(2, {}, TrialState.FAIL), reference) is None
    assert estimated_score(reference, reference) == 0.8


def test_the_front_of_thousands_of_trials_is_that_of_comparing_each_with_each() -> None:
    rng = random.Random(5)
    trials = [
        Trial(n, {}, TrialState.COMPLETE, round(rng.random(), 2), (0.5,) * 3, seconds=round(rng.random(), 2))
        for n in range(300)
    ]
    values = {trial.number: objective_values(trial, BOTH) for trial in trials}
    unbeaten = {
        number
        for number, (score, seconds) in values.items()
        if not any(other != (score, seconds) and other[0] >= score and other[1] <= seconds for other in values.values())
    }
    assert {trial.number for trial in pareto_front(trials, BOTH, True)} == unbeaten

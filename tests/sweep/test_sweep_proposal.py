from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kagglerun.config.load import with_values
from kagglerun.config.schema import Config
from kagglerun.sweep.proposal import Proposer
from kagglerun.sweep.study import StudySpec
from kagglerun.sweep.trials import Failure, Trial, TrialState, is_wanted, told, trailing_failures
from tests.sweep.conftest import toy_config
from tests.sweep.toy import score

CONFIG = toy_config()


def spec_of(config: Config = CONFIG, lag: int = 2, greater_is_better: bool = True) -> StudySpec:
    """A study of the toy that needs no workspace."""
    config = with_values(config, {"sweep.lag": lag})
    return StudySpec(name="toy", slug="digits", greater_is_better=greater_is_better, objective="toy", config=config)


def propose(trials: Sequence[Trial], config: Config = CONFIG, lag: int = 2) -> dict[str, Any]:
    """What is proposed after these trials, by a proposer made for it."""
    return Proposer(spec_of(config, lag)).propose(trials)


def play(n: int, lag: int, config: Config = CONFIG) -> list[Trial]:
    """The first n trials of a toy study, all complete."""
    proposer = Proposer(spec_of(config, lag))
    trials: list[Trial] = []
    for number in range(n):
        params = proposer.propose(trials)
        value = score(with_values(config, params))
        trials.append(Trial(number, params, TrialState.COMPLETE, value=value, fold_scores=(value,), seconds=1.0))
    return trials


def test_the_first_trial_is_the_base_config() -> None:
    params = play(1, lag=2)[0].params
    assert params == {
        "optimizer.name": "adamw",
        "optimizer.lr": 1e-3,
        "optimizer.weight_decay": 0.05,
        "training.batch_size": 64,
        "optimizer.betas": [0.9, 0.999],
    }


def test_a_base_value_outside_the_search_space_is_replaced_by_a_proposal() -> None:
    config = with_values(CONFIG, {"optimizer.lr": 0.5, "training.batch_size": 65})
    params = propose([], config)
    assert 1e-5 <= params["optimizer.lr"] <= 1e-1
    assert params["training.batch_size"] % 16 == 0


def test_choices_that_yaml_reads_as_text_are_recognised_in_the_base_config() -> None:
    config = toy_config(search={"optimizer.lr": ["1e-3", "3e-4"]})
    assert propose([], config) == {"optimizer.lr": "1e-3"}


def test_a_parameter_whose_condition_does_not_hold_is_not_proposed() -> None:
    for trial in play(24, lag=2):
        sgd = trial.params["optimizer.name"] == "sgd"
        assert ("optimizer.momentum" in trial.params) is sgd
        assert ("optimizer.betas" in trial.params) is not sgd


def test_proposals_stay_in_their_ranges_and_on_their_steps() -> None:
    for trial in play(24, lag=2):
        assert trial.params["training.batch_size"] in range(16, 257, 16)
        assert isinstance(trial.params["training.batch_size"], int)
        assert 0 <= trial.params["optimizer.weight_decay"] <= 0.5


def test_steps_that_do_not_reach_the_end_of_a_range_stop_before_it() -> None:
    config = toy_config(search={"training.epochs": {"low": 1, "high": 9, "step": 3}, "optimizer.lr": [0.1, 0.2]})
    seen = {propose([Trial(i, {}) for i in range(n)], config, lag=50)["training.epochs"] for n in range(40)}
    assert seen == {1, 4, 7}


def test_results_within_the_lag_do_not_change_a_proposal() -> None:
    trials = play(16, lag=3)
    params = propose(trials, lag=3)
    unknown = [*trials[:14], Trial(14, trials[14].params), Trial(15, trials[15].params)]
    failed = [*trials[:14], replace(unknown[14], state=TrialState.FAIL, failure=Failure("E", "")), trials[15]]
    assert propose(unknown, lag=3) == params
    assert propose(failed, lag=3) == params


def test_results_before_the_lag_do_change_a_proposal() -> None:
    trials = play(16, lag=3)
    changed = [replace(trial, value=-(trial.value or 0)) for trial in trials]
    assert propose(changed, lag=3) != propose(trials, lag=3)


def test_a_proposal_is_the_same_in_every_process() -> None:
    here = repr([trial.params for trial in play(18, lag=2)])
    program = "from tests.sweep.test_sweep_proposal import *; print([t.params for t in play(18, lag=2)])"
    for hash_seed in ("1", "2"):
        there = subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(__file__).parents[2]), "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        )
        assert there.stdout.strip() == here


@pytest.mark.parametrize("sampler", ["tpe", "qmc", "random"])
def test_another_seed_gives_another_study(sampler: str) -> None:
    one, other = (
        [propose([Trial(0, {})] * n, config, lag=3) for n in (1, 2)]
        for config in (with_values(CONFIG, {"seed": seed, "sweep.sampler": sampler}) for seed in (1, 2))
    )
    assert one != other


def complete(number: int) -> Trial:
    return Trial(number, {}, TrialState.COMPLETE, value=0.0, seconds=1.0)


def failed(number: int) -> Trial:
    return Trial(number, {}, TrialState.FAIL, failure=Failure("E", "no"))


def test_results_count_in_order_only() -> None:
    trials = [complete(0), Trial(1, {}), complete(2)]
    assert told(trials) == trials[:1]
    assert is_wanted(trials, lag=3, wanted=10)
    assert not is_wanted(trials, lag=2, wanted=10)


def test_no_more_trials_are_proposed_than_are_missing() -> None:
    assert not is_wanted([complete(0), Trial(1, {})], lag=5, wanted=2)
    assert is_wanted([complete(0), failed(1)], lag=5, wanted=2)
    assert not is_wanted([complete(0), Trial(1, {}), failed(2)], lag=5, wanted=3)
    assert not is_wanted([complete(0), complete(1)], lag=5, wanted=1)


def test_failures_count_as_a_row_only_at_the_end_of_what_is_told() -> None:
    assert [t.number for t in trailing_failures([failed(0), complete(1), failed(2), failed(3)])] == [2, 3]
    assert trailing_failures([failed(0), complete(1)]) == []
    assert [t.number for t in trailing_failures([failed(0), Trial(1, {}), failed(2)])] == [0]

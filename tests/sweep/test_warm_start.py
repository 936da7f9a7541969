from __future__ import annotations

import json
import math
import shutil

import pytest

from kagglerun.config.load import with_values
from kagglerun.errors import ConfigError, JobError
from kagglerun.sweep.coordinator import run_study
from kagglerun.sweep.dispatch import End
from kagglerun.sweep.proposal import Proposer
from kagglerun.sweep.study import prepare_study
from kagglerun.sweep.trials import Trial, TrialState, read_trials, write_trial
from kagglerun.sweep.warm_start import read_earlier_trials
from kagglerun.workspace import StudyPaths, Workspace
from tests.sweep.conftest import SEARCH, toy_config
from tests.sweep.test_samplers import RANGES
from tests.sweep.test_sweep_coordinator import TOY, Listener
from tests.sweep.test_sweep_proposal import failed, play, spec_of

SPACES = {"earlier": SEARCH, "ranges": RANGES}


def earlier_study(workspace: Workspace, trials: int = 14, name: str = "earlier") -> StudyPaths:
    """A study whose trials stand in its file."""
    config = with_values(toy_config(trials, search=SPACES[name]), {"name": name})
    paths, spec = prepare_study(workspace, config, objective=TOY)
    for trial in play(trials, spec.lag, spec.config):
        write_trial(paths, trial)
    write_trial(paths, failed(trials))
    return paths


def test_a_study_knows_the_complete_trials_of_earlier_ones(workspace: Workspace) -> None:
    source = earlier_study(workspace)
    paths, spec = prepare_study(workspace, toy_config(warm_start=["earlier"]), objective=TOY)
    earlier = read_earlier_trials(paths)
    assert [trial.params for trial in earlier] == [trial.params for trial in read_trials(source)[:14]]
    assert all(trial.state is TrialState.COMPLETE and trial.value is not None for trial in earlier)
    knowing = Proposer(spec, earlier)
    trials = play(1, spec.lag, spec.config)
    assert knowing.propose([]) == trials[0].params
    assert knowing.propose(trials) != Proposer(spec).propose(trials)


def test_what_an_earlier_study_found_is_used_at_once(workspace: Workspace) -> None:
    earlier_study(workspace, 40, "ranges")
    for sampler in ("tpe", "gp", "cmaes"):
        config = with_values(
            toy_config(search=RANGES, warm_start=["digits-ranges"], sampler=sampler), {"name": f"by-{sampler}"}
        )
        paths, spec = prepare_study(workspace, config, objective=TOY)
        earlier = read_earlier_trials(paths)
        assert len(earlier) == 40
        trials = play(1, spec.lag, spec.config)
        proposer = Proposer(spec.model_copy(update={"config": with_values(spec.config, {"sweep.lag": 50})}), earlier)
        for number in range(1, 4 if sampler == "gp" else 12):
            trials.append(Trial(number, proposer.propose(trials)))
        # The best is 1e-3, in the middle of a range from 1e-5 to 1e-1: at random the mean distance is 1.
        away = [abs(math.log10(trial.params["optimizer.lr"]) + 3) for trial in trials[1:]]
        assert sum(away) / len(away) < 0.7, sampler


def test_trials_are_translated_to_the_new_search_space(workspace: Workspace) -> None:
    source = earlier_study(workspace)
    narrower = {
        "optimizer.lr": {"low": 1e-4, "high": 1e-2, "log": True},
        "training.epochs": {"low": 5, "high": 20},
        "optimizer.name": ["sgd", "adamw"],
    }
    paths, _ = prepare_study(workspace, toy_config(search=narrower, warm_start=["earlier"]), objective=TOY)
    expected = [
        {"optimizer.name": t.params["optimizer.name"], "optimizer.lr": t.params["optimizer.lr"], "training.epochs": 10}
        for t in read_trials(source)[:14]
        if 1e-4 <= t.params["optimizer.lr"] <= 1e-2
    ]
    assert 0 < len(expected) < 14
    found = [{key: trial.params[key] for key in expected[0]} for trial in read_earlier_trials(paths)]
    assert found == expected


def test_earlier_trials_stay_what_they_were_when_the_study_began(workspace: Workspace) -> None:
    source = earlier_study(workspace)
    paths, _ = prepare_study(workspace, toy_config(3, warm_start=["earlier"]), objective=TOY)
    before = read_earlier_trials(paths)
    shutil.rmtree(source.folder)
    prepare_study(workspace, toy_config(4, warm_start=["earlier"]), objective=TOY)
    assert read_earlier_trials(paths) == before
    assert run_study(workspace, paths, Listener()) is End.DONE
    spec = spec_of(toy_config(4, warm_start=["earlier"]), lag=2)
    trials = read_trials(paths)
    assert [Proposer(spec, before).propose(trials[:n]) for n in range(4)] == [trial.params for trial in trials]


def test_earlier_studies_that_are_of_no_use_are_an_error(workspace: Workspace) -> None:
    earlier_study(workspace)
    with pytest.raises(ConfigError, match="no study digits-absent"):
        prepare_study(workspace, toy_config(warm_start=["absent"]), objective=TOY)
    elsewhere = {"optimizer.lr": {"low": 0.5, "high": 0.9}}
    with pytest.raises(ConfigError, match="no complete trial of digits-earlier is a config of this search space"):
        prepare_study(workspace, toy_config(search=elsewhere, warm_start=["earlier"]), objective=TOY)


def test_damaged_earlier_trials_are_an_error(workspace: Workspace) -> None:
    earlier_study(workspace)
    paths, _ = prepare_study(workspace, toy_config(warm_start=["earlier"]), objective=TOY)
    entries = json.loads(paths.earlier.read_text())
    del entries[2]["value"]
    for text in ("[", "{}3", json.dumps(entries), "7"):
        paths.earlier.write_text(text)
        with pytest.raises(JobError, match=r"earlier.json is damaged"):
            read_earlier_trials(paths)

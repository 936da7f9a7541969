from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kagglerun.config.load import with_values
from kagglerun.config.schema import Config
from kagglerun.config.search import Choice, Range, parse_search
from kagglerun.sweep.distributions import distribution, frozen_trial
from kagglerun.sweep.proposal import Proposer
from kagglerun.sweep.samplers.make import make_sampler
from kagglerun.sweep.space import combinations, fingerprint, from_unit, to_unit
from kagglerun.sweep.trials import Failure, Trial, TrialState
from tests.sweep.conftest import SEARCH, toy_config
from tests.sweep.test_sweep_proposal import failed, spec_of
from tests.sweep.toy import score

RANGES: dict[str, Any] = {
    key: entry for key, entry in SEARCH.items() if isinstance(entry, dict) and "low" in entry and "when" not in entry
}
SAMPLERS = ("tpe", "gp", "cmaes", "qmc", "random", "grid")


def config_for(sampler: str, **sweep: Any) -> Config:
    """A study that the sampler can do."""
    search: dict[str, Any] = {"tpe": SEARCH, "qmc": SEARCH, "random": SEARCH}.get(sampler, RANGES)
    if sampler == "grid":
        search = {"training.epochs": {"low": 1, "high": 8}, "optimizer.weight_decay": [0.0, 0.05, 0.1, 0.2, 0.3]}
    return toy_config(search=search, sampler=sampler, **sweep)


def ended(config: Config, trial: Trial) -> Trial:
    """How a toy trial ends: one in seven fails, one in five is pruned, the others are complete."""
    value = score(with_values(config, trial.params))
    if trial.number % 7 == 3:
        return replace(trial, state=TrialState.FAIL, failure=Failure("E", "no"))
    if trial.number % 5 == 4:
        return replace(trial, state=TrialState.PRUNED, fold_scores=(value - 0.1,), seconds=1.0, stopped="worse")
    folds = (value - 0.1, value + 0.1)
    return replace(trial, state=TrialState.COMPLETE, value=value, fold_scores=folds, seconds=2.0 + trial.number % 3)


def play(config: Config, n: int, lag: int, order: np.random.Generator | None = None) -> list[Trial]:
    """A study's trials; with `order` they end in any order that the lag allows."""
    proposer = Proposer(spec_of(config, lag))
    trials: list[Trial] = []
    while len(trials) < n:
        trials.append(Trial(len(trials), proposer.propose(trials)))
        due = len(trials) - lag
        for trial in trials:
            if not trial.is_finished and (trial.number <= due or (order is not None and order.random() < 0.4)):
                trials[trial.number] = ended(config, trial)
    return trials


def length(sampler: str) -> int:
    return 14 if sampler == "gp" else 24


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_proposals_do_not_depend_on_the_order_in_which_trials_end(sampler: str) -> None:
    config = config_for(sampler)
    usual = [trial.params for trial in play(config, length(sampler), lag=4)]
    for seed in (0, 1) if sampler != "gp" else (0,):
        shuffled = play(config, length(sampler), 4, np.random.default_rng(seed))
        assert [trial.params for trial in shuffled] == usual


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_proposer_that_lived_through_the_study_and_one_made_now_propose_the_same(sampler: str) -> None:
    config = config_for(sampler)
    trials = play(config, length(sampler), lag=3)
    for number in (0, 1, 11, length(sampler) - 1):
        assert Proposer(spec_of(config, 3)).propose(trials[:number]) == trials[number].params


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_proposer_whose_past_has_changed_forgets_it(sampler: str) -> None:
    config = config_for(sampler)
    trials = play(config, 13, lag=2)
    other = [replace(trial, value=-trial.value if trial.value is not None else None) for trial in trials]
    kept = Proposer(spec_of(config, 2))
    kept.propose(trials)
    assert kept.propose(other) == Proposer(spec_of(config, 2)).propose(other)
    assert kept.propose(trials[:9]) == trials[9].params


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_no_config_is_proposed_twice(sampler: str) -> None:
    n = 12 if sampler == "gp" else 40
    trials = play(config_for(sampler), n, lag=2)
    assert len({fingerprint(trial.params) for trial in trials}) == n


@pytest.mark.parametrize("sampler", ["tpe", "gp", "qmc", "random", "grid"])
def test_a_space_with_an_end_is_tried_whole_and_then_exhausted(sampler: str) -> None:
    search = {
        "optimizer.name": ["adamw", "sgd"],
        "optimizer.momentum": {"low": 0.5, "high": 0.9, "step": 0.2, "when": "optimizer.name == sgd"},
        "training.epochs": {"low": 1, "high": 3},
    }
    if sampler == "gp":
        del search["optimizer.momentum"]
    config = toy_config(search=search, sampler=sampler)
    every = combinations(config, parse_search(config))
    assert every is not None and len(every) == (6 if sampler == "gp" else 12)
    proposer = Proposer(spec_of(config))
    trials: list[Trial] = []
    while not proposer.is_exhausted(trials):
        params = proposer.propose(trials)
        trials.append(ended(config, Trial(len(trials), params)))
    # The base config has 10 epochs, outside of the range: its other values are tried with a drawn number.
    assert sorted(fingerprint(trial.params) for trial in trials) == sorted(map(fingerprint, every))


def test_tpe_draws_what_optuna_itself_would_ask() -> None:
    import optuna

    config = toy_config(search={**RANGES, "optimizer.name": ["adamw", "sgd"]})
    parameters = parse_search(config)
    trials = [trial for trial in play(config, 40, lag=1) if trial.state is TrialState.COMPLETE]
    tpe = make_sampler(config, parameters, True)
    for trial in trials:
        tpe.tell(trial)
    from kagglerun.randomness import derive

    sampler = optuna.samplers.TPESampler(seed=derive(config.seed, "sampler", 7) % 2**32, multivariate=True)
    study = optuna.create_study(sampler=sampler, direction="maximize")
    study.add_trials([frozen_trial(parameters, trial, trial.state) for trial in trials])
    asked = study.ask({parameter.key: distribution(parameter) for parameter in parameters})
    draw = tpe.draw(7, 0, ())
    assert draw is not None
    assert draw(parameters) == pytest.approx(asked.params)


@pytest.mark.parametrize(("sampler", "n"), [("tpe", 60), ("cmaes", 60), ("gp", 24)])
def test_samplers_that_learn_find_better_configs_than_random_ones(sampler: str, n: int) -> None:
    def best(name: str) -> float:
        config = toy_config(search=RANGES, sampler=name)
        trials = play_complete(config, n)
        return float(np.mean(sorted(trial.value or 0.0 for trial in trials)[-5:]))

    assert best(sampler) > best("random")


def play_complete(config: Config, n: int) -> list[Trial]:
    """As `play`, without failures."""
    proposer = Proposer(spec_of(config, 2))
    trials: list[Trial] = []
    for number in range(n):
        params = proposer.propose(trials)
        value = score(with_values(config, params))
        trials.append(Trial(number, params, TrialState.COMPLETE, value, (value,), 1.0))
    return trials


def test_points_of_qmc_fill_every_range_evenly() -> None:
    config = toy_config(search=RANGES, sampler="qmc")
    trials = play_complete(config, 17)[1:]  # points 1..16: 16 of a sequence that is even over 16 up to one point
    for parameter in parse_search(config):
        assert isinstance(parameter, Range)
        if parameter.step is None:
            cells = [int(8 * to_unit(parameter, trial.params[parameter.key])) for trial in trials]
            assert all(1 <= cells.count(cell) <= 3 for cell in range(8))


def test_every_value_of_a_choice_or_a_stepped_range_has_its_share_of_the_unit_interval() -> None:
    config = toy_config(
        search={"training.epochs": {"low": 1, "high": 10, "step": 3}, "optimizer.name": ["adamw", "sgd"]}
    )
    epochs, name = parse_search(config)
    positions = (np.arange(400) + 0.5) / 400
    assert np.unique([from_unit(epochs, u) for u in positions], return_counts=True)[1].tolist() == [100] * 4
    assert isinstance(name, Choice) and isinstance(epochs, Range)
    assert np.unique([from_unit(name, u) for u in positions], return_counts=True)[1].tolist() == [200, 200]
    assert [from_unit(epochs, to_unit(epochs, value)) for value in (1, 4, 7, 10)] == [1, 4, 7, 10]


@pytest.mark.parametrize("log", [False, True])
def test_values_and_places_in_the_unit_interval_are_inverse(log: bool) -> None:
    lr = parse_search(toy_config(search={"optimizer.lr": {"low": 1e-4, "high": 1e-1, "log": log}}))[0]
    assert isinstance(lr, Range)
    for u in (0.0, 0.25, 0.99):
        assert to_unit(lr, from_unit(lr, u)) == pytest.approx(u)


def test_steps_are_written_as_a_person_would() -> None:
    config = toy_config(search={"optimizer.weight_decay": {"low": 0.1, "high": 0.5, "step": 0.1}}, sampler="grid")
    every = combinations(config, parse_search(config))
    assert every is not None
    assert [params["optimizer.weight_decay"] for params in every] == [0.1, 0.2, 0.3, 0.4, 0.5]


def test_cmaes_searches_one_dimension_too() -> None:
    config = toy_config(search={"optimizer.lr": RANGES["optimizer.lr"]}, sampler="cmaes")
    trials = play_complete(config, 40)
    assert abs(math.log10(trials[-1].params["optimizer.lr"]) + 3) < 0.3


def told(sampler: str, trials: Sequence[Trial]) -> Any:
    config = toy_config(search=RANGES, sampler=sampler)
    made = make_sampler(config, parse_search(config), True)
    for trial in trials:
        made.tell(trial)
    draw = made.draw(50, 0, ())
    assert draw is not None
    return draw(parse_search(config))


@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes"])
def test_learning_samplers_learn_from_pruned_trials_by_their_folds(sampler: str) -> None:
    trials = play(toy_config(search=RANGES, sampler="random"), 20, lag=1)
    worse = [replace(t, fold_scores=(-900.0,)) if t.state is TrialState.PRUNED else t for t in trials]
    better = [replace(t, fold_scores=(900.0,)) if t.state is TrialState.PRUNED else t for t in trials]
    # TPE ranks pruned trials behind complete ones, and among themselves by their values.
    if sampler == "tpe":
        worse, better = [[t for t in some if t.state is TrialState.PRUNED] * 4 for some in (worse, better)]
        better = [replace(t, fold_scores=(900.0 + n,)) for n, t in enumerate(better)]
        worse = [replace(t, fold_scores=(900.0 - n,)) for n, t in enumerate(worse)]
    assert told(sampler, worse) != told(sampler, better)


@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes"])
def test_failed_trials_count_as_the_worst(sampler: str) -> None:
    good = play_complete(toy_config(search=RANGES, sampler="random"), 20)
    lost = [replace(failed(t.number), params=t.params) if t.number % 2 else t for t in good]
    low = min(t.value or 0.0 for t in good)
    as_worst = [replace(t, value=low - 1, fold_scores=(low - 1,)) if t.number % 2 else t for t in good]
    assert told(sampler, lost) != told(sampler, good)
    if sampler == "cmaes":  # it looks at ranks alone
        assert told(sampler, lost) == told(sampler, as_worst)


def test_a_study_of_nothing_but_failures_goes_on_proposing() -> None:
    for sampler in ("tpe", "gp", "cmaes"):
        config = toy_config(search=RANGES, sampler=sampler)
        proposer = Proposer(spec_of(config))
        trials: list[Trial] = []
        for number in range(16):
            trials.append(replace(failed(number), params=proposer.propose(trials)))
        assert len({fingerprint(trial.params) for trial in trials}) == 16


def test_seconds_a_fold_matter_where_they_are_an_objective() -> None:
    both = toy_config(search=RANGES, objectives=["score", "seconds_per_fold"], prune="none")
    trials = play(both, 30, lag=1)
    odd, even = ([replace(t, seconds=1e3 if t.number % 2 == rest else 1.0) for t in trials] for rest in (1, 0))
    assert Proposer(spec_of(both)).propose(odd) != Proposer(spec_of(both)).propose(even)
    alone = toy_config(search=RANGES)
    assert Proposer(spec_of(alone)).propose(odd) == Proposer(spec_of(alone)).propose(even)
    gp = toy_config(search=RANGES, objectives=["score", "seconds_per_fold"], prune="none", sampler="gp")
    assert Proposer(spec_of(gp)).propose(trials).keys() == RANGES.keys()


def test_the_cost_of_an_ask_does_not_grow_with_a_long_study(monkeypatch: pytest.MonkeyPatch) -> None:
    from kagglerun.sweep.samplers import bayesian

    shown: list[int] = []
    usual = bayesian.draw_with

    def counted(sampler: Any, known: Sequence[Any], *rest: Any) -> dict[str, Any]:
        shown.append(len(known))
        return usual(sampler, known, *rest)

    monkeypatch.setattr(bayesian, "draw_with", counted)
    config = toy_config(search=RANGES)
    drawn = play_complete(with_values(config, {"sweep.sampler": "random"}), 900)
    best = max(drawn, key=lambda trial: trial.value or -math.inf)
    first = [best, *(trial for trial in drawn if trial is not best)]
    trials = [replace(trial, number=number) for number, trial in enumerate(first)]
    proposer = Proposer(spec_of(config, lag=300))
    proposer.propose(trials)
    assert shown[-1] == 500 + 128
    kept = proposer._sampler._window()  # type: ignore[attr-defined]
    assert kept[0].value == best.value

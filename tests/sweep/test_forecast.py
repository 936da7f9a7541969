"""How long a sweep takes, before it starts and while it runs."""

from __future__ import annotations

from typing import Any

import pytest

from kagglerun.cli.main import run
from kagglerun.config.load import parse_config, save_config
from kagglerun.config.schema import Config
from kagglerun.files import write_json
from kagglerun.sweep.budget import Budget
from kagglerun.sweep.forecast import (
    FoldSeconds,
    earlier_fold_seconds,
    forecast,
    profiled_fold_seconds,
    seconds_left,
    trial_seconds,
)
from kagglerun.sweep.progress import SweepProgress
from kagglerun.sweep.study import StudySpec
from kagglerun.sweep.trials import Failure, Trial, TrialState, failed
from kagglerun.sweep.workers import EpochDone, FoldDone
from kagglerun.workspace import Workspace
from tests.experiment.made import seal, write_card
from tests.sweep.conftest import toy_config


def spec(trials: int = 20, **sweep: Any) -> StudySpec:
    config = toy_config(trials, **{"lag": 2, **sweep})
    return StudySpec(name="digits-toy", slug="digits", greater_is_better=True, objective="x:Y", config=config)


def complete(number: int, seconds: float = 10.0, value: float = 0.5) -> Trial:
    folds = tuple(value + place / 1000 for place in range(5))
    return Trial(number, {}, state=TrialState.COMPLETE, value=value, fold_scores=folds, seconds=seconds)


def pruned(number: int, seconds: float = 2.0) -> Trial:
    scores = (0.1,)
    return Trial(number, {}, state=TrialState.PRUNED, fold_scores=scores, seconds=seconds, stopped="hopeless")


def test_nothing_is_foretold_before_a_trial_has_ended() -> None:
    assert seconds_left(spec(), [Trial(0, {})]) is None
    assert SweepProgress(spec()).numbers([Trial(0, {})])["eta_seconds"] is None


def test_time_left_is_that_of_the_trials_that_are_wanted_still() -> None:
    trials = [complete(0), complete(1), Trial(2, {})]
    assert seconds_left(spec(), trials) == pytest.approx(18 * 10)
    assert seconds_left(spec(workers=2), trials) == pytest.approx(9 * 10)
    assert seconds_left(spec(2), trials) == 0.0


def test_trials_stopped_early_count_with_what_they_took_and_those_without_a_rule_do_not() -> None:
    first = [complete(number, 100.0) for number in range(2)]
    later = [pruned(number) if number % 2 else complete(number) for number in range(2, 12)]
    assert trial_seconds(spec(), first) == 100.0
    assert trial_seconds(spec(), [*first, *later]) == pytest.approx(6.0)


def test_work_that_is_done_in_trials_under_way_is_not_done_again() -> None:
    trials = [complete(0), Trial(1, {})]
    assert seconds_left(spec(2), trials, [0.75]) == pytest.approx(2.5)
    assert seconds_left(spec(3, workers=2), [*trials, Trial(2, {})], [0.9, 0.0]) == pytest.approx(10.0)


def test_failed_trials_neither_count_nor_spoil_the_forecast() -> None:
    trials = [complete(0), failed(Trial(1, {}), Failure("NonFiniteLoss", "x"))]
    assert seconds_left(spec(3), trials) == pytest.approx(20.0)


def test_time_beside_the_folds_is_learned_while_the_sweep_runs() -> None:
    now = [0.0]
    progress = SweepProgress(spec(10), clock=lambda: now[0])
    assert progress.numbers([Trial(0, {})])["eta_seconds"] is None
    now[0] = 60.0  # three trials of ten seconds
    numbers = progress.numbers([complete(0), complete(1), complete(2)])
    assert numbers["eta_seconds"] == pytest.approx(7 * 10 * 2)


def test_a_study_that_goes_on_does_not_count_the_time_of_earlier_attempts() -> None:
    now = [1000.0]
    progress = SweepProgress(spec(20), clock=lambda: now[0])
    earlier = [complete(number) for number in range(10)]
    progress.numbers(earlier)
    now[0] += 20.0
    assert progress.numbers([*earlier, complete(10), complete(11)])["eta_seconds"] == pytest.approx(8 * 10)


def test_the_line_shows_trials_fold_epoch_and_the_best_with_its_noise() -> None:
    progress = SweepProgress(spec())
    progress.note(EpochDone(3, 1, 3, 10))
    trials = [complete(0), complete(1, value=0.6), pruned(2), Trial(3, {})]
    shown = progress.text(trials)
    assert shown.startswith("3/20 trials  trial 3  fold 2/5  epoch 4/10  1 stopped early  best 0.6")
    numbers = progress.numbers(trials)
    assert (numbers["best_trial"], numbers["trials_pruned"]) == (1, 1)
    assert numbers["best_standard_error"] is not None
    assert numbers["fold_fits_saved"] == pytest.approx(4 / 15, abs=1e-4)
    progress.note(FoldDone(3, 1, 5, 0.75))
    assert "fold 2/5  scored 0.75" in progress.text(trials)


def test_the_budget_ends_it_earlier_and_its_account_is_shown(workspace: Workspace) -> None:
    now = [0.0]
    limited = spec(1000, hours=0.01)
    budget = Budget(workspace.study("digits", "digits-toy"), limited.config.sweep, 0.5, lambda: now[0])
    now[0] = 18.0
    budget.tick(running=1)
    numbers = SweepProgress(limited, budget).numbers([complete(0)])
    assert numbers["eta_seconds"] == pytest.approx(18.0)
    assert numbers["hours"] == pytest.approx(0.005)
    assert numbers["gpu_hours"] == pytest.approx(0.0025)


def test_a_forecast_counts_rounds_of_trials_at_the_same_time() -> None:
    config = toy_config(10, workers=4, lag=8)
    found = forecast(config, FoldSeconds(6.0, "measured"), done=1, gpus_per_trial=0.5)
    assert (found.trials, found.n_folds, found.at_the_same_time) == (9, 5, 4)
    assert found.seconds == 3 * 5 * 6.0
    assert found.gpu_hours == pytest.approx(9 * 5 * 6.0 * 0.5 / 3600)
    assert forecast(config, FoldSeconds(6.0, "measured"), done=10).seconds == 0.0


def earlier(workspace: Workspace, run_id: str, seconds: float, **changes: Any) -> None:
    config = toy_config(5).model_copy(update=changes)
    run = workspace.run("digits", run_id)
    save_config(run.config, config)
    write_json(run.metrics, {"seconds": seconds, "fold_scores": [0.1] * 5})


def test_earlier_runs_that_take_as_long_tell_what_a_fold_takes(workspace: Workspace) -> None:
    config: Config = toy_config(20)
    assert earlier_fold_seconds(workspace, config) is None
    for number, seconds in enumerate((40.0, 50.0, 600.0)):
        earlier(workspace, f"same-{number}", seconds, seed=number)
    longer = config.training.model_copy(update={"epochs": 99})
    earlier(workspace, "longer", 5000.0, training=longer)
    save_config(workspace.run("digits", "unfinished").config, config)
    found = earlier_fold_seconds(workspace, config)
    assert found == FoldSeconds(10.0, "the median of 3 earlier runs")


def test_what_a_sweep_varies_may_differ_in_earlier_runs(workspace: Workspace) -> None:
    config: Config = toy_config(20)
    training = config.training.model_copy(update={"batch_size": 256})  # a key of the search space
    earlier(workspace, "varied", 25.0, training=training)
    assert earlier_fold_seconds(workspace, config) == FoldSeconds(5.0, "an earlier run")


@pytest.fixture
def table(workspace: Workspace) -> None:
    """A small competition with one column."""
    paths = workspace.competition("made")
    paths.data.mkdir(parents=True)
    rows = [f"{number},{(number * 37) % 90 / 10},{'yes' if (number * 37) % 90 > 45 else 'no'}" for number in range(90)]
    (paths.data / "train.csv").write_text("\n".join(["id,x,y", *rows]) + "\n")
    (paths.data / "test.csv").write_text("id,x\n90,1.5\n91,7.5\n")
    (paths.data / "sample_submission.csv").write_text("id,y\n90,no\n91,no\n")
    write_card(paths)
    seal(paths)


@pytest.mark.usefixtures("table")
def test_a_profiled_fold_of_a_neural_model_counts_epochs_validation_and_predictions(workspace: Workspace) -> None:
    from kagglerun.experiment.prepare import resolve_config

    model = {"kind": "tabular_neural", "width": 8}
    found = []
    for epochs in (2, 2000):
        values = {"competition": "made", "model": model, "training": {"epochs": epochs, "compile": "off"}}
        config = resolve_config(workspace, parse_config(values, "the test's config"))
        found.append(profiled_fold_seconds(workspace, config, 0.5, print))
    assert all(each.source.startswith("profiled: ") for each in found)
    assert 0 < found[0].seconds < found[1].seconds
    assert not list(workspace.all_runs())


@pytest.mark.usefixtures("table")
def test_sweep_forecast_says_what_it_will_take_and_starts_nothing(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    config = """
competition: made
model: {kind: tabular_boosting, n_estimators: 30}
sweep: {trials: 7, hours: 0.000001, search: {model.num_leaves: {low: 4, high: 16}}}
"""
    workspace.sweeps.mkdir(exist_ok=True)
    (workspace.sweeps / "trees.yaml").write_text(config)
    assert run(["sweep", "trees.yaml", "--forecast"]) == 0
    said = capsys.readouterr().out
    for text in ("7 trials of 5 folds, 1 at the same time", "profiled: the first fold, whole", "0 of them fit"):
        assert text in said, said
    assert not list(workspace.all_studies())
    assert not list(workspace.all_jobs())
    assert not list(workspace.all_runs())


def test_saying_how_far_it_is_takes_a_small_share_of_the_time_and_the_last_word_is_right() -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 1.0  # so that working it out takes a second
        return now[0]

    progress = SweepProgress(spec(), clock=clock)
    assert "1/20" in progress.text([complete(0)])
    assert "1/20" in progress.text([complete(0), complete(1)])
    progress.ended()
    assert "2/20" in progress.text([complete(0), complete(1)])
    now[0] += 100.0
    assert "3/20" in progress.text([complete(0), complete(1), complete(2)])

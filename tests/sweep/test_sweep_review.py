"""A study's pictures and its parent run in MLflow."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from kagglerun import tracking
from kagglerun.sweep.review import StudyReview, draw_study
from kagglerun.sweep.review.figures import Axis, axis_ticks, robust_range, study_figures
from kagglerun.sweep.study import StudySpec, prepare_study
from kagglerun.sweep.summary import summarise
from kagglerun.sweep.trials import Failure, Trial, TrialState, failed, write_trials
from kagglerun.workspace import StudyPaths, Workspace
from tests.sweep.conftest import toy_config

TOY = "tests.sweep.toy:Toy"
PNG = b"\x89PNG\r\n\x1a\n"
PICTURES = ["history", "importances", "parallel_coordinates", "slices", "pruning", "timeline"]


@pytest.fixture
def study(workspace: Workspace) -> tuple[StudyPaths, StudySpec]:
    return prepare_study(workspace, toy_config(16), objective=TOY)


def made(n: int = 16) -> list[Trial]:
    """Trials of every kind: the third failed, every fourth was stopped, the last one is in work."""
    trials = []
    for number in range(n):
        params: dict[str, Any] = {
            "optimizer.lr": 10 ** -(1.0 + number % 5 * 0.9),
            "optimizer.weight_decay": 0.03 * number,
            "training.batch_size": 16 * (1 + number % 16),
            "optimizer.name": ("adamw", "sgd")[number % 2],
        }
        params |= {"optimizer.momentum": 0.9} if number % 2 else {"optimizer.betas": [0.9, 0.999]}
        trial = Trial(number, params, started_at=1000.0 + 30 * (number // 2), ended_at=1029.0 + 30 * (number // 2))
        folds = tuple(0.8 + 0.01 * number + 0.001 * fold for fold in range(5))
        curve = tuple(folds[0] * (1 - math.exp(-1.0 - epoch)) for epoch in range(4))
        if number == 2:
            trials.append(failed(trial, Failure("NonFiniteLoss", "the loss is NaN")))
        elif number == n - 1:
            trials.append(replace(trial, ended_at=None))
        elif number % 4 == 3:
            stopped = {"fold_scores": folds[:2], "curve": curve, "seconds": 2.0, "stopped": "worse beyond doubt"}
            trials.append(replace(trial, state=TrialState.PRUNED, **stopped))
        else:
            scored = {"value": folds[2], "fold_scores": folds, "curve": curve, "seconds": 5.0}
            trials.append(replace(trial, state=TrialState.COMPLETE, **scored))
    return trials


def test_a_study_is_drawn_as_a_page_and_six_pictures(study: tuple[StudyPaths, StudySpec]) -> None:
    paths, spec = study
    page, *pictures = draw_study(paths, spec, made())
    assert [path.stem for path in pictures] == PICTURES
    assert all(path.read_bytes().startswith(PNG) for path in pictures)
    assert page == paths.study_page
    for word in ("History", "Importance", "Parallel coordinates", "Slices", "Pruning", "Timeline"):
        assert word in page.read_text("utf-8")


def test_nothing_is_drawn_before_a_trial_is_complete(study: tuple[StudyPaths, StudySpec]) -> None:
    assert draw_study(*study, []) == []
    assert draw_study(*study, [made()[2], made()[3]]) == []


@pytest.mark.parametrize("n", [1, 2, 4])
def test_what_few_trials_cannot_show_is_left_out(study: tuple[StudyPaths, StudySpec], n: int) -> None:
    same = [replace(trial, state=TrialState.COMPLETE, value=0.5, curve=()) for trial in made()[:n]]
    names = [path.name for path in draw_study(*study, same)]
    assert "history.png" in names
    assert "importances.png" not in names


def test_undefined_and_extreme_scores_are_drawn(study: tuple[StudyPaths, StudySpec]) -> None:
    trials = made()
    trials[4] = replace(trials[4], value=-1e30, fold_scores=(None, -1e30, 0.1, 0.1, 0.1), curve=(None, None, None))
    trials[5] = replace(trials[5], fold_scores=(None,) * 5)
    assert len(draw_study(*study, trials)) == 7


def test_texts_of_a_study_cannot_break_out_of_the_page(study: tuple[StudyPaths, StudySpec]) -> None:
    paths, spec = study
    trials = made()
    trials[2] = failed(trials[2], Failure("Odd", "</script><script>alert(1)</script>__SCRIPT____DATA__"))
    page = draw_study(paths, spec, trials, quick=True)[0].read_text("utf-8")
    assert page.count("</script>") == 2
    data = page.split('id="data">')[1].split("</script>")[0]
    assert json.loads(data)["trials"][2]["remark"] == "Odd: </script><script>alert(1)</script>__SCRIPT____DATA__"


def test_the_page_loads_nothing_from_elsewhere(study: tuple[StudyPaths, StudySpec]) -> None:
    page = draw_study(*study, made(), quick=True)[0].read_text("utf-8")
    assert "default-src 'none'" in page
    assert "http" not in page.replace("http-equiv", "")


def test_trials_that_overlap_lie_in_different_rows_of_the_timeline(study: tuple[StudyPaths, StudySpec]) -> None:
    figures = study_figures(study[1], made())
    spans = [(trial.lane, *trial.span) for trial in figures.trials if trial.span]
    assert {lane for lane, *_ in spans} == {0, 1}
    for one in spans:
        for other in spans:
            assert one is other or one[0] != other[0] or one[2] <= other[1] or other[2] <= one[1]


def test_parameters_that_matter_come_first(study: tuple[StudyPaths, StudySpec]) -> None:
    trials = [
        replace(trial, state=TrialState.COMPLETE, value=-abs(0.2 - trial.params["optimizer.weight_decay"]))
        for trial in made()
    ]
    figures = study_figures(study[1], trials)
    assert figures.importances[0][0] == "optimizer.weight_decay"
    assert sum(share for _, share in figures.importances) == pytest.approx(1.0)
    assert figures.ranked_axes[0][1].key == "optimizer.weight_decay"


def test_ticks_are_round_and_inside() -> None:
    assert [text for _, text in axis_ticks(Axis("x", "log", 1e-4, 1e-1))] == ["0.0001", "0.001", "0.01", "0.1"]
    assert [text for _, text in axis_ticks(Axis("x", "linear", 0.0, 0.3))] == ["0", "0.1", "0.2", "0.3"]
    assert [text for _, text in axis_ticks(Axis("x", "log", 2.0, 5.0))]
    assert all(0 <= place <= 1 for place, _ in axis_ticks(Axis("x", "log", 3e-5, 7e-2)))
    assert axis_ticks(Axis("x", "choice", labels=("only",))) == [(0.5, "only")]


def test_a_trial_gone_wrong_does_not_flatten_the_others() -> None:
    low, high = robust_range([0.9, 0.91, 0.92, 0.93, -1e9])
    assert 0.85 < low < 0.9
    assert high < 0.95
    assert robust_range([0.0, 0.0])[0] < robust_range([0.0, 0.0])[1]


def test_the_summary_counts_folds_that_were_not_trained(study: tuple[StudyPaths, StudySpec]) -> None:
    summary = summarise(study[1], made())
    assert (summary.complete, summary.pruned, summary.failed, summary.in_work) == (11, 3, 1, 1)
    assert (summary.fits, summary.fits_saved) == (11 * 5 + 3 * 2, 3 * 3)
    assert summary.failures == {"NonFiniteLoss": (2,)}
    assert summary.best is not None
    assert summary.best.number == 14
    assert summary.best.certainty.standard_error is not None


def test_a_trial_stopped_in_its_first_fold_counts_by_its_epochs(study: tuple[StudyPaths, StudySpec]) -> None:
    early = replace(made()[3], fold_scores=(), curve=(0.1, 0.2))
    epochs = study[1].config.training.epochs
    assert summarise(study[1], [early]).fits == pytest.approx(2 / epochs)


def test_metrics_of_the_parent_are_few_and_finite(study: tuple[StudyPaths, StudySpec]) -> None:
    for trials in ([], made(), [made()[2]]):
        values = summarise(study[1], trials).as_metrics()
        assert len(values) < 12
        assert all(math.isfinite(value) for value in values.values())


def test_the_parent_run_ends_with_results_and_pictures(
    workspace: Workspace, study: tuple[StudyPaths, StudySpec]
) -> None:
    """A sweep that was asked to stop has no time for more than the page."""
    paths, spec = study
    write_trials(paths, made())
    for state, files in (("KILLED", 1), ("FAILED", 7), ("FINISHED", 7)):
        with StudyReview(workspace, paths, spec, print, tracked=True) as review:
            review.conclude(state)
        run = parent_in_mlflow(workspace, spec)
        assert run.info.status == state
        artifacts = [artifact.path for artifact in client(workspace).list_artifacts(run.info.run_id)]
        assert len(artifacts) == files
        assert "study.html" in artifacts
    assert run.data.metrics["best_trial"] == 14
    assert run.data.metrics["trials_pruned"] == 3


def test_pictures_that_cannot_be_made_cost_themselves_alone(
    workspace: Workspace, study: tuple[StudyPaths, StudySpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLERUN_MLFLOW_URI", "none")
    paths, spec = study
    write_trials(paths, made())
    paths.plots.write_text("in the way")
    said: list[str] = []
    with StudyReview(workspace, paths, spec, said.append, tracked=True) as review:
        review.conclude("FINISHED")
    assert len(said) == 1
    assert "pictures could not be made" in said[0]


_DIE = """
import os, time
from kagglerun import tracking
from kagglerun.sweep.review import StudyReview
from kagglerun.sweep.study import read_spec
from kagglerun.workspace import Workspace
workspace = Workspace.find()
paths = workspace.study("digits", "digits-toy")
with StudyReview(workspace, paths, read_spec(paths), print, tracked=True) as review:
    run = workspace.run("digits", "digits-toy-0002")
    tracking.open_tracker(workspace, run, name=run.run_id, params={}, tags={}, parent=review.parent)
    while not run.tracking.exists():
        time.sleep(0.05)
    os._exit(9)
"""


def test_after_kill_9_the_same_parent_goes_on_and_lost_trials_are_ended(
    workspace: Workspace, study: tuple[StudyPaths, StudySpec]
) -> None:
    """The coordinator and a trial's worker die without a word; the next attempt sets both right."""
    paths, spec = study
    assert subprocess.run([sys.executable, "-c", _DIE], check=False, cwd=workspace.root).returncode == 9
    before = parent_in_mlflow(workspace, spec)
    assert before.info.status == "RUNNING"
    workspace.run(spec.slug, spec.run_id(2)).config.write_text("seed: 1\n")
    write_trials(paths, made())
    with StudyReview(workspace, paths, spec, print, tracked=True) as review:
        review.conclude("FINISHED")
    after = parent_in_mlflow(workspace, spec)
    assert (after.info.run_id, after.info.status) == (before.info.run_id, "FINISHED")
    (child,) = client(workspace).search_runs(["1"], f"tags.mlflow.parentRunId = '{after.info.run_id}'")
    assert child.info.status == "KILLED"


def client(workspace: Workspace) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking.tracking_uri(workspace))


def parent_in_mlflow(workspace: Workspace, spec: StudySpec) -> Any:
    (run,) = client(workspace).search_runs(["1"], f"tags.`kagglerun.key` = '{spec.slug}/{spec.name}'")
    return run


def test_two_objectives_have_a_picture_of_their_own(workspace: Workspace) -> None:
    config = toy_config(20, objectives=["score", "seconds_per_fold"])
    paths, spec = prepare_study(workspace, config, objective=TOY)
    trials = [
        replace(trial, seconds=(trial.number % 7 + 1) * 3.0) if trial.value is not None else trial for trial in made()
    ]
    figures = study_figures(spec, trials)
    by_number = {trial.number: trial for trial in figures.complete}
    assert [by_number[number].seconds_per_fold for number in figures.front] == sorted(
        (by_number[number].seconds_per_fold or 0.0 for number in figures.front), reverse=True
    )
    assert figures.front[0] == figures.best
    files = draw_study(paths, spec, trials)
    assert "trade_off.png" in [file.name for file in files]
    assert '"front":[14' in files[0].read_text("utf-8")
    one_objective = spec.config.sweep.model_copy(update={"objectives": ("score",)})
    alone = spec.model_copy(update={"config": spec.config.model_copy(update={"sweep": one_objective})})
    assert study_figures(alone, trials).front == ()

"""Runs whose metric needs cut-offs or thresholds: what they leave, what they score, what is submitted."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kagglerun import metrics
from kagglerun.cli.main import run as kagglerun
from kagglerun.config.load import load_card, load_config, parse_config
from kagglerun.config.schema import Config
from kagglerun.errors import ConfigError
from kagglerun.experiment import postprocess
from kagglerun.experiment.postprocess.steps import ClassCutoffs, Thresholds
from kagglerun.experiment.predictions import read_predictions
from kagglerun.experiment.prepare import prepare
from kagglerun.experiment.run import RunResult, resolve_config, run_experiment
from kagglerun.files import read_json, sha256_of_json
from kagglerun.submission.send import file_of_run
from kagglerun.workspace import CompetitionPaths, Workspace
from tests.experiment.made import seal, write_card

BOOSTING = {"kind": "tabular_boosting", "n_estimators": 15, "min_child_samples": 5, "num_leaves": 4}
N_TRAIN, N_TEST = 300, 60


@pytest.fixture
def rare(workspace: Workspace) -> Iterator[CompetitionPaths]:
    """`made`: few rows are positive, the metric is F1."""
    numbers = np.random.default_rng(5)
    x = numbers.normal(size=N_TRAIN + N_TEST)
    y = np.where(x + numbers.normal(scale=0.9, size=len(x)) > 1.7, "yes", "no")
    paths = made(workspace, pd.DataFrame({"id": np.arange(len(x)), "x": x, "y": y}))
    write_card(paths, metric="f1")
    yield paths


def made(workspace: Workspace, table: pd.DataFrame, n_train: int = N_TRAIN) -> CompetitionPaths:
    """The files of `made`; the card is still to be written."""
    paths = workspace.competition("made")
    paths.data.mkdir(parents=True)
    workspace.settings.parent.mkdir(exist_ok=True)
    workspace.settings.write_text("mlflow_uri: none\n")
    table.iloc[:n_train].to_csv(paths.data / "train.csv", index=False)
    table.iloc[n_train:].drop(columns="y").to_csv(paths.data / "test.csv", index=False)
    sample = table.iloc[n_train:][["id"]].assign(y=table["y"].iloc[0])
    sample.to_csv(paths.data / "sample_submission.csv", index=False)
    seal(paths)
    workspace.set_current("made")
    return paths


def resolved(workspace: Workspace, **sections: Any) -> Config:
    values = {"name": "made", "model": BOOSTING, "cv": {"n_splits": 3}, "training": {"cpu_threads": 1}, **sections}
    return resolve_config(workspace, parse_config(values, "test"))


def run(workspace: Workspace, run_id: str, **sections: Any) -> RunResult:
    return run_experiment(workspace, resolved(workspace, **sections), run_id)


def test_a_run_keeps_raw_predictions_scores_nested_and_submits_post_processed_ones(
    workspace: Workspace, rare: CompetitionPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    result, plain = run(workspace, "auto"), run(workspace, "none", postprocess="none")
    auto, none = workspace.run("made", "auto"), workspace.run("made", "none")
    assert auto.oof.read_bytes() == none.oof.read_bytes() and auto.test.read_bytes() == none.test.read_bytes()
    saved = read_json(auto.metrics)
    assert saved["raw_score"] == result.raw_score == plain.score < saved["score"] == result.score
    assert tuple(saved["raw_fold_scores"]) == result.raw_fold_scores == plain.fold_scores
    assert saved["fold_score_mean"] == pytest.approx(np.mean(saved["fold_scores"]))
    fitted = postprocess.read(auto)
    assert fitted is not None and isinstance(fitted.steps[0], Thresholds)
    assert saved["postprocess"] == str(fitted)
    assert postprocess.read(none) is None and "raw_score" not in read_json(none.metrics)
    assert kagglerun(["show", "auto"]) == 0
    shown = capsys.readouterr().out
    assert f"all OOF  {result.score:.5f}" in shown
    assert f"raw      {result.raw_score:.5f}, before {fitted}" in shown
    values = read_predictions(auto.test).values[:, 0]
    written = pd.read_csv(file_of_run(auto, rare, load_card(rare.card)))
    [point] = fitted.steps[0].points
    assert written["y"].tolist() == ["yes" if value >= point else "no" for value in values]
    assert written["y"].tolist() != pd.read_csv(file_of_run(none, rare, load_card(rare.card)))["y"].tolist()


def test_runs_with_and_without_compare_and_older_configs_keep_their_digest(
    workspace: Workspace, rare: CompetitionPaths
) -> None:
    config = resolved(workspace)
    fingerprint = prepare(workspace, config).fingerprint
    without = config.model_dump(mode="json", exclude={"name", "sweep", "postprocess"})
    assert fingerprint.config == sha256_of_json([without, None])
    other = prepare(workspace, resolved(workspace, postprocess="none")).fingerprint
    assert other.comparable == fingerprint.comparable and other.config != fingerprint.config


@pytest.mark.long
def test_a_run_that_was_killed_before_its_end_gives_the_same_again(
    workspace: Workspace, rare: CompetitionPaths
) -> None:
    run(workspace, "one")
    paths = workspace.run("made", "one")
    before = (paths.metrics.read_bytes(), paths.postprocess.read_bytes())
    frozen = load_config(paths.config)
    paths.metrics.unlink()
    paths.postprocess.write_text("{")
    run_experiment(workspace, frozen, "one")
    assert (paths.metrics.read_bytes(), paths.postprocess.read_bytes()) == before


@pytest.mark.long
def test_a_frozen_config_that_does_not_know_the_section_goes_on(workspace: Workspace, rare: CompetitionPaths) -> None:
    config = resolved(workspace)
    run_experiment(workspace, config, "one")
    paths = workspace.run("made", "one")
    lines = paths.config.read_text().split("\n")
    begin = lines.index("postprocess:")
    end = next(at for at in range(begin + 1, len(lines)) if not lines[at].startswith(" "))
    paths.config.write_text("\n".join(lines[:begin] + lines[end:]))
    assert "postprocess" not in paths.config.read_text()
    assert run_experiment(workspace, config, "one").score == read_json(paths.metrics)["score"]


def test_what_does_not_fit_the_competition_is_told_before_anything_is_trained(
    workspace: Workspace, rare: CompetitionPaths
) -> None:
    with pytest.raises(ConfigError, match="postprocess: isotonic does not fit made: only probabilities"):
        resolved(workspace, postprocess="isotonic")
    with pytest.raises(ConfigError, match="postprocess"):
        parse_config({"postprocess": "magic"}, "test")


HOOKS = """
from kagglerun.hooks import CompetitionHooks

class Hooks(CompetitionHooks):
    def cells(self, predictions, rows):
        return {"y": ["yes" if value >= 0.5 else "no" for value in predictions[:, 0]]}
"""


@pytest.mark.long
def test_cells_of_the_hooks_are_made_of_raw_predictions_unless_the_config_asks(
    workspace: Workspace, rare: CompetitionPaths
) -> None:
    rare.hooks.write_text(HOOKS)
    assert run(workspace, "auto").raw_score is None
    asked = run(workspace, "asked", postprocess="thresholds")
    assert asked.raw_score is not None and asked.score > asked.raw_score
    cells = read_predictions(workspace.run("made", "asked").test).cells
    before = read_predictions(workspace.run("made", "auto").test).cells
    assert cells is not None and before is not None
    assert (cells["y"] == "yes").sum() > (before["y"] == "yes").sum()


@pytest.mark.long
def test_a_trial_has_the_nested_score_and_keeps_the_raw_ones_for_pruning(
    workspace: Workspace, rare: CompetitionPaths
) -> None:
    from kagglerun.sweep.objective import Experiment, TrialTask
    from kagglerun.sweep.trials import Trial, scored

    task = TrialTask(0, "t-0", resolved(workspace), None, {})
    score = Experiment().run(workspace, task, _Silent())
    saved = read_json(workspace.run("made", "t-0").metrics)
    assert score.value == saved["score"] and list(score.fold_scores) == saved["fold_scores"]
    trial = scored(Trial(0, {}), score)
    assert list(trial.scores_on_the_way) == saved["raw_fold_scores"] != saved["fold_scores"]
    folds = [read_json(workspace.run("made", "t-0").fold(fold).result)["score"] for fold in range(3)]
    assert list(trial.scores_on_the_way) == folds, "as pruned trials know them"


class _Silent:
    def epoch(self, *_: object) -> None:
        """Nothing."""

    def fold(self, *_: object) -> None:
        """Nothing."""

    def should_stop(self) -> bool:
        return False


@pytest.mark.long
def test_ratings_of_classes_are_cut_and_submitted(workspace: Workspace) -> None:
    numbers = np.random.default_rng(6)
    x = numbers.normal(size=N_TRAIN + N_TEST)
    y = np.digitize(x + numbers.normal(scale=0.7, size=len(x)), [0.5, 1.2, 1.8]) + 1
    paths = made(workspace, pd.DataFrame({"id": np.arange(len(x)), "x": x, "y": y}))
    write_card(paths, metric="qwk", task="multiclass", classes=[1, 2, 3, 4])
    result = run(workspace, "one")
    assert result.raw_score is not None and result.score > result.raw_score
    fitted = postprocess.read(workspace.run("made", "one"))
    assert fitted is not None and isinstance(fitted.steps[0], ClassCutoffs)
    written = pd.read_csv(file_of_run(workspace.run("made", "one"), paths, load_card(paths.card)))
    truths = y[N_TRAIN:]
    assert set(written["y"]) <= {1, 2, 3, 4}
    assert metrics.get("qwk")(truths, written["y"].to_numpy()) > 0.5


@pytest.mark.long
def test_clipped_numbers_stay_within_the_training_targets(workspace: Workspace) -> None:
    numbers = np.random.default_rng(7)
    x = numbers.normal(size=N_TRAIN + N_TEST)
    paths = made(workspace, pd.DataFrame({"id": np.arange(len(x)), "x": x, "y": np.clip(x, -0.5, 0.5)}))
    write_card(paths, metric="rmse", task="regression", classes=None, greater_is_better=False)
    run(workspace, "one", postprocess={"clip": True})
    written = pd.read_csv(file_of_run(workspace.run("made", "one"), paths, load_card(paths.card)))
    assert written["y"].between(-0.5, 0.5).all()


@pytest.mark.real
def test_qwk_of_real_ratings_rises_and_holds_on_rows_never_seen(workspace: Workspace, real_data: Path) -> None:
    """The overall quality of houses, 1 to 10, from everything else that is known of them but their price."""
    bundle = zipfile.ZipFile(real_data / "house-prices-advanced-regression-techniques.zip")
    houses = pd.read_csv(io.BytesIO(bundle.read("train.csv"))).sample(frac=1, random_state=1)
    table = houses.select_dtypes("number").drop(columns=["SalePrice", "Id", "OverallQual"])
    table.insert(0, "id", np.arange(len(table)))
    table["y"] = houses["OverallQual"].to_numpy()
    paths = made(workspace, table, 1000)
    write_card(paths, metric="qwk", task="regression", classes=None)
    result = run(workspace, "one", model={**BOOSTING, "n_estimators": 60, "learning_rate": 0.1})
    written = pd.read_csv(file_of_run(workspace.run("made", "one"), paths, load_card(paths.card)))["y"].to_numpy()
    truths, qwk = table["y"].to_numpy()[1000:], metrics.get("qwk")
    rounded = np.rint(read_predictions(workspace.run("made", "one").test).values[:, 0])
    assert result.raw_score is not None and result.score > result.raw_score
    assert qwk(truths, written) > qwk(truths, rounded)

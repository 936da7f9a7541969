from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kagglerun.config.load import load_config, parse_config, save_config
from kagglerun.config.schema import Config
from kagglerun.errors import ConfigError, DataError, JobError, UnresolvedCard
from kagglerun.experiment.predictions import read_predictions
from kagglerun.experiment.run import RunStopped, resolve_config, run_experiment
from kagglerun.experiment.runs import list_runs
from kagglerun.files import read_json
from kagglerun.sweep.objective import Experiment
from kagglerun.workspace import CompetitionPaths, RunPaths, Workspace
from tests.experiment.made import seal, write_card

BOOSTING = {"kind": "tabular_boosting", "n_estimators": 30, "min_child_samples": 5}
NEURAL = {"kind": "tabular_neural", "width": 16, "depth": 1}


def make_config(workspace: Workspace, model: Mapping[str, object], **sections: object) -> Config:
    values = {
        "name": "made",
        "model": model,
        "cv": {"n_splits": 3},
        "training": {"epochs": 3, "batch_size": 16, "cpu_threads": 1, "device": "cpu"},
        **sections,
    }
    return resolve_config(workspace, parse_config(values, "test"))


class Stopper:
    """Stops after a number of questions."""

    def __init__(self, stop_at: int) -> None:
        self.left = stop_at
        self.folds: list[float] = []

    def epoch(self, fold: int, epoch: int, epochs: int, values: Mapping[str, float]) -> None:
        assert 0 <= epoch < epochs

    def fold(self, fold: int, n_folds: int, score: float) -> None:
        self.folds.append(score)

    def should_stop(self) -> bool:
        self.left -= 1
        return self.left == 0


@pytest.mark.parametrize("model", [BOOSTING, NEURAL], ids=["boosting", "neural"])
def test_the_same_config_gives_the_same_files_byte_for_byte(
    workspace: Workspace, competition: CompetitionPaths, model: Mapping[str, object]
) -> None:
    config = make_config(workspace, model)
    run_experiment(workspace, config, "first")
    run_experiment(workspace, config, "second")
    first, second = workspace.run("made", "first"), workspace.run("made", "second")
    assert first.oof.read_bytes() == second.oof.read_bytes()
    assert first.test.read_bytes() == second.test.read_bytes()


def test_a_run_leaves_what_the_design_says(workspace: Workspace, competition: CompetitionPaths) -> None:
    result = run_experiment(workspace, make_config(workspace, BOOSTING), "whole")
    paths = workspace.run("made", "whole")
    for path in (
        paths.config,
        paths.fingerprint,
        paths.environment,
        paths.metrics,
        paths.oof,
        paths.test,
        paths.journal,
    ):
        assert path.stat().st_size > 0
    assert {plot.name for plot in paths.plots.iterdir()} == {
        "learning_curves.png",
        "fold_scores.png",
        "confusion_matrix.png",
        "importances.png",
    }
    oof, test = read_predictions(paths.oof), read_predictions(paths.test)
    assert oof.ids["id"].tolist() == list(range(90)) and test.ids["id"].tolist() == list(range(90, 110))
    assert oof.fold is not None and sorted(set(oof.fold)) == [0, 1, 2]
    assert result.score == pytest.approx(np.mean(result.fold_scores), abs=0.01) and result.score > 0.8
    assert json.loads(paths.status.read_text())["state"] == "FINISHED"
    [summary] = list_runs(workspace)
    assert (summary.run_id, summary.score, summary.model) == ("whole", result.score, "tabular_boosting")


def test_a_finished_run_is_read_back_and_not_trained_again(workspace: Workspace, competition: CompetitionPaths) -> None:
    config = make_config(workspace, BOOSTING)
    first = run_experiment(workspace, config, "one")
    stamp = workspace.run("made", "one").metrics.stat().st_mtime_ns
    assert run_experiment(workspace, config, "one") == first
    assert workspace.run("made", "one").metrics.stat().st_mtime_ns == stamp


@pytest.mark.parametrize("stop_at", [2, 14, 20])
def test_a_stopped_run_is_killed_and_goes_on_to_the_same_bits(
    workspace: Workspace, competition: CompetitionPaths, stop_at: int
) -> None:
    config = make_config(workspace, NEURAL)
    run_experiment(workspace, config, "whole")
    with pytest.raises(RunStopped):
        run_experiment(workspace, config, "stopped", observer=Stopper(stop_at))
    stopped = workspace.run("made", "stopped")
    assert json.loads(stopped.status.read_text())["state"] == "KILLED"
    assert not stopped.metrics.exists()
    watcher = Stopper(-1)
    run_experiment(workspace, config, "stopped", observer=watcher)
    assert len(watcher.folds) == 3
    assert stopped.oof.read_bytes() == workspace.run("made", "whole").oof.read_bytes()


PROGRAM = """
import sys
from kagglerun.config.load import load_config
from kagglerun.experiment.run import run_experiment
from kagglerun.workspace import Workspace
from pathlib import Path

workspace = Workspace.find()
run_experiment(workspace, load_config(Path(sys.argv[1])), sys.argv[2])
"""


def wait_until_training(process: subprocess.Popen[bytes], paths: RunPaths) -> None:
    """Wait until the process has written a checkpoint or a fold's result."""
    before = newest(paths)
    while process.poll() is None and newest(paths) == before:
        time.sleep(0.01)


def newest(paths: RunPaths) -> int:
    """Time of the last change of a checkpoint or result, in nanoseconds."""
    stamps = [0]
    for path in [*paths.folder.glob("folds/*/checkpoints/*/manifest.json"), *paths.folder.glob("folds/*/result.json")]:
        with contextlib.suppress(FileNotFoundError):
            stamps.append(path.stat().st_mtime_ns)
    return max(stamps)


def test_a_run_with_the_same_id_and_another_config_is_refused(
    workspace: Workspace, competition: CompetitionPaths
) -> None:
    run_experiment(workspace, make_config(workspace, BOOSTING), "one")
    with pytest.raises(ConfigError, match="another config: seed 42 -> 7"):
        run_experiment(workspace, make_config(workspace, BOOSTING, seed=7), "one")


def test_a_run_that_another_process_works_on_is_refused(
    workspace: Workspace, competition: CompetitionPaths, tmp_path: Path
) -> None:
    training = {"epochs": 5000, "batch_size": 4, "cpu_threads": 1, "device": "cpu", "checkpoint_seconds": 0.02}
    config = make_config(workspace, NEURAL, training=training)
    save_config(tmp_path / "config.yaml", config)
    run = workspace.run("made", "one")
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path / "config.yaml"), "one"])
    try:
        wait_until_training(process, run)
        with pytest.raises(JobError, match="another process works on the run one"):
            run_experiment(workspace, config, "one")
        assert read_json(run.status)["state"] == "RUNNING"
    finally:
        process.kill()
        process.wait()
    with pytest.raises(RunStopped):
        run_experiment(workspace, config, "one", observer=Stopper(1))


def test_changed_data_is_noticed_when_a_run_goes_on(workspace: Workspace, competition: CompetitionPaths) -> None:
    config = make_config(workspace, NEURAL)
    with pytest.raises(RunStopped):
        run_experiment(workspace, config, "one", observer=Stopper(3))
    table = competition.data / "train.csv"
    table.write_text(table.read_text().replace("yes", "no", 1))
    seal(competition)
    with pytest.raises(ConfigError, match="its data"):
        run_experiment(workspace, config, "one")


def test_a_failing_run_is_failed_with_its_reason(workspace: Workspace, competition: CompetitionPaths) -> None:
    config = make_config(workspace, NEURAL, optimizer={"lr": 1e30, "name": "sgd"}, schedule={"name": "constant"})
    with pytest.raises(Exception, match="loss is"):
        run_experiment(workspace, config, "bad")
    [summary] = list_runs(workspace)
    assert summary.state == "FAILED" and "loss is" in str(summary.error)


def test_resolving_fills_in_what_the_competition_decides(workspace: Workspace, competition: CompetitionPaths) -> None:
    config = resolve_config(workspace, parse_config({}, "test"))
    assert (config.competition, config.model.kind, config.cv.scheme) == ("made", "tabular_boosting", "stratified")
    assert config.training.cpu_threads is not None and config.cv.seed == config.seed
    run_experiment(workspace, config.model_copy(update={"name": "frozen"}), "frozen")
    assert load_config(workspace.run("made", "frozen").config).competition == "made"


def test_an_open_card_a_missing_fetch_and_images_that_are_not_there_are_clear_errors(
    workspace: Workspace, competition: CompetitionPaths
) -> None:
    with pytest.raises(ConfigError, match="no images"):
        make_config(workspace, {"kind": "image"})
    with pytest.raises(ConfigError, match="nothing"):
        resolve_config(workspace, parse_config({"competition": "nothing"}, "test"))
    open_question = [{"field": "metric", "because": "Kaggle's name is not known", "fill_in": "metric: NAME"}]
    write_card(competition, metric=None, unresolved=open_question)
    with pytest.raises(UnresolvedCard, match="metric"):
        make_config(workspace, BOOSTING)
    write_card(competition)
    shutil.rmtree(competition.data)
    with pytest.raises(DataError) as caught:
        make_config(workspace, BOOSTING)
    assert "kagglerun fetch" in str(caught.value.hint)


HOOKS = """
import numpy as np
from kagglerun.hooks import CompetitionHooks

class Hooks(CompetitionHooks):
    def features(self, train, test):
        for table in (train, test):
            table["twice"] = 2 * table["x"]
        return train, test

    def folds(self, data):
        return np.arange(len(data.train)) % 3

    def post_process(self, predictions, features):
        return np.clip(predictions, 0.25, self.parameters["most"])
"""


def test_hooks_change_features_folds_and_predictions(workspace: Workspace, competition: CompetitionPaths) -> None:
    plain = run_experiment(workspace, make_config(workspace, BOOSTING), "plain")
    competition.hooks.write_text(HOOKS)
    run_experiment(workspace, make_config(workspace, BOOSTING, hooks={"most": 0.75}), "hooked")
    oof = read_predictions(workspace.run("made", "hooked").oof)
    assert oof.fold is not None and oof.fold.tolist() == [row % 3 for row in range(90)]
    assert oof.values.min() == 0.25 and oof.values.max() == 0.75
    fingerprints = [json.loads(workspace.run("made", run).fingerprint.read_text()) for run in ("plain", "hooked")]
    assert fingerprints[0]["comparable"] != fingerprints[1]["comparable"]
    assert plain.score > 0.8


REPLACING_HOOKS = """
from dataclasses import replace
import numpy as np
from kagglerun import metrics
from kagglerun.hooks import CompetitionHooks
from kagglerun.models.base import FoldOutcome

class Constant:
    def fit_fold(self, context):
        share = context.data.targets[context.train_rows].mean()
        assert list(context.data.train.columns) == ["x"]
        valid = np.full((len(context.valid_rows), 1), share)
        return FoldOutcome(valid, np.full((len(context.data.test), 1), share), (), 0)

class Hooks(CompetitionHooks):
    def metric(self):
        return metrics.get("log_loss")

    def dataset(self, data):
        return replace(data, train=data.train[["x"]], test=data.test[["x"]])

    def model(self):
        return Constant()
"""


def test_hooks_replace_metric_dataset_and_model(workspace: Workspace, competition: CompetitionPaths) -> None:
    competition.hooks.write_text(REPLACING_HOOKS)
    result = run_experiment(workspace, make_config(workspace, BOOSTING), "replaced")
    assert not result.greater_is_better and 0.5 < result.score < 0.8
    values = read_predictions(workspace.run("made", "replaced").oof).values
    assert len(np.unique(values)) <= 3, "one constant a fold"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("x = 1", "subclasses of CompetitionHooks"),
        ("import nothing_like_it", "line 1 failed"),
        (HOOKS.replace("return train, test", "return train.iloc[1:], test"), "number of training rows"),
        (HOOKS.replace("% 3", "% 9"), "hooks.folds"),
    ],
)
def test_broken_hooks_are_clear_errors(
    workspace: Workspace, competition: CompetitionPaths, code: str, words: str
) -> None:
    competition.hooks.write_text(code)
    with pytest.raises((ConfigError, DataError), match=words):
        run_experiment(workspace, make_config(workspace, BOOSTING), "one")


def test_some_folds_only_cover_their_rows(workspace: Workspace, competition: CompetitionPaths) -> None:
    run_experiment(workspace, make_config(workspace, BOOSTING, cv={"n_splits": 3, "folds": [1]}), "one")
    oof = read_predictions(workspace.run("made", "one").oof)
    assert oof.fold is not None and set(oof.fold) == {1} and len(oof.values) == 30


MEASURE = """
from kagglerun.metrics import metric

@metric(greater_is_better=False, prediction="probability")
def far_off(y_true, y_pred, power=1):
    return (abs(y_true - y_pred) ** power).mean()
"""


def test_a_metric_of_the_users_makes_runs_comparable_only_while_its_code_stays(
    workspace: Workspace, competition: CompetitionPaths
) -> None:
    competition.hooks.write_text(MEASURE)
    write_card(competition, metric="far_off", greater_is_better=False, metric_parameters={"power": 2})
    config = make_config(workspace, BOOSTING)
    result = run_experiment(workspace, config, "one")
    oof = read_predictions(workspace.run("made", "one").oof)
    truth = (pd.read_csv(competition.data / "train.csv")["y"] == "yes").to_numpy()
    assert result.score == pytest.approx(((truth - oof.values[:, 0]) ** 2).mean()) and not result.greater_is_better
    competition.hooks.write_text(MEASURE + "# a word more\n")
    run_experiment(workspace, config, "two")
    write_card(competition, metric="far_off", greater_is_better=False, metric_parameters={"power": 1})
    run_experiment(workspace, config, "three")
    fingerprints = [json.loads(workspace.run("made", name).fingerprint.read_text()) for name in ("one", "two", "three")]
    assert len({fingerprint["comparable"] for fingerprint in fingerprints}) == 3
    assert fingerprints[0]["metric"] == fingerprints[1]["metric"] != fingerprints[2]["metric"]


@pytest.mark.parametrize(
    ("code", "parameters", "words"),
    [
        (MEASURE.replace("y_pred)", "y_prad)"), {}, r"hooks.py, line 6: NameError"),
        (MEASURE, {"power": "two"}, r"hooks.py, line 6: .*Error"),
    ],
)
def test_a_metric_that_fails_is_found_before_anything_is_trained(
    workspace: Workspace, competition: CompetitionPaths, code: str, parameters: dict[str, object], words: str
) -> None:
    competition.hooks.write_text(code)
    write_card(competition, metric="far_off", greater_is_better=False, metric_parameters=parameters)
    with pytest.raises(ConfigError, match=words):
        make_config(workspace, BOOSTING)


def test_a_parameter_that_a_built_in_metric_does_not_take_is_found_before_anything_is_trained(
    workspace: Workspace, competition: CompetitionPaths
) -> None:
    write_card(competition, metric="partial_auc", metric_parameters={"max_fpr": "much"})
    with pytest.raises(ConfigError, match="max_fpr='much'"):
        make_config(workspace, BOOSTING)


def test_a_study_takes_the_direction_of_the_users_metric(workspace: Workspace, competition: CompetitionPaths) -> None:
    competition.hooks.write_text(MEASURE)
    write_card(competition, metric="far_off", greater_is_better=None)
    assert not Experiment().greater_is_better(workspace, make_config(workspace, BOOSTING))


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ("return {'y': ['no']}", r"hooks.cells gave y \(1\); it must give 30 cells of: y"),
        ("return {'z': ['no'] * len(rows)}", r"hooks.cells gave z \(30\)"),
    ],
)
def test_cells_that_do_not_fit_the_submission_are_refused(
    workspace: Workspace, competition: CompetitionPaths, cells: str, words: str
) -> None:
    competition.hooks.write_text(
        "from kagglerun.hooks import CompetitionHooks\n"
        f"class Hooks(CompetitionHooks):\n    def cells(self, predictions, rows):\n        {cells}\n"
    )
    with pytest.raises(ConfigError, match=words):
        run_experiment(workspace, make_config(workspace, BOOSTING), "one")

"""Runs made again: equal where nothing changed, and the first place and the cause named where something did."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
from PIL import Image

from kagglerun.cli.main import run as kagglerun
from kagglerun.config.load import load_config, parse_config, save_config, with_value
from kagglerun.errors import ConfigError, DataError, JobError
from kagglerun.experiment.predictions import read_predictions, write_predictions
from kagglerun.experiment.rerun import causes as rerun_causes
from kagglerun.experiment.rerun.digests import read_digests
from kagglerun.experiment.rerun.reproduce import Reproduction, reproduce
from kagglerun.experiment.rerun.rerun_workspace import rerun_workspace
from kagglerun.experiment.run import resolve_config, run_experiment
from kagglerun.experiment.runs import list_runs
from kagglerun.files import read_json, write_json
from kagglerun.kaggle_api.manifest import Manifest, ManifestFile
from kagglerun.training.loop import Stopped
from kagglerun.workspace import CompetitionPaths, RunPaths, Workspace
from tests.experiment.made import seal, write_card

BOOSTING = {"kind": "tabular_boosting", "n_estimators": 20, "min_child_samples": 5}
NEURAL = {"kind": "tabular_neural", "width": 16, "depth": 1}
OWN_FAMILY = """
from kagglerun.files import write_text
from kagglerun.hooks import CompetitionHooks
from kagglerun.models.base import FoldOutcome
from kagglerun.randomness import generator

class Family:
    def fit_fold(self, context):
        numbers = generator(context.config.seed, "own", context.fold)
        write_text(context.paths.folder / "own.txt", str(numbers.random()))
        valid, test = numbers.random((len(context.valid_rows), 1)), numbers.random((len(context.data.test), 1))
        return FoldOutcome(valid, test, ({"valid_loss": 0.5},), 0)

class Hooks(CompetitionHooks):
    def model(self):
        return Family()
"""


@pytest.fixture(autouse=True)
def without_mlflow(workspace: Workspace) -> None:
    workspace.settings.parent.mkdir()
    workspace.settings.write_text("mlflow_uri: none\n")


def make_run(workspace: Workspace, model: Mapping[str, object] = BOOSTING, **sections: Any) -> RunPaths:
    training = {"epochs": 2, "batch_size": 16, "cpu_threads": 1, "device": "cpu"} | sections.pop("training", {})
    values = {"name": "made", "model": model, "cv": {"n_splits": 3}, "training": training, **sections}
    run_experiment(workspace, resolve_config(workspace, parse_config(values, "test")), "one")
    return workspace.run("made", "one")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Workspace, str], RunPaths]:
    """Gives a workspace a run of trees or of a network; each is trained once and copied then."""
    made: dict[str, Path] = {}

    def give(workspace: Workspace, kind: str) -> RunPaths:
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp("made") / kind
            run = make_run(workspace, BOOSTING if kind == "trees" else NEURAL)
            shutil.copytree(run.folder, made[kind])
        else:
            shutil.copytree(made[kind], workspace.run("made", "one").folder)
        return workspace.run("made", "one")

    return give


@pytest.fixture
def trees(workspace: Workspace, competition: CompetitionPaths, finished: Callable[..., RunPaths]) -> RunPaths:
    """A run of boosted trees over three folds."""
    return finished(workspace, "trees")


@pytest.fixture
def network(workspace: Workspace, competition: CompetitionPaths, finished: Callable[..., RunPaths]) -> RunPaths:
    """A run of a small network over three folds."""
    return finished(workspace, "network")


def again(workspace: Workspace, run: RunPaths, *folds: int) -> Reproduction:
    return reproduce(workspace, run, folds or None)


@pytest.fixture
def pictures(workspace: Workspace) -> CompetitionPaths:
    """24 training and 6 test pictures of 16 pixels, bright or dark."""
    paths = workspace.competition("made")
    numbers = np.random.default_rng(2)
    (paths.data / "pictures").mkdir(parents=True)
    labels = numbers.choice(["no", "yes"], 30)
    for index, label in enumerate(labels):
        pixels = numbers.integers(0, 128, (16, 16, 3), dtype=np.uint8) + (100 if label == "yes" else 0)
        Image.fromarray(pixels.astype(np.uint8)).save(paths.data / "pictures" / f"{index}.png")
    table = pd.DataFrame({"id": np.arange(30), "y": labels})
    table.iloc[:24].to_csv(paths.data / "train.csv", index=False)
    table.iloc[24:][["id"]].to_csv(paths.data / "test.csv", index=False)
    table.iloc[24:].assign(y="no").to_csv(paths.data / "sample_submission.csv", index=False)
    tables = {"train_table": "train.csv", "test_table": "test.csv", "sample_submission": "sample_submission.csv"}
    files = {"train_files": "pictures/{id}.png", "test_files": "pictures/{id}.png"}
    write_card(paths, modality="image", files={**tables, **files})
    seal(paths)
    workspace.set_current("made")
    return paths


@pytest.mark.parametrize("model", [BOOSTING, NEURAL], ids=["boosting", "neural"])
def test_a_run_made_again_is_equal_and_leaves_nothing(
    workspace: Workspace, competition: CompetitionPaths, model: Mapping[str, object]
) -> None:
    run = make_run(workspace, model)
    found = again(workspace, run)
    assert found.equal and found.first is None and found.causes == ()
    assert [fold.fold for fold in found.folds] == [0, 1, 2]
    assert "30 OOF rows, 20 test rows" in found.folds[0].compared
    assert not workspace.reproductions.exists()
    assert [summary.run_id for summary in list_runs(workspace)] == ["one"]


def test_a_run_on_images_made_again_is_equal(workspace: Workspace, pictures: CompetitionPaths) -> None:
    model = {"kind": "image", "name": "resnet10t", "image_size": 32, "pretrained": False}
    run = make_run(workspace, model, cv={"n_splits": 2, "folds": [1]}, training={"ema": 0.9, "augment": "flip"})
    found = again(workspace, run)
    assert found.equal and [fold.fold for fold in found.folds] == [1]
    assert " tensors, " in found.folds[0].compared
    digests = read_digests(run.fold(1))
    assert digests is not None and len(digests.weights) > 20 and digests.files == {}


def test_a_run_of_a_family_from_hooks_is_made_again_by_the_hooks_it_began_with(
    workspace: Workspace, competition: CompetitionPaths
) -> None:
    competition.hooks.write_text(OWN_FAMILY)
    run = make_run(workspace, NEURAL)
    competition.hooks.write_text(OWN_FAMILY.replace('"own"', '"other"'))
    found = again(workspace, run)
    assert found.equal and found.folds[0].compared.startswith("1 epochs, 1 files of the model")
    assert found.notes == ("hooks.py has changed since: the run's own copy was taken",)


def test_edited_hooks_are_named(workspace: Workspace, competition: CompetitionPaths) -> None:
    competition.hooks.write_text(OWN_FAMILY)
    run = make_run(workspace, NEURAL)
    run.hooks.write_text(OWN_FAMILY.replace('"own"', '"other"'))
    found = again(workspace, run)
    assert not found.equal and found.first is not None and found.first.startswith("fold 0, own.txt, line 1: 0.")
    assert found.causes[0] == "hooks.py in the run's folder was edited"
    assert {"oof", "test"} <= set(found.largest)


def test_hooks_of_the_competition_are_taken_for_a_run_without_a_record(
    workspace: Workspace, competition: CompetitionPaths
) -> None:
    competition.hooks.write_text(OWN_FAMILY)
    run = make_run(workspace, NEURAL)
    for path in (run.record, run.hooks, run.card, run.fold(0).digests):
        path.unlink()
    assert again(workspace, run).equal
    competition.hooks.write_text(OWN_FAMILY.replace('"own"', '"other"'))
    found = again(workspace, run)
    assert not found.equal and found.causes[0] == "the competition's hooks.py has changed"
    assert found.notes == ("the run kept no copy of card and hooks: those of the competition were taken",)


def test_code_that_draws_numbers_of_its_own_is_suspected(workspace: Workspace, competition: CompetitionPaths) -> None:
    unseeded = "np.random.default_rng()"
    code = OWN_FAMILY.replace('generator(context.config.seed, "own", context.fold)', unseeded)
    competition.hooks.write_text(f"import numpy as np\n{code}")
    found = again(workspace, make_run(workspace, NEURAL))
    assert not found.equal and found.causes == (
        "nothing that was recorded has changed: code that draws numbers of its own, or a clock",
    )


def test_a_retry_that_the_run_had_and_the_rerun_not_is_a_cause(
    workspace: Workspace, competition: CompetitionPaths
) -> None:
    note = "after an error of memory the batch was halved"
    again_place = "'.kagglerun' in context.paths.folder.parts"
    code = OWN_FAMILY.replace('"own"', f"str({again_place})")
    notes = f"notes=() if {again_place} else ({note!r},)"
    competition.hooks.write_text(code.replace('({"valid_loss": 0.5},), 0)', f"({{}},), 0, {notes})"))
    found = again(workspace, make_run(workspace, NEURAL), 1)
    assert not found.equal and found.causes == (f"in the run, fold 1: {note}",)


def test_changed_data_is_found_before_anything_is_trained(
    trees: RunPaths, workspace: Workspace, competition: CompetitionPaths
) -> None:
    table = pd.read_csv(competition.data / "train.csv")
    table.loc[3, "x"] += 1
    table.to_csv(competition.data / "train.csv", index=False)
    seal(competition)
    found = again(workspace, trees)
    assert found.first == "data: train.csv differs from what the run read"
    assert found.causes == ("data changed: train.csv",) and found.folds == ()


def test_a_damaged_file_is_found_before_anything_is_trained(
    trees: RunPaths, workspace: Workspace, competition: CompetitionPaths
) -> None:
    (competition.data / "train.csv").write_text("id,y\n")
    found = again(workspace, trees)
    assert found.first is not None and found.first.startswith("data: train.csv has 5 bytes")
    competition.manifest.unlink()
    with pytest.raises(DataError, match="not fetched"):
        again(workspace, trees)


def test_a_file_changed_behind_the_manifest_is_named_where_results_differ(
    network: RunPaths, workspace: Workspace, competition: CompetitionPaths
) -> None:
    text = (competition.data / "train.csv").read_text()
    place = text.index(".", 40) + 1
    (competition.data / "train.csv").write_text(
        f"{text[:place]}{'1' if text[place] != '1' else '2'}{text[place + 1 :]}"
    )
    found = again(workspace, network, 0)
    assert not found.equal and found.first is not None and found.first.startswith("fold 0, epoch 0, train_loss: ")
    assert found.causes == ("the competition's files are not those that were fetched: train.csv has other content",)
    assert {"history", "weights", "oof", "test"} == set(found.largest)
    assert all(value > 0 for value in found.largest.values())


def test_an_edited_config_is_named(network: RunPaths, workspace: Workspace, competition: CompetitionPaths) -> None:
    save_config(network.config, with_value(load_config(network.config), "optimizer.lr", 0.002))
    found = again(workspace, network, 2)
    assert not found.equal and found.first is not None and found.first.startswith("fold 2, epoch 0, lr: ")
    assert found.causes[0] == "config.yaml in the run's folder was edited: optimizer.lr 0.001 -> 0.002"


def test_another_split_is_found_before_anything_is_trained(
    trees: RunPaths, workspace: Workspace, competition: CompetitionPaths
) -> None:
    save_config(trees.config, with_value(load_config(trees.config), "cv.seed", 7))
    found = again(workspace, trees)
    assert found.first == "folds: the rows are split in another way than in the run" and found.folds == ()
    assert found.causes[0] == "config.yaml in the run's folder was edited: cv.seed 42 -> 7"


def test_the_tree_that_differs_is_named(trees: RunPaths, workspace: Workspace, competition: CompetitionPaths) -> None:
    save_config(trees.config, with_value(load_config(trees.config), "model.num_leaves", 2))
    found = again(workspace, trees, 0)
    assert not found.equal
    assert "booster-0.txt, tree 0, line " in str(found.folds[0].differences["files"])


def edit_environment(**changes: Any) -> Callable[[RunPaths], None]:
    def edit(run: RunPaths) -> None:
        environment = read_json(run.environment)
        packages = environment["packages"] | changes.pop("packages", {})
        write_json(run.environment, {**environment, **changes, "packages": packages})

    return edit


def edit_code(run: RunPaths) -> None:
    write_json(run.fingerprint, {**read_json(run.fingerprint), "code": "0" * 64})
    record = read_json(run.record)
    record["code"]["files"]["training/loop.py"] = "0" * 32
    write_json(run.record, record)


def edit_metric(run: RunPaths) -> None:
    write_json(run.fingerprint, {**read_json(run.fingerprint), "comparable": "0" * 64})


def resume_elsewhere(run: RunPaths) -> None:
    record, environment = read_json(run.record), read_json(run.environment)
    kept = {name: environment[name] for name in ("packages", "python", "threads")}
    write_json(run.record, record | {"resumed": [{**kept, "device": "another GPU", "code": "0" * 64}]})


@pytest.mark.parametrize(
    ("edit", "cause", "same_machine"),
    [
        (edit_environment(packages={"torch": "2.5.9"}), "torch 2.5.9 -> ", False),
        (edit_environment(device="NVIDIA T4"), "another processor or GPU: NVIDIA T4 -> cpu ", False),
        (edit_environment(threads=4), "another number of threads: 4 -> 1", False),
        (edit_environment(python="3.10.1"), "python 3.10.1 -> 3.", False),
        (edit_code, "): training/loop.py", True),
        (edit_metric, "the code of the competition's own metric has changed", True),
        (resume_elsewhere, "the run itself was resumed under other conditions: another processor or GPU: cpu ", True),
    ],
    ids=["torch", "device", "threads", "python", "code", "metric", "resumed"],
)
def test_what_has_changed_since_is_told_also_where_all_is_equal(
    trees: RunPaths,
    workspace: Workspace,
    competition: CompetitionPaths,
    edit: Callable[[RunPaths], None],
    cause: str,
    same_machine: bool,
) -> None:
    edit(trees)
    found = again(workspace, trees, 0)
    assert found.equal and len(found.causes) == 1 and cause in found.causes[0]
    assert found.expectation.startswith("same processor or GPU") is same_machine


def test_versions_without_influence_are_no_cause(
    trees: RunPaths, workspace: Workspace, competition: CompetitionPaths
) -> None:
    edit_environment(packages={"mlflow": "3.0.0", "optuna": "4.5.0"})(trees)
    assert again(workspace, trees, 0).causes == ()


def test_a_run_that_was_not_deterministic_is_said_to_be_so(workspace: Workspace, competition: CompetitionPaths) -> None:
    run = make_run(workspace, NEURAL, training={"deterministic": False})
    result = read_json(run.fold(0).result)
    result["history"][1]["train_loss"] += 1e-6
    write_json(run.fold(0).result, result)
    found = again(workspace, run, 0)
    assert found.first is not None and "fold 0, epoch 1, train_loss" in found.first
    assert found.causes == (
        "files of the run are not what it wrote: folds/0/result.json",
        "training.deterministic is false",
    )
    assert found.expectation.startswith("training.deterministic is false")


def test_a_differing_tensor_is_named_with_the_largest_difference(
    network: RunPaths, workspace: Workspace, competition: CompetitionPaths
) -> None:
    weights = safetensors.torch.load_file(network.fold(1).weights)
    weights["entry.bias"][2] += 0.25
    safetensors.torch.save_file(weights, network.fold(1).weights)
    found = again(workspace, network)
    assert found.first is not None and found.first.startswith("fold 1, weights entry.bias (1 of ")
    assert found.largest == {"weights": pytest.approx(0.25)}
    assert found.causes == ("files of the run are not what it wrote: folds/1/weights.safetensors",)
    assert [fold.equal for fold in found.folds] == [True, False, True]


def test_a_differing_row_is_named_by_its_id(
    trees: RunPaths, workspace: Workspace, competition: CompetitionPaths
) -> None:
    predictions = read_predictions(trees.fold(0).oof)
    values = predictions.values.copy()
    values[4, 0] += 1e-9
    write_predictions(trees.fold(0).oof, replace(predictions, values=values))
    found = again(workspace, trees, 0)
    place = f"fold 0, OOF row 4 (id {predictions.ids['id'].iloc[4]}), y (1 of 30 rows differ)"
    assert found.first is not None and found.first.startswith(place)
    assert found.largest == {"oof": pytest.approx(1e-9, rel=1e-3)}


def test_only_finished_folds_of_the_run_can_be_asked_for(workspace: Workspace, competition: CompetitionPaths) -> None:
    run = make_run(workspace, cv={"n_splits": 3, "folds": [0, 2]})
    with pytest.raises(ConfigError, match="does not have fold 1; finished: 0, 2"):
        again(workspace, run, 1)
    run.fold(2).result.unlink()
    with pytest.raises(ConfigError, match="did not finish fold 2; finished: 0"):
        again(workspace, run, 2)
    found = again(workspace, run)
    assert found.equal and found.notes == ("the run did not finish; of it nothing is known of fold 2",)
    run.fold(0).result.unlink()
    with pytest.raises(ConfigError, match="no finished fold"):
        again(workspace, run)


def test_a_card_that_no_longer_fits_is_a_difference_and_not_a_crash(
    trees: RunPaths, workspace: Workspace, competition: CompetitionPaths
) -> None:
    trees.card.write_text(trees.card.read_text().replace("train.csv", "training.csv"))
    found = again(workspace, trees)
    assert not found.equal and found.first is not None
    assert found.first.startswith("before the first fold: ") and "training.csv" in found.first


def test_a_config_of_another_version_names_who_made_it(
    trees: RunPaths, workspace: Workspace, competition: CompetitionPaths
) -> None:
    trees.config.write_text(trees.config.read_text() + "unheard_of: 1\n")
    with pytest.raises(ConfigError, match="unheard_of") as caught:
        again(workspace, trees)
    assert caught.value.hint is not None and caught.value.hint.startswith("the run was made by kagglerun ")


class StopsAfter:
    """Stops when a fold was made, once."""

    def __init__(self) -> None:
        self.folds: list[int] = []

    def epoch(self, fold: int, epoch: int, epochs: int, values: Mapping[str, float]) -> None:
        """Nothing."""

    def fold(self, fold: int, n_folds: int, score: float) -> None:
        self.folds.append(fold)

    def should_stop(self) -> bool:
        return len(self.folds) == 1


def test_an_interrupted_rerun_goes_on(trees: RunPaths, workspace: Workspace, competition: CompetitionPaths) -> None:
    with pytest.raises(Stopped):
        reproduce(workspace, trees, observer=StopsAfter())
    scratch = workspace.reproduction(trees).run("made", "one")
    first = scratch.fold(0).result.stat().st_mtime_ns
    with pytest.raises(Stopped):
        reproduce(workspace, trees, observer=StopsAfter())
    assert scratch.fold(0).result.stat().st_mtime_ns == first, "what was made again is not made a third time"
    assert again(workspace, trees).equal and not scratch.folder.exists()


def test_a_rerun_by_other_code_begins_anew(
    trees: RunPaths, workspace: Workspace, competition: CompetitionPaths
) -> None:
    with pytest.raises(Stopped):
        reproduce(workspace, trees, observer=StopsAfter())
    scratch = workspace.reproduction(trees).run("made", "one")
    first = scratch.fold(0).result.stat().st_mtime_ns
    write_json(scratch.fingerprint, {**read_json(scratch.fingerprint), "code": "0" * 64})
    found = reproduce(workspace, trees, keep=True)
    assert found.equal and found.kept == scratch.folder
    assert scratch.fold(0).result.stat().st_mtime_ns != first
    kept = scratch.fold(0).result.stat().st_mtime_ns
    assert reproduce(workspace, trees, keep=True).equal
    assert scratch.fold(0).result.stat().st_mtime_ns != kept, "what was compared once is no proof for the next time"


def test_a_run_is_made_again_by_one_process_at_a_time(
    trees: RunPaths, workspace: Workspace, competition: CompetitionPaths
) -> None:
    with rerun_workspace(workspace, trees), pytest.raises(JobError, match="another process"):
        again(workspace, trees)
    assert again(workspace, trees).equal


def test_the_order_of_folds_does_not_change_the_digest_of_a_run(
    network: RunPaths, workspace: Workspace, competition: CompetitionPaths
) -> None:
    found = reproduce(workspace, network, (2, 0, 1), keep=True)
    assert found.equal and [fold.fold for fold in found.folds] == [2, 0, 1]
    other = workspace.reproduction(network).run("made", "one")
    for fold in (0, 1, 2):
        digests = read_digests(network.fold(fold))
        assert digests is not None and read_digests(other.fold(fold)) == digests
    assert read_digests(network.fold(3)) is None


def test_the_command_prints_equal_or_what_differs(
    trees: RunPaths, workspace: Workspace, competition: CompetitionPaths, capfd: pytest.CaptureFixture[str]
) -> None:
    assert kagglerun(["reproduce", "one", "--folds", "0,1"]) == 0
    shown = capfd.readouterr().out
    assert shown.splitlines()[-1] == "equal" and shown.startswith("fold 0: equal")
    save_config(trees.config, with_value(load_config(trees.config), "seed", 7))
    assert kagglerun(["reproduce", "one", "--folds", "0"]) == 1
    shown = capfd.readouterr().out
    assert "not equal\nfirst difference: fold 0, tree 0, " in shown
    assert "likely cause: config.yaml in the run's folder was edited: seed 42 -> 7\n" in shown
    assert kagglerun(["reproduce", "one", "--folds", "0", "--json"]) == 1
    told = json.loads(capfd.readouterr().out)
    assert told["equal"] is False and told["folds"][0]["differences"]["oof"]["largest"] == told["largest"]["oof"]
    assert kagglerun(["reproduce", "one", "--folds", "x"]) == 2
    assert kagglerun(["reproduce", "two"]) == 2


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_a_run_keeps_the_commit_and_what_no_commit_holds(workspace: Workspace, competition: CompetitionPaths) -> None:
    competition.hooks.write_text(OWN_FAMILY)
    git(workspace.root, "init", "-q")
    git(workspace.root, "add", "competitions/made/hooks.py")
    git(workspace.root, "commit", "-q", "-m", "hooks")
    secret = "KAGGLE_KEY_TOKEN = '0123456789abcdef'\n"
    competition.hooks.write_text(OWN_FAMILY + "# a word more\n" + secret)
    run = make_run(workspace, NEURAL)
    record = read_json(run.record)["code"]["workspace"]
    assert len(record["commit"]) == 40 and record["changed"] == ["competitions/made/hooks.py"]
    assert "competitions/made/competition.yaml" in record["untracked"]
    changes = run.diff.read_text()
    assert "+# a word more" in changes and "not tracked, left out: competitions/made/competition.yaml" in changes
    assert "0123456789abcdef" not in changes and "# a line that looks like a secret was left out" in changes


def test_a_resume_elsewhere_is_written_down(
    trees: RunPaths, workspace: Workspace, competition: CompetitionPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees.metrics.unlink()
    began = read_json(trees.environment)
    monkeypatch.setattr("kagglerun.experiment.fingerprint._processor", lambda: "another processor")
    for _ in range(2):
        run_experiment(workspace, load_config(trees.config), "one")
        trees.metrics.unlink()
    assert read_json(trees.environment) == began
    assert [other["device"] for other in read_json(trees.record)["resumed"]] == ["cpu another processor"]


def test_files_that_changed_are_named() -> None:
    old = Manifest("kaggle", (ManifestFile("a", 1, "x"), ManifestFile("b", 1, "x"), ManifestFile("c", 1, "x")))
    new = Manifest("kaggle", (ManifestFile("a", 1, "x"), ManifestFile("b", 1, "y"), ManifestFile("d", 1, "x")))
    assert rerun_causes.changed_files(old, new) == ("b", "c", "d")

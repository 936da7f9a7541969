"""What can be frozen, what is refused and why; hooks and ensembles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kagglerun.code_competition.freeze import freeze_run
from kagglerun.code_competition.inference import predict_package
from kagglerun.code_competition.inference.member import packaged_family
from kagglerun.ensemble.run import Options, make_ensemble
from kagglerun.errors import PackageError
from kagglerun.experiment.predictions import read_predictions, write_predictions
from kagglerun.files import read_json, write_json
from kagglerun.models.base import FoldContext, FoldOutcome
from kagglerun.workspace import RunPaths, Workspace
from tests.code_competition.packaging_runs import (
    make_rows,
    submission_of,
    train,
    write_table_competition,
    write_test,
)

_HOOKS = """
from kagglerun.hooks import CompetitionHooks

class Hooks(CompetitionHooks):
    def features(self, train, test):
        rate = train["count"].mean()
        for table in (train, test):
            table["above"] = table["count"] - rate
            table["length"] = table["word"].str.len()
        return train, test

    def post_process(self, predictions, features):
        return predictions * (1 - 0.1 * features["flag"].to_numpy(dtype=float)[:, None])
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, RunPaths]:
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    write_table_competition(workspace, hooks=_HOOKS)
    return workspace, train(workspace, "tabular_boosting")


def test_hooks_see_the_training_rows_of_the_notebook_and_all_test_rows(
    trained: tuple[Workspace, RunPaths], tmp_path: Path
) -> None:
    workspace, run = trained
    data = workspace.competition("made").data
    assert freeze_run(workspace, run, tmp_path / "package").inference.same_bits
    report = predict_package(tmp_path / "package", data, tmp_path / "submission.csv")
    assert report.file.read_bytes() == submission_of(workspace, run)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/train.csv").write_bytes((data / "train.csv").read_bytes())
    write_test(tmp_path / "data", pd.concat([pd.read_csv(data / "test.csv"), make_rows(62, 5, 5000)]))
    more = predict_package(tmp_path / "package", tmp_path / "data", tmp_path / "more.csv")
    public, among_others = (pd.read_csv(each.file).set_index("id") for each in (report, more))
    assert len(among_others) == 93 and (among_others.loc[public.index] == public).all(axis=None)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_run_can_be_frozen_again_to_the_same_files(trained: tuple[Workspace, RunPaths], tmp_path: Path) -> None:
    workspace, run = trained
    (tmp_path / "members/old").mkdir(parents=True)
    (tmp_path / "wheels").mkdir()
    freeze_run(workspace, run, tmp_path)
    first = contents(tmp_path)
    again = freeze_run(workspace, run, tmp_path)
    assert contents(tmp_path) == first and again.rows == 31
    assert sorted(path.name for path in tmp_path.iterdir()) == ["competition", "inference.json", "members", "wheels"]
    assert [path.name for path in (tmp_path / "members").iterdir()] == [run.run_id]


def test_nothing_is_left_of_a_package_that_was_refused(
    trained: tuple[Workspace, RunPaths], tmp_path: Path, copied: RunPaths
) -> None:
    workspace, run = trained
    freeze_run(workspace, run, tmp_path)
    copied.fold(1).booster(0).unlink()
    with pytest.raises(PackageError, match=r"booster-0.txt are not there"):
        freeze_run(workspace, copied, tmp_path)
    assert not (tmp_path / "inference.json").exists()


@pytest.fixture
def copied(trained: tuple[Workspace, RunPaths], tmp_path: Path) -> RunPaths:
    """A copy of the run that may be damaged."""
    import shutil

    workspace, run = trained
    copy = workspace.run(run.slug, f"copy-{tmp_path.name}")
    shutil.copytree(run.folder, copy.folder)
    return copy


def test_other_predictions_than_the_runs_own_are_refused(
    trained: tuple[Workspace, RunPaths], tmp_path: Path, copied: RunPaths
) -> None:
    kept = read_predictions(copied.fold(2).test)
    write_predictions(copied.fold(2).test, replace(kept, values=kept.values + 1e-12))
    with pytest.raises(PackageError, match=r"do not predict what the run predicted: fold 2 differs by .* same machine"):
        freeze_run(trained[0], copied, tmp_path)


def test_another_machine_explains_small_differences_and_not_large_ones(
    trained: tuple[Workspace, RunPaths], tmp_path: Path, copied: RunPaths
) -> None:
    write_json(copied.environment, {**read_json(copied.environment), "device": "cpu of another make"})
    kept = read_predictions(copied.fold(2).test)
    write_predictions(copied.fold(2).test, replace(kept, values=kept.values + 1e-9))
    frozen = freeze_run(trained[0], copied, tmp_path)
    assert not frozen.inference.same_bits
    assert "differ by" in frozen.inference.notes[0] and "another make there" in frozen.inference.notes[0]
    write_predictions(copied.fold(2).test, replace(kept, values=kept.values + 0.1))
    with pytest.raises(PackageError, match=r"more than .* explain"):
        freeze_run(trained[0], copied, tmp_path)


def test_runs_that_cannot_be_packaged_are_refused_with_the_reason(
    trained: tuple[Workspace, RunPaths], tmp_path: Path, copied: RunPaths
) -> None:
    workspace, _ = trained
    write_json(copied.weights_deleted, {"reason": "to save room"})
    with pytest.raises(PackageError, match="its weights were deleted: to save room"):
        freeze_run(workspace, copied, tmp_path)
    copied.weights_deleted.unlink()
    write_json(copied.fingerprint, {**read_json(copied.fingerprint), "data": "other"})
    with pytest.raises(PackageError, match="its data changed since it was trained"):
        freeze_run(workspace, copied, tmp_path)
    write_json(copied.status, {"state": "KILLED"})
    with pytest.raises(PackageError, match="is not finished"):
        freeze_run(workspace, copied, tmp_path)


_OWN_MODEL = """
import json
import numpy as np
from kagglerun.hooks import CompetitionHooks
from kagglerun.models.base import FoldOutcome

class Mean:
    def fit_fold(self, context):
        mean = float(context.data.targets[context.train_rows].mean())
        context.paths.folder.mkdir(parents=True)
        (context.paths.folder / "mean.json").write_text(json.dumps(mean))
        full = lambda rows: np.full((rows, 1), mean)
        return FoldOutcome(full(len(context.valid_rows)), full(len(context.data.test)), (), 0)
{packaging}

class Hooks(CompetitionHooks):
    def model(self):
        return Mean()
"""
_PACKAGING = """
    def freeze_fold(self, context, destination):
        destination.folder.mkdir(parents=True)
        destination.preprocessing.write_text((context.paths.folder / "mean.json").read_text())

    def load_fold(self, fold):
        return Predictor(json.loads(fold.paths.preprocessing.read_text()))

class Predictor:
    views, rows_at_once = 1, 1

    def __init__(self, mean):
        self.mean = mean

    def predict(self, data, rows, view=0):
        return np.full((len(rows), 1), self.mean)
"""


@pytest.mark.long
def test_a_family_of_the_users_own_is_packaged_by_its_two_methods(workspace: Workspace, tmp_path: Path) -> None:
    data = write_table_competition(workspace, hooks=_OWN_MODEL.format(packaging=_PACKAGING))
    run = train(workspace, "tabular_boosting")
    assert freeze_run(workspace, run, tmp_path / "package").inference.same_bits
    report = predict_package(tmp_path / "package", data, tmp_path / "submission.csv")
    assert report.file.read_bytes() == submission_of(workspace, run)


def test_a_family_without_them_is_refused() -> None:
    class Mean:
        def fit_fold(self, context: FoldContext) -> FoldOutcome:
            raise AssertionError("it is only looked at")

    with pytest.raises(PackageError, match=r"Mean .* has no freeze_fold and no load_fold"):
        packaged_family(Mean(), "tabular_boosting")


@pytest.mark.long
def test_an_ensemble_is_packaged_with_its_members(workspace: Workspace, tmp_path: Path) -> None:
    data = write_table_competition(workspace)
    for kind, seed in (("tabular_boosting", 1), ("tabular_neural", 2), ("tabular_boosting", 3)):
        train(workspace, kind, seed=seed, cv={"n_splits": 3, "seed": 0})
    run = make_ensemble(workspace, "made", options=Options(method="mean")).run
    frozen = freeze_run(workspace, run, tmp_path / "package")
    assert frozen.inference.same_bits and len(frozen.inference.members) >= 2
    report = predict_package(tmp_path / "package", data, tmp_path / "submission.csv")
    assert report.complete and set(report.used) == {member.run for member in frozen.inference.members}
    assert report.file.read_bytes() == submission_of(workspace, run)
    member = workspace.run("made", frozen.inference.members[0].run)
    kept = read_predictions(member.test)
    write_predictions(member.test, replace(kept, values=np.clip(kept.values + 1e-9, 0, 1)))
    with pytest.raises(PackageError, match="no longer predict what it was made of"):
        freeze_run(workspace, run, tmp_path / "package")

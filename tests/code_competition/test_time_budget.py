"""What is done and what is left out when time is short: always a valid file, and always said."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kagglerun.code_competition.freeze import freeze_run
from kagglerun.code_competition.inference import InferenceReport, predict, predict_package
from kagglerun.code_competition.inference.budget import Budget
from kagglerun.code_competition.inference.gathered import Gathered, Unit, in_order
from kagglerun.code_competition.inference.member import Member
from kagglerun.code_competition.inference.submission_file import SubmissionFile
from kagglerun.errors import DiskFull, TrainingError
from kagglerun.experiment.predictions import read_predictions
from kagglerun.workspace import RunPaths, Workspace
from tests.code_competition.packaging_runs import join, submission_of


@dataclass
class Clock:
    """Seconds that pass when something is said to take them."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Frozen:
    """An ensemble of two runs of three folds, frozen."""

    workspace: Workspace
    data: Path
    folder: Path
    ensemble: RunPaths
    members: tuple[str, ...]


@pytest.fixture(scope="module")
def frozen(finished: tuple[Workspace, RunPaths], tmp_path_factory: pytest.TempPathFactory) -> Frozen:
    original, run = finished
    workspace = Workspace(tmp_path_factory.mktemp("workspace") / "copy")
    shutil.copytree(original.root, workspace.root)
    shutil.copytree(run.folder, workspace.run("made", "second").folder)
    ensemble = join(workspace, {run.run_id: 0.7, "second": 0.3})
    package = freeze_run(workspace, ensemble, workspace.root / "package")
    members = tuple(member.run for member in package.inference.members)
    return Frozen(workspace, workspace.competition("made").data, package.paths.folder, ensemble, members)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Stands for the time of day in a prediction; each piece of rows takes 10 seconds."""
    made, real = Clock(), Member.predict

    def slow(self: Member, *given: object) -> Iterator[tuple[slice, np.ndarray]]:
        for piece in real(self, *given):  # type: ignore[arg-type]
            made.now += 10
            yield piece

    monkeypatch.setattr(Member, "predict", slow)
    monkeypatch.setattr(predict.time, "monotonic", made)
    monkeypatch.setattr(predict, "Budget", lambda seconds: Budget(seconds, made))
    return made


def run_within(frozen: Frozen, folder: Path, seconds: float) -> InferenceReport:
    return predict_package(frozen.folder, frozen.data, folder / "submission.csv", seconds=seconds)


def written(report: InferenceReport) -> pd.Series:
    return pd.read_csv(report.file).set_index("id")["y"].sort_index()


def test_with_time_for_all_the_file_is_that_of_the_ensemble(frozen: Frozen, tmp_path: Path) -> None:
    report = run_within(frozen, tmp_path, seconds=1000)
    assert report.complete and report.used == dict.fromkeys(frozen.members, 3)
    assert report.file.read_bytes() == submission_of(frozen.workspace, frozen.ensemble)


@pytest.mark.usefixtures("clock")
def test_what_does_not_fit_is_left_out_and_said(frozen: Frozen, tmp_path: Path) -> None:
    report = run_within(frozen, tmp_path, seconds=47)
    assert report.used == {frozen.members[0]: 2, frozen.members[1]: 2}
    assert len(report.left_out) == 2 and not report.complete
    assert "fold 2 left out: it takes about 12 s, 6 s are left" in report.left_out[0]
    assert any("left out" in line for line in report.lines())


@pytest.mark.usefixtures("clock")
def test_without_time_for_a_member_the_others_weigh_more(frozen: Frozen, tmp_path: Path) -> None:
    report = run_within(frozen, tmp_path, seconds=15)
    assert report.used == {frozen.members[0]: 1}
    assert any(f"without {frozen.members[1]}" in note for note in report.notes)
    first = read_predictions(frozen.workspace.run("made", frozen.members[0]).fold(0).test)
    expected = pd.Series(first.values[:, 0], index=first.ids["id"]).sort_index()
    assert np.allclose(written(report), expected)


@pytest.mark.usefixtures("clock")
def test_without_time_for_anything_the_file_holds_the_mean_prediction_of_the_training_rows(
    frozen: Frozen, tmp_path: Path
) -> None:
    report = run_within(frozen, tmp_path, seconds=0.5)
    assert report.reached == 0 and not report.complete
    assert written(report).nunique() == 1
    assert written(report).iloc[0] == pytest.approx(read_predictions(frozen.ensemble.oof).values.mean())
    assert any("only 0 rows were reached" in line for line in report.lines())


def test_rows_that_are_not_reached_get_it_while_the_others_are_predicted(
    frozen: Frozen, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Member, "_rows_of_a_piece", lambda self, predictor: 10)
    report = run_within(frozen, tmp_path, seconds=25)
    assert report.reached == 20 and report.used == {frozen.members[0]: 1}
    assert written(report).value_counts().iloc[0] >= 11
    assert clock.now == 20


@pytest.mark.usefixtures("clock")
def test_a_member_that_fails_is_left_out_once_there_is_a_file(
    frozen: Frozen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Member.load

    def load(self: Member, fold: int) -> object:
        if self.said.run == frozen.members[1]:
            raise TrainingError("out of memory while one sample is predicted")
        return real(self, fold)

    monkeypatch.setattr(Member, "load", load)
    report = run_within(frozen, tmp_path, seconds=1000)
    assert report.used == {frozen.members[0]: 3} and len(report.left_out) == 3
    assert "it failed: out of memory" in report.left_out[0]


def test_a_file_that_cannot_be_written_again_stays_as_it_was(
    frozen: Frozen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SubmissionFile.write

    def write(self: SubmissionFile, values: np.ndarray, used: dict[str, int]) -> None:
        if self.held:
            raise DiskFull("the disk is full")
        real(self, values, used)

    monkeypatch.setattr(SubmissionFile, "write", write)
    report = run_within(frozen, tmp_path, seconds=1000)
    assert sum(report.used.values()) == 1 and not report.complete
    assert report.left_out[-1] == "the file was not written again, the earlier one stays: the disk is full"
    assert len(written(report)) == 31


def test_members_come_before_folds_and_folds_before_views() -> None:
    units = in_order([("a", (0, 1), 2), ("b", (0, 1, 2), 1)])
    assert units == [
        Unit("a", 0, 0),
        Unit("b", 0, 0),
        Unit("a", 1, 0),
        Unit("b", 1, 0),
        Unit("b", 2, 0),
        Unit("a", 0, 1),
        Unit("a", 1, 1),
    ]


def test_folds_are_added_in_the_order_of_the_run_and_views_before_them() -> None:
    numbers = np.random.default_rng(0)
    values = {(fold, view): numbers.random((5, 2)) for fold in (2, 0, 1) for view in (0, 1)}
    gathered = Gathered(lambda run, of_fold: of_fold**2, {"a": 2}, None, None)
    for fold, view in sorted(values, key=lambda key: key[1]):
        gathered.add(Unit("a", fold, view), values[fold, view])
        assert np.isfinite(gathered.result()).all()
    of_folds = [np.mean([values[fold, 0], values[fold, 1]], axis=0) ** 2 for fold in (2, 0, 1)]
    assert gathered.result().tobytes() == np.mean(of_folds, axis=0).tobytes()
    assert gathered.used == {"a": 6}


def test_writing_the_file_is_kept_free_and_done_seldom() -> None:
    clock = Clock()
    budget = Budget(100, clock)
    assert budget.left == 97 and budget.forecast("a") is None
    budget.wrote(10)
    assert budget.left == 85
    assert not budget.should_rewrite(since=100) and budget.should_rewrite(since=201)
    budget.took("a", 20)
    assert budget.forecast("a") == budget.forecast("b") == pytest.approx(23)
    clock.now = 60
    assert budget.left == 25 and budget.spent == 60
    assert Budget(None, clock).left == float("inf")

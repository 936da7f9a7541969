"""Weights of the best trials stay, those of the others go when they are told; what needs them later says so."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kagglerun.cli.main import run as kagglerun
from kagglerun.config.load import parse_config
from kagglerun.errors import DiskFull
from kagglerun.experiment.rerun.reproduce import reproduce
from kagglerun.experiment.run import resolve_config, run_experiment
from kagglerun.experiment.weights import why_no_weights
from kagglerun.files import write_json, write_text
from kagglerun.sweep.keep import BestWeights, keep_best
from kagglerun.sweep.objective import TrialScore
from kagglerun.sweep.study import StudySpec
from kagglerun.sweep.trials import Failure, Trial, failed, scored
from kagglerun.workspace import RunPaths, Workspace
from tests.experiment.made import seal, write_card
from tests.sweep.conftest import toy_config


def study(keep: int | None = 2, greater_is_better: bool = True) -> StudySpec:
    config = toy_config(keep=keep)
    return StudySpec(name="toy", slug="made", greater_is_better=greater_is_better, objective="x:Y", config=config)


def run_of(workspace: Workspace, number: int) -> RunPaths:
    return workspace.run("made", f"toy-{number:04d}")


def make_weights(workspace: Workspace, *numbers: int) -> None:
    """Runs of two folds: one that is done, with its trees beside the weights, and one under way."""
    for number in numbers:
        done, under_way = run_of(workspace, number).fold(0), run_of(workspace, number).fold(1)
        for path in (done.weights, done.oof, done.test, done.result, done.booster(0), done.folder / "memory.json"):
            write_text(path, "x", durable=False)
        write_json(done.digests, {"files": {done.booster(0).name: "0"}}, durable=False)
        write_text(under_way.checkpoints / "0001" / "weights.safetensors", "x", durable=False)


def with_weights(workspace: Workspace) -> list[int]:
    held = [path for pattern in ("weights.safetensors", "booster-*") for path in workspace.runs.rglob(pattern)]
    held += list(workspace.runs.rglob("checkpoints"))
    return sorted({int(path.relative_to(workspace.runs).parts[1][-4:]) for path in held})


def trials_of(*values: float | Failure | str | None) -> list[Trial]:
    """Values of trials; a text is where one was stopped, None one that goes on."""
    return [_trial(number, value) for number, value in enumerate(values)]


def _trial(number: int, value: float | Failure | str | None) -> Trial:
    trial = Trial(number, {})
    if value is None:
        return trial
    if isinstance(value, Failure):
        return failed(trial, value)
    score, stopped = (None, value) if isinstance(value, str) else (value, None)
    return scored(trial, TrialScore(score, (0.5,), 1.0, stopped=stopped))


FAILED = Failure("OutOfMemory", "no room")


@pytest.mark.parametrize(
    ("values", "keep", "greater_is_better", "stay"),
    [
        ((0.1, 0.4, 0.3, 0.2), 2, True, [1, 2]),
        ((0.1, 0.4, 0.3, 0.2), 2, False, [0, 3]),
        ((0.5, 0.5, 0.5), 2, True, [0, 1]),
        ((0.1, 0.2, 0.3), None, True, [0, 1, 2]),
        ((0.1, 0.2), 5, True, [0, 1]),
        ((0.3, "fold 1", FAILED, 0.2, 0.1), 2, True, [0, 3]),
        ((0.1, 0.2, None, 0.9, 0.8), 1, True, [1, 2, 3, 4]),
        ((0.1, 0.2, FAILED, FAILED), 1, True, [1, 2, 3]),
    ],
    ids=["best", "smaller", "ties", "all", "fewer", "pruned and failed", "not told", "may be tried again"],
)
def test_the_weights_of_the_best_told_trials_stay(
    workspace: Workspace,
    values: Sequence[float | Failure | str | None],
    keep: int,
    greater_is_better: bool,
    stay: object,
) -> None:
    make_weights(workspace, *range(len(values)))
    for _ in range(2):  # the second time changes nothing
        keep_best(workspace, study(keep, greater_is_better), trials_of(*values))
        assert with_weights(workspace) == stay


def test_predictions_scores_and_digests_stay(workspace: Workspace) -> None:
    make_weights(workspace, 0, 1)
    keep_best(workspace, study(1), trials_of(0.1, 0.2))
    fold = run_of(workspace, 0).fold(0)
    assert {path.name for path in fold.folder.iterdir()} == {
        "oof.parquet",
        "test.parquet",
        "result.json",
        "digests.json",
        "memory.json",
    }


def test_told_one_by_one_in_any_steps_the_same_stay(workspace: Workspace) -> None:
    chance = random.Random(0)
    values = [round(chance.random(), 3) for _ in range(40)]
    make_weights(workspace, *range(40))
    keeper, told = BestWeights(workspace, study(3)), 0
    while told < 40:
        told = min(40, told + chance.randint(1, 6))
        keeper.keep(trials_of(*values[:told], None))
        if chance.random() < 0.2:
            keeper = BestWeights(workspace, study(3))  # a coordinator that was killed
    assert with_weights(workspace) == sorted(sorted(range(40), key=lambda number: -values[number])[:3])


def test_a_run_that_never_began_is_no_error(workspace: Workspace) -> None:
    keep_best(workspace, study(1), trials_of(FAILED, 0.1, 0.2))
    assert not workspace.runs.exists()


def test_what_cannot_be_deleted_now_is_deleted_the_next_time(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_weights(workspace, 0, 1)
    keeper = BestWeights(workspace, study(1))
    with monkeypatch.context() as broken:
        broken.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(PermissionError("no")))
        keeper.keep(trials_of(0.1, 0.2))
    assert with_weights(workspace) == [0, 1]
    keeper.keep(trials_of(0.1, 0.2))
    assert with_weights(workspace) == [1]


def test_a_full_disk_keeps_no_weights_from_going(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    make_weights(workspace, 0, 1)
    with monkeypatch.context() as full:
        full.setattr("kagglerun.sweep.keep.write_json", lambda *_: (_ for _ in ()).throw(DiskFull("full")))
        keep_best(workspace, study(1), trials_of(0.1, 0.2))
    assert with_weights(workspace) == [1]


def test_it_says_why_there_are_no_weights(workspace: Workspace) -> None:
    make_weights(workspace, 0, 1, 2, 3)
    keep_best(workspace, study(1), trials_of(0.1, "fold 1: worse", FAILED, 0.2))
    told = [why_no_weights(run_of(workspace, number)) for number in range(4)]
    assert told == [
        "its weights were deleted: 1 trial is better, and sweep.keep is 1",
        "its weights were deleted: it was stopped early",
        "its weights were deleted: it failed",
        None,
    ]


@pytest.fixture
def finished(workspace: Workspace) -> RunPaths:
    """A finished run of boosted trees, as trial 0 of a study."""
    write_text(workspace.settings, "mlflow_uri: none\n")
    paths, numbers = workspace.competition("made"), np.random.default_rng(0)
    table = pd.DataFrame({"id": np.arange(60), "x": numbers.normal(size=60)})
    table["y"] = np.where(table["x"] + numbers.normal(size=60) > 0, "yes", "no")
    paths.data.mkdir(parents=True)
    table.iloc[:48].to_csv(paths.data / "train.csv", index=False)
    table.iloc[48:].drop(columns="y").to_csv(paths.data / "test.csv", index=False)
    table.iloc[48:][["id"]].assign(y="no").to_csv(paths.data / "sample_submission.csv", index=False)
    write_card(paths)
    seal(paths)
    model = {"kind": "tabular_boosting", "n_estimators": 5, "min_child_samples": 5}
    values = {"competition": "made", "model": model, "cv": {"n_splits": 2}, "training": {"cpu_threads": 1}}
    run_experiment(workspace, resolve_config(workspace, parse_config(values, "test")), "toy-0000")
    return workspace.run("made", "toy-0000")


def test_a_run_without_its_weights_is_shown_reproduced_and_read_as_before(
    workspace: Workspace, finished: RunPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_best(workspace, study(1), trials_of(0.1, 0.2))
    assert not list(finished.folder.rglob("booster-*"))
    assert kagglerun(["show", "toy-0000"]) == 0
    assert "its weights were deleted: 1 trial is better, and sweep.keep is 1" in capsys.readouterr().out
    found = reproduce(workspace, finished)
    assert found.equal and not any("files of the run" in cause for cause in found.causes)
    assert any("compared by their digests" in note for note in found.notes)
    write_json(finished.fold(0).digests, {**_digests(finished), "files": {"booster-0.txt": "other"}})
    assert "booster-0.txt" in str(reproduce(workspace, finished, [0]).first)


def _digests(run: RunPaths) -> dict[str, object]:
    from kagglerun.files import read_json

    return dict(read_json(run.fold(0).digests))

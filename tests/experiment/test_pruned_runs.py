"""Runs that a judge stops early: what stays of them, and that no kill changes where they are stopped."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping

import pytest

from kagglerun.config.load import parse_config, save_config
from kagglerun.config.schema import Config
from kagglerun.errors import ConfigError
from kagglerun.experiment.prepare import resolve_config
from kagglerun.experiment.pruned import PrunedRun, RunPruned, read_pruned
from kagglerun.experiment.rerun.nursery import Nursery
from kagglerun.experiment.run import RunStopped, run_experiment
from kagglerun.experiment.runs import list_runs
from kagglerun.files import read_json
from kagglerun.submission.select import select_best
from kagglerun.submission.send import file_of_run
from kagglerun.tracking import was_killed
from kagglerun.tracking.journal import End, Journal, Tags
from kagglerun.workspace import CompetitionPaths, Workspace
from tests.experiment import judged
from tests.experiment.judged import Judge


@pytest.fixture(autouse=True)
def without_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal is enough here."""
    monkeypatch.setenv("KAGGLERUN_MLFLOW_URI", "none")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def make_config(workspace: Workspace, kind: str = "neural", **training: object) -> Config:
    models = {
        "neural": {"kind": "tabular_neural", "width": 16, "depth": 1},
        "boosting": {"kind": "tabular_boosting", "n_estimators": 20, "min_child_samples": 5},
    }
    values = {
        "name": "made",
        "model": models[kind],
        "cv": {"n_splits": 3},
        "training": {"epochs": 4, "batch_size": 16, "cpu_threads": 1, "device": "cpu", **training},
    }
    return resolve_config(workspace, parse_config(values, "test"))


class Watcher:
    """Asks to stop at the nth question, if any."""

    def __init__(self, stop_at: int = -1) -> None:
        self._left = stop_at
        self.told: list[str] = []

    def epoch(self, fold: int, epoch: int, epochs: int, values: Mapping[str, float]) -> None:
        self.told.append(f"epoch {epoch} of {fold}")

    def fold(self, fold: int, n_folds: int, score: float) -> None:
        self.told.append(f"fold {fold}")

    def should_stop(self) -> bool:
        self._left -= 1
        return self._left == 0


def pruned(
    workspace: Workspace, config: Config, run_id: str, judge: Judge, watcher: Watcher | None = None
) -> PrunedRun:
    with pytest.raises(RunPruned) as stopped:
        run_experiment(workspace, config, run_id, judge=judge, observer=watcher)
    return stopped.value.end


def without_time(end: PrunedRun) -> tuple[object, ...]:
    return (end.reason, end.fold_scores, end.curve, end.epoch)


@pytest.mark.parametrize("kind", ["neural", "boosting"])
def test_a_run_stopped_after_a_fold_keeps_its_predictions_and_nothing_to_go_on_from(
    workspace: Workspace, competition: CompetitionPaths, kind: str
) -> None:
    whole = run_experiment(workspace, make_config(workspace, kind), "whole")
    end = pruned(workspace, make_config(workspace, kind), "stopped", Judge(folds=2))
    run = workspace.run("made", "stopped")
    assert end.fold_scores == whole.fold_scores[:2] and end.reason == "2 folds" and end.epoch is None
    assert end.curve == whole.curve and len(whole.curve) == (4 if kind == "neural" else 0)
    assert [run.fold(fold).oof.exists() for fold in range(3)] == [True, True, False]
    assert run.fold(1).oof.read_bytes() == workspace.run("made", "whole").fold(1).oof.read_bytes()
    assert not list(run.folder.glob("folds/*/checkpoints")) and not run.metrics.exists()
    assert read_json(run.status)["state"] == "PRUNED"


def test_a_run_stopped_after_an_epoch_knows_its_curve_so_far(
    workspace: Workspace, competition: CompetitionPaths
) -> None:
    whole = run_experiment(workspace, make_config(workspace), "whole")
    watcher = Watcher()
    end = pruned(workspace, make_config(workspace), "stopped", Judge(epoch=1), watcher)
    assert end.curve == whole.curve[:2] and end.fold_scores == () and end.epoch == 1
    assert watcher.told == ["epoch 0 of 0", "epoch 1 of 0"]
    assert not list(workspace.run("made", "stopped").folder.glob("folds/*/checkpoints"))


def test_the_last_fold_is_not_judged(workspace: Workspace, competition: CompetitionPaths) -> None:
    judge = Judge(folds=3)
    assert len(run_experiment(workspace, make_config(workspace, "boosting"), "whole", judge=judge).fold_scores) == 3
    assert judge.asked == ["fold 0", "fold 1"]


def test_a_stopped_run_is_not_trained_again_but_goes_on_where_nobody_judges_it(
    workspace: Workspace, competition: CompetitionPaths
) -> None:
    config = make_config(workspace)
    first = pruned(workspace, config, "one", Judge(folds=1))
    judge = Judge()
    assert pruned(workspace, config, "one", judge) == first and judge.asked == []
    result = run_experiment(workspace, config, "one")
    assert result == run_experiment(workspace, config, "one", judge=Judge(folds=1))
    assert result.fold_scores == run_experiment(workspace, config, "whole").fold_scores
    assert read_json(workspace.run("made", "one").status)["state"] == "FINISHED"


@pytest.mark.parametrize("stop_at", [3, 20])
def test_a_run_that_was_interrupted_is_stopped_at_the_same_point(
    workspace: Workspace, competition: CompetitionPaths, stop_at: int
) -> None:
    config = make_config(workspace)
    for judge in ({"epoch": 3}, {"folds": 2}):
        whole = pruned(workspace, config, f"whole-{len(judge)}-{next(iter(judge))}", Judge(**judge))
        run_id = f"interrupted-{next(iter(judge))}"
        try:
            run_experiment(workspace, config, run_id, judge=Judge(**judge), observer=Watcher(stop_at))
        except RunStopped:
            assert read_json(workspace.run("made", run_id).status)["state"] == "KILLED"
        except RunPruned:
            assert stop_at > 10
        assert without_time(pruned(workspace, config, run_id, Judge(**judge))) == without_time(whole)


def test_epochs_saved_but_never_told_are_judged_when_the_run_goes_on(
    workspace: Workspace, competition: CompetitionPaths
) -> None:
    """So it is where a process of its own trains the fold and is ahead of the one that judges."""
    config = make_config(workspace)
    whole = pruned(workspace, config, "whole", Judge(epoch=1))
    with pytest.raises(RunStopped):
        run_experiment(workspace, config, "ahead", observer=Watcher(8))
    watcher = Watcher()
    assert without_time(pruned(workspace, config, "ahead", Judge(epoch=1), watcher)) == without_time(whole)
    assert watcher.told == []
    run_experiment(workspace, config, "done")
    done = workspace.run("made", "done")
    for path in (done.metrics, done.fold(1).result):
        path.unlink()
    assert without_time(pruned(workspace, config, "done", Judge(epoch=1))) == without_time(whole)


def test_the_tracker_and_the_tables_say_that_it_was_stopped(
    workspace: Workspace, competition: CompetitionPaths
) -> None:
    run_experiment(workspace, make_config(workspace, "boosting", epochs=5), "whole")
    end = pruned(workspace, make_config(workspace, "boosting"), "stopped", Judge(folds=2))
    run = workspace.run("made", "stopped")
    bodies = [entry.body for entry in Journal(run.journal).read()]
    assert bodies[-2:] == [Tags({"kagglerun.pruned": "2 folds"}), End("KILLED")]
    assert not was_killed(run)
    summary = next(each for each in list_runs(workspace) if each.run_id == "stopped")
    assert (summary.state, summary.stopped, summary.score) == ("PRUNED", "2 folds", None)
    assert summary.fold_scores == end.fold_scores
    selection = select_best(workspace, "made")
    assert selection.run.run_id == "whole" and selection.left_out == ("1 pruned",)


def test_a_stopped_run_is_never_best_and_cannot_be_sent(workspace: Workspace, competition: CompetitionPaths) -> None:
    pruned(workspace, make_config(workspace, "boosting"), "stopped", Judge(folds=2))
    with pytest.raises(ConfigError, match=r"no finished run \(1 pruned\)"):
        select_best(workspace, "made")
    with pytest.raises(ConfigError, match=r"stopped was stopped early \(2 folds\), so it has no test pred") as refused:
        file_of_run(workspace.run("made", "stopped"), competition, None)  # type: ignore[arg-type]
    assert "kagglerun submit best" in str(refused.value.hint)


@pytest.mark.long
def test_a_team_of_processes_is_stopped_as_one_process_is(workspace: Workspace, competition: CompetitionPaths) -> None:
    import psutil

    before = psutil.Process().children()
    config = make_config(workspace, gpus=2, batch_size=8)
    after_epoch = pruned(workspace, config, "epoch", Judge(epoch=1))
    assert len(after_epoch.curve) == 2 and after_epoch.fold_scores == ()
    assert not list(workspace.run("made", "epoch").folder.glob("folds/*/checkpoints"))
    after_fold = pruned(workspace, config, "epoch-2", Judge(folds=1))
    assert len(after_fold.fold_scores) == 1 and after_fold.curve[:2] == after_epoch.curve
    assert psutil.Process().children() == before


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery(modules=("tests.experiment.judged", "kagglerun.models.tabular_neural")) as born:
        yield born


@pytest.mark.parametrize("trap", judged.TRAPS)
def test_killed_between_the_decision_and_its_end_it_is_the_same_run(
    workspace: Workspace, competition: CompetitionPaths, nursery: Nursery, trap: str
) -> None:
    config = make_config(workspace)
    save_config(workspace.sweeps / "judged.yaml", config)
    child = nursery.start("tests.experiment.judged:attempt", [str(workspace.root), "killed", trap])
    assert child.wait(120) == -signal.SIGKILL
    run = workspace.run("made", "killed")
    decided = read_pruned(run)
    assert (decided is None) == (trap == "before the decision is written")
    end = pruned(workspace, config, "killed", Judge(folds=1))
    assert decided in (None, end)
    assert (end.reason, len(end.fold_scores), len(end.curve)) == ("1 folds", 1, 4)
    assert read_json(run.status)["state"] == "PRUNED"
    assert Journal(run.journal).state() == "KILLED"

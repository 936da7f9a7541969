"""Whole sweeps whose trials are stopped early: real runs, in this process and in real workers that are killed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from kagglerun.config.load import parse_config
from kagglerun.config.schema import Config
from kagglerun.errors import DataError
from kagglerun.experiment.prepare import prepare
from kagglerun.experiment.run import run_experiment
from kagglerun.files import read_json
from kagglerun.submission.select import select_best
from kagglerun.sweep import coordinator
from kagglerun.sweep.coordinator import run_study
from kagglerun.sweep.dispatch import End
from kagglerun.sweep.objective import Experiment, TrialTask
from kagglerun.sweep.pruning.judge import RuleJudge
from kagglerun.sweep.pruning.rule import Cutoff, StopRule
from kagglerun.sweep.pruning.sequential import errors_spent
from kagglerun.sweep.study import prepare_study
from kagglerun.sweep.trials import Trial, TrialState, best_trial, read_trials
from kagglerun.sweep.worker_process import task_from_json, task_to_json
from kagglerun.sweep.workers import Event, TrialDone
from kagglerun.workspace import CompetitionPaths, Workspace
from tests.experiment.conftest import competition
from tests.sweep.test_sweep_coordinator import Listener

__all__ = ["competition"]

LAG = 2


@pytest.fixture(autouse=True)
def without_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal is enough here."""
    monkeypatch.setenv("KAGGLERUN_MLFLOW_URI", "none")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the time would go to them."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda _, path, **__: Path(path).write_bytes(b"a picture"))


def make_config(name: str, kind: str = "tabular_neural", **sweep: Any) -> Config:
    """Most learning rates of its range are hopeless."""
    models = {
        "tabular_neural": {"width": 16, "depth": 1},
        "tabular_boosting": {"n_estimators": 20, "min_child_samples": 5},
    }
    values = {
        "name": name,
        "seed": 3,
        "model": {"kind": kind, **models[kind]},
        "cv": {"n_splits": 3},
        "training": {"epochs": 4, "batch_size": 16, "cpu_threads": 1, "device": "cpu"},
        "optimizer": {"lr": 0.02},
        "sweep": {
            "trials": 7,
            "lag": LAG,
            "sampler": "random",
            "search": {"optimizer.lr": {"low": 1e-6, "high": 1e-1, "log": True}},
            **sweep,
        },
    }
    return parse_config(values, "the test's config")


class Silent:
    """Watches nothing."""

    def epoch(self, fold: int, epoch: int, epochs: int, values: Mapping[str, float]) -> None: ...

    def fold(self, fold: int, n_folds: int, score: float) -> None: ...

    def should_stop(self) -> bool:
        return False


class InlineWorkers:
    """Executes trials in this process, one after another."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._tasks: list[TrialTask] = []

    @property
    def free(self) -> int:
        return 1 - len(self._tasks)

    def submit(self, task: TrialTask) -> None:
        self._tasks.append(task_from_json(json.loads(json.dumps(task_to_json(task)))))

    def wait(self, seconds: float) -> Sequence[Event]:
        task = self._tasks.pop()
        return [TrialDone(task.number, Experiment().run(self._workspace, task, Silent()))]

    def ask_to_stop(self) -> None: ...

    def close(self) -> None: ...


def sweep_inline(workspace: Workspace, config: Config, monkeypatch: pytest.MonkeyPatch) -> list[Trial]:
    with monkeypatch.context() as patched:
        patched.setattr(coordinator, "make_workers", lambda *_: InlineWorkers(workspace))
        return sweep(workspace, config, Listener())


def sweep(workspace: Workspace, config: Config, listener: Listener) -> list[Trial]:
    paths, _ = prepare_study(workspace, config)
    assert run_study(workspace, paths, listener) is End.DONE
    return read_trials(paths)


def study_of(trials: Sequence[Trial]) -> list[tuple[Any, ...]]:
    return [(t.params, t.state, t.value, t.fold_scores, t.curve, t.stopped) for t in trials]


class WorkerKiller(Listener):
    """Kills a worker with SIGKILL when its trial has begun."""

    def __init__(self) -> None:
        super().__init__()
        self.kills = 0

    def progress(self, text: str, numbers: Mapping[str, Any]) -> None:
        super().progress(text, numbers)
        if not self.kills and "fold" in text:
            self.kills += 1
            workers = (p for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE)
            next(p for p in workers if "kagglerun.sweep.local_workers" in p.cmdline()).kill()


@pytest.mark.long
def test_hopeless_trials_are_stopped_the_same_by_two_workers_of_which_one_is_killed(
    workspace: Workspace, competition: CompetitionPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = sweep_inline(workspace, make_config("one"), monkeypatch)
    stopped = [trial for trial in one if trial.state is TrialState.PRUNED]
    assert len(stopped) >= 2 and all(trial.value is None and trial.stopped for trial in stopped)
    killer = WorkerKiller()
    two = sweep(workspace, make_config("one", workers=2).model_copy(update={"name": "two"}), killer)
    assert killer.kills == 1 and any("its worker was lost" in line for line in killer.lines)
    renamed = [(*each[:-1], each[-1] and each[-1].replace("made-two-", "made-one-")) for each in study_of(two)]
    assert renamed == study_of(one)
    best = best_trial(one, True)
    assert best is not None and select_best(workspace, "made").run.score == best.value


@pytest.mark.long
def test_pruning_saves_fold_fits_and_keeps_the_best_of_the_same_proposals(
    workspace: Workspace, competition: CompetitionPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sweep_inline(workspace, make_config("whole", prune="none"), monkeypatch)
    for method in ("paired", "halving"):
        some = sweep_inline(workspace, make_config(method, prune={"method": method, "eta": 2}), monkeypatch)
        assert [trial.params for trial in some] == [trial.params for trial in whole]
        assert sum(len(trial.fold_scores) for trial in some) < sum(len(trial.fold_scores) for trial in whole)
        for trial, same in zip(some, whole, strict=True):
            assert trial.fold_scores == same.fold_scores[: len(trial.fold_scores)]
            assert trial.value in (None, same.value)
    assert all(trial.state is TrialState.COMPLETE for trial in whole)


def test_the_reason_names_rival_difference_and_place(workspace: Workspace, competition: CompetitionPaths) -> None:
    good, bad = (make_config("one").model_copy(update={"competition": "made"}) for _ in range(2))
    good = Experiment().resolve(workspace, good)
    bad = good.model_copy(update={"optimizer": good.optimizer.model_copy(update={"lr": 1e-6})})
    run_experiment(workspace, good, "good")
    rule = StopRule(rival="good", errors=errors_spent(3, 0.05))
    score = Experiment().run(workspace, TrialTask(1, "bad", bad, None, {}, rule), Silent())
    assert score.value is None and score.stopped is not None
    assert score.stopped.startswith("after 1 of 3 folds: worse than good by 0.") and "p = " in score.stopped
    again = Experiment().run(workspace, TrialTask(1, "bad", bad, None, {}, rule), Silent())
    assert again == score
    itself = Experiment().run(workspace, TrialTask(2, "twin", good, None, {}, rule), Silent())
    assert itself.stopped is None and itself.value is not None
    late = StopRule(cutoffs=(Cutoff(0, 2, 2.0, "nothing rises so far"),))
    score = Experiment().run(workspace, TrialTask(3, "late", good, None, {}, late), Silent())
    assert score.stopped == (
        f"after epoch 3 of its first fold: its score is {itself.curve[2]:.5g}, and to go on it needs 2; "
        "nothing rises so far"
    )
    assert score.curve == itself.curve[:3] and score.fold_scores == ()


def test_a_rival_that_is_gone_is_an_error_and_one_of_other_folds_no_rival(
    workspace: Workspace, competition: CompetitionPaths
) -> None:
    config = Experiment().resolve(
        workspace, make_config("one", "tabular_boosting").model_copy(update={"competition": "made"})
    )
    run_experiment(workspace, config, "good")
    rule = StopRule(rival="good", errors=(0.4, 0.4))
    paths = workspace.run("made", "other")
    other = config.model_copy(update={"cv": config.cv.model_copy(update={"seed": 9})})
    run_experiment(workspace, other, "other")
    judge = RuleJudge(workspace, rule)
    scores = tuple(read_json(paths.fold(fold).result)["score"] for fold in (0, 1))
    assert judge.after_fold(prepare(workspace, other), paths, (0, 1), scores) is None
    with pytest.raises(DataError, match="the run nobody is gone, with which this trial is compared"):
        gone = RuleJudge(workspace, StopRule(rival="nobody", errors=(0.4, 0.4)))
        gone.after_fold(prepare(workspace, config), workspace.run("made", "good"), (0,), scores[:1])

"""Folds in processes of their own, and folds trained by several processes: the same results, and clear ends."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping

import psutil
import pytest

from kagglerun.config.load import parse_config
from kagglerun.config.schema import Config
from kagglerun.errors import ConfigError, NonFiniteLoss, TrainingError
from kagglerun.experiment.fold import run_fold
from kagglerun.experiment.parallel.fold_processes import OutOfMemory
from kagglerun.experiment.parallel.parallel_folds import _until_it_fits
from kagglerun.experiment.prepare import prepare, resolve_config
from kagglerun.experiment.run import run_experiment
from kagglerun.workspace import CompetitionPaths, RunPaths, Workspace
from tests.fake_nvml import Gpu, fake_nvml

pytestmark = pytest.mark.long


@pytest.fixture(autouse=True)
def without_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal is enough here."""
    monkeypatch.setenv("KAGGLERUN_MLFLOW_URI", "none")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def make_config(workspace: Workspace, **training: object) -> Config:
    values = {
        "name": "made",
        "model": {"kind": "tabular_neural", "width": 16, "depth": 1},
        "cv": {"n_splits": 3},
        "training": {"epochs": 3, "batch_size": 16, "cpu_threads": 1, "device": "cpu", **training},
    }
    return resolve_config(workspace, parse_config(values, "test"))


class Watcher:
    """Does something at the first epoch that it is told of."""

    def __init__(self, at_first_epoch: Callable[[], object] = lambda: None) -> None:
        self._at_first_epoch, self.epochs = at_first_epoch, 0
        self.folds: list[int] = []

    def epoch(self, fold: int, epoch: int, epochs: int, values: Mapping[str, float]) -> None:
        self.epochs += 1
        if self.epochs == 1:
            self._at_first_epoch()

    def fold(self, fold: int, n_folds: int, score: float) -> None:
        self.folds.append(fold)

    def should_stop(self) -> bool:
        return False


def files_of(paths: RunPaths) -> list[bytes]:
    """All that the folds gave, and what the run made of it."""
    folds = [paths.fold(fold) for fold in range(3)]
    return [path.read_bytes() for fold in folds for path in (fold.oof, fold.test, fold.weights)] + [
        paths.oof.read_bytes(),
        paths.test.read_bytes(),
    ]


def state_of(paths: RunPaths) -> str:
    return str(json.loads(paths.status.read_text())["state"])


def kill_a_worker() -> None:
    """SIGKILL the last of the processes that train: with torchrun one of its ranks."""
    workers = [
        p
        for p in psutil.Process().children(recursive=True)
        if p.status() != psutil.STATUS_ZOMBIE and "kagglerun.experiment.parallel.fold_worker" in p.cmdline()
    ]
    [p for p in workers if "kagglerun.experiment.parallel.torchrun" not in p.cmdline()][-1].kill()


def test_one_process_a_process_for_each_fold_and_another_order_give_the_same_bytes(
    workspace: Workspace, competition: CompetitionPaths
) -> None:
    config = make_config(workspace)
    run_experiment(workspace, config, "one")
    watcher = Watcher()
    run_experiment(workspace, config, "many", observer=watcher, processes=2)
    assert files_of(workspace.run("made", "one")) == files_of(workspace.run("made", "many"))
    assert sorted(watcher.folds) == [0, 1, 2] and watcher.epochs == 9
    prepared, backwards = prepare(workspace, config), workspace.run("made", "backwards")
    for fold in (2, 1, 0):
        run_fold(prepared, fold, backwards.fold(fold), lambda *_: None, lambda _: False)
    for fold in range(3):
        mine, theirs = backwards.fold(fold), workspace.run("made", "one").fold(fold)
        assert mine.weights.read_bytes() == theirs.weights.read_bytes()
        assert mine.oof.read_bytes() == theirs.oof.read_bytes()


def test_a_fold_whose_process_dies_goes_on_to_the_same_bytes(
    workspace: Workspace, competition: CompetitionPaths
) -> None:
    before = psutil.Process().children()
    config = make_config(workspace, epochs=60, checkpoint_seconds=0.05)
    run_experiment(workspace, config, "one")
    broken = workspace.run("made", "broken")
    with pytest.raises(TrainingError, match=r"the process of fold \d was lost: killed by SIGKILL"):
        run_experiment(workspace, config, "broken", observer=Watcher(kill_a_worker), processes=2)
    assert state_of(broken) == "FAILED" and not broken.metrics.exists()
    assert psutil.Process().children() == before
    run_experiment(workspace, config, "broken")
    assert files_of(broken) == files_of(workspace.run("made", "one"))


def test_an_error_in_a_process_of_a_team_ends_the_run_with_its_own_words(
    workspace: Workspace, competition: CompetitionPaths, capfd: pytest.CaptureFixture[str]
) -> None:
    config = make_config(workspace, gpus=2, batch_size=8)
    bad = config.model_copy(
        update={
            "optimizer": config.optimizer.model_copy(update={"lr": 1e30, "name": "sgd"}),
            "schedule": config.schedule.model_copy(update={"name": "constant"}),
        }
    )
    with pytest.raises(NonFiniteLoss, match=r"fold 0, process \d of 2: the loss is"):
        run_experiment(workspace, bad, "bad")
    assert state_of(workspace.run("made", "bad")) == "FAILED"
    assert capfd.readouterr().err == ""


def test_a_team_that_loses_a_process_says_which(workspace: Workspace, competition: CompetitionPaths) -> None:
    before = psutil.Process().children()
    config = make_config(workspace, gpus=2, batch_size=8, epochs=40)
    with pytest.raises(TrainingError, match=r"process \d of 2 that train fold 0 was lost: killed by SIGKILL"):
        run_experiment(workspace, config, "team", observer=Watcher(kill_a_worker))
    assert psutil.Process().children() == before


def test_memory_that_runs_out_again_and_again_ends_with_the_error() -> None:
    tries: list[list[int]] = []

    def train(folds: list[int]) -> None:
        tries.append(folds)
        if len(tries) < 3:
            raise OutOfMemory("full")

    _until_it_fits(train, lambda: [0, 1])
    assert tries == [[0, 1]] * 3

    def never(folds: list[int]) -> None:
        raise OutOfMemory("full")

    with pytest.raises(OutOfMemory):
        _until_it_fits(never, lambda: [0])


def test_several_slices_of_a_gpu_cannot_train_one_fold(
    workspace: Workspace, competition: CompetitionPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = Gpu("GPU-cut", slices=[Gpu("MIG-1", free=20, total=20), Gpu("MIG-2", free=20, total=20)])
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(cut))
    with pytest.raises(ConfigError, match=r"training\.gpus is 2, but GPUs here are cut into slices \(MIG\)") as refused:
        make_config(workspace, gpus=2, device="auto")
    assert "sweep.workers=auto" in str(refused.value.hint)


def test_more_gpus_than_there_are_and_models_that_cannot_share_are_refused(
    workspace: Workspace, competition: CompetitionPaths
) -> None:
    with pytest.raises(ConfigError, match=r"training\.gpus is 60, but this machine shows \d+ GPU"):
        make_config(workspace, gpus=60, device="auto")
    boosting = {"model": {"kind": "tabular_boosting"}, "training": {"gpus": 2, "device": "cpu"}}
    with pytest.raises(ConfigError, match="trains in one process"):
        resolve_config(workspace, parse_config(boosting, "test"))

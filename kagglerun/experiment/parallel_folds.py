"""Training the folds of a run in other processes, as the run sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from kagglerun.config.schema import Config
from kagglerun.errors import ConfigError
from kagglerun.experiment.fold import FoldResult, read_fold
from kagglerun.experiment.fold_processes import FoldProcesses, OutOfMemory
from kagglerun.jobs.child import visible_devices
from kagglerun.workspace import RunPaths, Workspace

if TYPE_CHECKING:
    from kagglerun.experiment.run import RunObserver
    from kagglerun.tracking import Tracker

_MOST_RESTARTS = 16
_FOLDS_ON_A_CPU = 2


def fold_processes_for(config: Config, cores: int) -> int:
    """How many folds are trained at once where the user does not say it: one a GPU, on a CPU two or more.

    Args:
        config: the resolved config.
        cores: of this machine.
    """
    gpus = len(visible_devices()) if config.training.device != "cpu" else 0
    if gpus and torch.cuda.is_available():
        return gpus
    return max(_FOLDS_ON_A_CPU, cores // (config.training.cpu_threads or 1))


def require_gpus(config: Config) -> None:
    """Check that `training.gpus` processes can be had.

    Raises:
        ConfigError: they cannot.
    """
    training, wanted = config.training, config.training.gpus
    if wanted == 1:
        return
    if config.model.kind == "tabular_boosting":
        raise ConfigError(
            f"training.gpus is {wanted}, but model.kind 'tabular_boosting' trains in one process",
            hint="training.gpus=1; folds side by side: kagglerun train ... --folds-parallel",
        )
    found = torch.cuda.device_count() if training.device != "cpu" else wanted
    if found < wanted:
        raise ConfigError(
            f"training.gpus is {wanted}, but this machine shows {found} GPU{'s' * (found != 1)}",
            hint=f"training.gpus={max(1, found)}; {wanted} processes on the CPU: training.device=cpu",
        )


def train_in_processes(
    workspace: Workspace,
    paths: RunPaths,
    config: Config,
    folds: Sequence[int],
    tracker: Tracker,
    watcher: RunObserver,
    epochs: int,
    count: int,
) -> list[FoldResult]:
    """Train the folds that are not done, and read them all.

    Args:
        workspace: where the run is.
        paths: the run.
        config: its config.
        folds: the folds it is made of.
        tracker: is told what one process would tell it.
        watcher: likewise, and may stop the run.
        epochs: epochs, or the most trees, of a fold.
        count: folds at the same time.

    Raises:
        kagglerun.training.loop.Stopped: the watcher stopped it.
        KagglerunError: a fold failed.
    """

    def epoch(fold: int, step: int, values: dict[str, float]) -> None:
        tracker.log({f"fold{fold}/{name}": value for name, value in values.items()}, step)
        watcher.epoch(fold, step, epochs, values)

    def done(fold: int) -> None:
        score = read_fold(paths.fold(fold)).score
        tracker.log({"fold_score": score}, fold)
        watcher.fold(fold, len(folds), score)

    require_gpus(config)
    for fold in _done(paths, folds):
        done(fold)
    _until_it_fits(
        lambda left: FoldProcesses(workspace, paths, config, count).train(left, epoch, done, watcher.should_stop),
        lambda: [fold for fold in folds if fold not in _done(paths, folds)],
    )
    return [read_fold(paths.fold(fold)) for fold in folds]


def _done(paths: RunPaths, folds: Sequence[int]) -> list[int]:
    return [fold for fold in folds if paths.fold(fold).result.exists()]


def _until_it_fits(train: Callable[[list[int]], None], left: Callable[[], list[int]]) -> None:
    """Start again after an out-of-memory error of a team, whose next start halves its forward passes."""
    for _ in range(_MOST_RESTARTS):
        try:
            return train(left())
        except OutOfMemory as error:
            last = error
    raise last

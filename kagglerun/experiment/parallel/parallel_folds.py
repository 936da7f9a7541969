"""Training the folds of a run in other processes, as the run sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from kagglerun.config.schema import Config
from kagglerun.experiment.fold import FoldResult, read_fold
from kagglerun.experiment.parallel.fold_processes import FoldProcesses, OutOfMemory
from kagglerun.experiment.parallel.gpus import require_gpus
from kagglerun.workspace import RunPaths, Workspace

if TYPE_CHECKING:
    from kagglerun.experiment.run import RunObserver
    from kagglerun.tracking import Tracker

_MOST_RESTARTS = 16


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

"""Runs that are stopped before they have all their folds, because a judge finds them hopeless.

The judge is asked after each epoch of the first fold and after each fold. What it decides is written before
anything acts on it, and it looks at nothing but what is saved; so a run that is killed at any moment and started
again is stopped at the same point, for the same reason.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from kagglerun.experiment.prepare import Prepared
from kagglerun.files import read_json, write_json
from kagglerun.tracking import Tracker
from kagglerun.training.checkpoint import Checkpoints
from kagglerun.workspace import RunPaths

if TYPE_CHECKING:
    from kagglerun.experiment.run import RunObserver

_SCORE = "valid_score"
"""What the curves of models with epochs call the metric."""
_TAG = "kagglerun.pruned"


@dataclass(frozen=True)
class PrunedRun:
    """Where and why a run was stopped early.

    Attributes:
        reason: in a line, for people.
        fold_scores: the metric of each fold that counts, in the order of the run's folds.
        curve: validation score after each epoch of the first fold up to the stop; None where it is not a finite
            number; empty for models without epochs.
        epoch: epoch of the first fold after which it was stopped, counted from 0; None: after a fold.
        seconds: time spent on it.
    """

    reason: str
    fold_scores: tuple[float, ...]
    curve: tuple[float | None, ...]
    epoch: int | None
    seconds: float


class RunPruned(Exception):
    """The run was stopped early by its judge; `end` says where and why."""

    def __init__(self, end: PrunedRun) -> None:
        super().__init__(end.reason)
        self.end = end


class RunJudge(Protocol):
    """Says whether a run is worth going on with; the same answer whenever it is asked."""

    @property
    def watches_epochs(self) -> bool:
        """Whether `after_epoch` ever stops a run."""

    def after_epoch(self, epoch: int, score: float) -> str | None:
        """After an epoch of the first fold, counted from 0: why the run is to be stopped, or None."""

    def after_fold(
        self, prepared: Prepared, paths: RunPaths, folds: Sequence[int], scores: Sequence[float]
    ) -> str | None:
        """After a fold that is not the last one: why the run is to be stopped, or None.

        Args:
            prepared: what the folds share.
            paths: the run, with the predictions of these folds.
            folds: those done so far, in the run's order.
            scores: the metric of each.
        """


def read_pruned(paths: RunPaths) -> PrunedRun | None:
    """Where and why a run was stopped early; None for one that was not."""
    if not paths.pruned.exists():
        return None
    saved: dict[str, Any] = read_json(paths.pruned)
    return PrunedRun(**{**saved, "fold_scores": tuple(saved["fold_scores"]), "curve": tuple(saved["curve"])})


def put_away(paths: RunPaths, folds: Sequence[int], tracker: Tracker, end: PrunedRun) -> None:
    """Remove the checkpoints of a run that was stopped early, and tell its tracker; predictions of folds stay.

    Doing so twice changes nothing.

    Args:
        paths: the run.
        folds: the folds that it would have had.
        tracker: its tracker, which ends.
        end: why it was stopped.
    """
    for fold in folds:
        Checkpoints(paths.fold(fold).checkpoints).delete()
    tracker.tag({_TAG: end.reason})
    # MLflow has no state of its own for it; KILLED tells it apart in the table of runs.
    tracker.end("KILLED")


def curve_of(history: Sequence[Mapping[str, float]]) -> tuple[float, ...]:
    """Validation score after each epoch, from a fold's history; empty for models without epochs."""
    return tuple(values[_SCORE] for values in history if _SCORE in values)


class JudgedObserver:
    """Passes on what a run tells its observer, and ends the run where the judge says so.

    Args:
        observer: the run's own.
        judge: is asked.
        prepared: what the run's folds share.
        paths: the run.
    """

    def __init__(self, observer: RunObserver, judge: RunJudge, prepared: Prepared, paths: RunPaths) -> None:
        self._observer, self._judge, self._prepared, self._paths = observer, judge, prepared, paths
        self._folds = prepared.chosen_folds
        self._curve: dict[int, float] = {}
        self._done: set[int] = set()
        self._scores: list[float] = []
        self._seconds = 0.0
        self._began = time.monotonic()

    def take_up(self) -> None:
        """Judge the epochs that an interrupted attempt saved in a checkpoint: nobody will tell of them again.

        Raises:
            RunPruned: the judge stops the run.
            CheckpointUnreadable: the checkpoint is damaged.
        """
        fold = self._paths.fold(self._folds[0])
        if not self._judge.watches_epochs or fold.result.exists():
            return
        saved = Checkpoints(fold.checkpoints, writes=False).load()
        for epoch, values in enumerate(saved.rest["history"] if saved else ()):
            self._judge_epoch(epoch, values)

    def epoch(self, fold: int, epoch: int, epochs: int, values: Mapping[str, float]) -> None:
        """Pass it on, and judge it."""
        self._observer.epoch(fold, epoch, epochs, values)
        if fold == self._folds[0]:
            self._judge_epoch(epoch, values)

    def fold(self, fold: int, n_folds: int, score: float) -> None:
        """Pass it on, and judge all folds that are done without a gap before them."""
        self._observer.fold(fold, n_folds, score)
        self._done.add(fold)
        while len(self._scores) < len(self._folds) and self._folds[len(self._scores)] in self._done:
            self._judge_fold(len(self._scores))

    def should_stop(self) -> bool:
        """What the observer says."""
        return self._observer.should_stop()

    def _judge_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        if _SCORE not in values:
            return
        self._curve[epoch] = values[_SCORE]
        reason = self._judge.after_epoch(epoch, values[_SCORE])
        if reason is not None:
            self._stop(reason, (), epoch)

    def _judge_fold(self, position: int) -> None:
        saved = read_json(self._paths.fold(self._folds[position]).result)
        if position == 0:
            # Again, since its epochs are not told where the fold is read back.
            self._curve.clear()
            for epoch, values in enumerate(saved["history"]):
                self._judge_epoch(epoch, values)
        self._scores.append(saved["score"])
        self._seconds += saved["seconds"]
        if position + 1 < len(self._folds):
            done = self._folds[: position + 1]
            reason = self._judge.after_fold(self._prepared, self._paths, done, tuple(self._scores))
            if reason is not None:
                self._stop(reason, tuple(self._scores), None)

    def _stop(self, reason: str, scores: tuple[float, ...], epoch: int | None) -> None:
        """Write the decision, then act on it."""
        curve = [score for step, score in sorted(self._curve.items()) if epoch is None or step <= epoch]
        end = PrunedRun(
            reason=reason,
            fold_scores=scores,
            curve=tuple(score if math.isfinite(score) else None for score in curve),
            epoch=epoch,
            seconds=self._seconds if epoch is None else time.monotonic() - self._began,
        )
        write_json(self._paths.pruned, asdict(end))
        raise RunPruned(end)

"""Whose weights stay: the best trials' of a study. Predictions, scores and digests of every trial stay.

A trial is looked at when it is told, that is when it and all before it have ended; so which weights are there does
not depend on timing, and after a kill the next start deletes what was left.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Sequence
from heapq import nsmallest
from pathlib import Path

from kagglerun.errors import DiskFull
from kagglerun.files import read_json, write_json
from kagglerun.sweep.study import StudySpec
from kagglerun.sweep.trials import Trial, TrialState, told, trailing_failures
from kagglerun.workspace import FoldPaths, RunPaths, Workspace


def keep_best(workspace: Workspace, spec: StudySpec, trials: Sequence[Trial]) -> None:
    """Delete weights and checkpoints of all told trials but the best `sweep.keep` complete ones.

    Args:
        workspace: where the runs are.
        spec: the study.
        trials: all trials so far, in order.
    """
    BestWeights(workspace, spec).keep(trials)


class BestWeights:
    """`keep_best` for one study again and again: a run whose weights are gone is not looked at twice."""

    def __init__(self, workspace: Workspace, spec: StudySpec) -> None:
        self._workspace, self._spec = workspace, spec
        self._done: set[int] = set()

    def keep(self, trials: Sequence[Trial]) -> None:
        """See `keep_best`. What cannot be deleted now is tried again the next time."""
        if self._spec.config.sweep.keep is None:
            return
        known = told(trials)
        stay = {trial.number for trial in (*self._best(known), *trailing_failures(known))}
        for trial in known:
            if trial.number not in stay and trial.number not in self._done:
                with contextlib.suppress(OSError):
                    self._delete(trial)
                    self._done.add(trial.number)

    def _best(self, known: Sequence[Trial]) -> list[Trial]:
        """The best complete trials; of equal ones the first. Failures at the end are tried again, and stay too."""
        sign = -1.0 if self._spec.greater_is_better else 1.0
        complete = [trial for trial in known if trial.state is TrialState.COMPLETE]
        count = self._spec.config.sweep.keep or 0
        return nsmallest(count, complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number))

    def _delete(self, trial: Trial) -> None:
        run = self._workspace.run(self._spec.slug, self._spec.run_id(trial.number))
        held = [fold for fold in run.all_folds() if _holds_weights(fold)]
        if not held:
            return
        # Written first, so that weights that are missing are never a riddle; on a full disk afterwards.
        with contextlib.suppress(DiskFull):
            self._explain(run, trial)
        for fold in held:
            _delete_weights(fold)
        if not run.weights_deleted.exists():
            with contextlib.suppress(DiskFull):
                self._explain(run, trial)

    def _explain(self, run: RunPaths, trial: Trial) -> None:
        keep = self._spec.config.sweep.keep
        why = {
            TrialState.PRUNED: "it was stopped early",
            TrialState.FAIL: "it failed",
        }.get(trial.state, f"{keep} trial{'s are' if keep != 1 else ' is'} better, and sweep.keep is {keep}")
        write_json(run.weights_deleted, {"study": self._spec.name, "reason": why, "time": time.time()})


def _holds_weights(fold: FoldPaths) -> bool:
    return fold.checkpoints.is_dir() or any(path.exists() for path in fold.model_files(_other_files(fold)))


def _delete_weights(fold: FoldPaths) -> None:
    # Checkpoints first: they are the larger part, and without weights nobody goes on from them.
    if fold.checkpoints.is_dir():
        shutil.rmtree(fold.checkpoints)
    for path in fold.model_files(_other_files(fold)):
        path.unlink(missing_ok=True)


def _other_files(fold: FoldPaths) -> list[str]:
    """Names of what the model left beside its weights, e.g. its trees, as the fold wrote them down."""
    if not fold.digests.exists():
        return []
    return [Path(name).name for name in read_json(fold.digests)["files"]]

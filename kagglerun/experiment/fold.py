"""One fold of a run: trained once, then read back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kagglerun.errors import ConfigError
from kagglerun.experiment.predictions import Predictions, names_of, read_predictions, write_predictions
from kagglerun.experiment.prepare import Prepared
from kagglerun.experiment.rerun.digests import take_digests
from kagglerun.files import read_json, write_json
from kagglerun.models.base import FoldContext, FoldOutcome
from kagglerun.training.checkpoint import Checkpoints
from kagglerun.training.distributed import current_team
from kagglerun.workspace import FoldPaths

Report = Callable[[int, dict[str, float]], None]
ShouldStop = Callable[[dict[str, float]], bool]


@dataclass(frozen=True)
class FoldResult:
    """A finished fold.

    Attributes:
        fold: its number.
        score: the metric over its validation rows.
        seconds: time it took, all attempts together not counted: the last one only.
        best_step: epoch or tree that was kept.
        history: one dict of values an epoch or tree.
        importances: feature to gain, where known.
        notes: what a reader of the run should know.
        oof: predictions for its validation rows.
        test: predictions for the test rows.
    """

    fold: int
    score: float
    seconds: float
    best_step: int
    history: tuple[dict[str, float], ...]
    importances: dict[str, float]
    notes: tuple[str, ...]
    oof: Predictions
    test: Predictions


def run_fold(prepared: Prepared, fold: int, paths: FoldPaths, report: Report, should_stop: ShouldStop) -> FoldResult:
    """Train a fold, go on with it, or read it back when it is done.

    Its result.json is written last; until then the fold counts as not done.

    Raises:
        TrainingError: training cannot go on.
        kagglerun.training.loop.Stopped: `should_stop` said so.
    """
    if not paths.result.exists():
        started = time.monotonic()
        context = _context(prepared, fold, paths, report, should_stop)
        outcome = prepared.family.fit_fold(context)
        team = current_team()
        if team.is_first:
            _write(prepared, context, outcome, time.monotonic() - started)
        team.wait_for_all()
    # Also where a process died right after the result was written.
    if current_team().is_first:
        Checkpoints(paths.checkpoints).delete()
    return read_fold(paths)


def read_fold(paths: FoldPaths) -> FoldResult:
    """Read a finished fold."""
    saved: dict[str, Any] = read_json(paths.result)
    return FoldResult(
        fold=saved["fold"],
        score=saved["score"],
        seconds=saved["seconds"],
        best_step=saved["best_step"],
        history=tuple(saved["history"]),
        importances=saved["importances"],
        notes=tuple(saved["notes"]),
        oof=read_predictions(paths.oof),
        test=read_predictions(paths.test),
    )


def _context(prepared: Prepared, fold: int, paths: FoldPaths, report: Report, should_stop: ShouldStop) -> FoldContext:
    train_rows, valid_rows = prepared.fold_rows(fold)

    def score(targets: Any, predictions: NDArray[np.float64]) -> float:
        if len(targets) != len(valid_rows) or len(predictions) != len(valid_rows):
            raise ConfigError(f"the fold's score is for its {len(valid_rows)} validation rows, not for {len(targets)}")
        return prepared.score(valid_rows, predictions)

    return FoldContext(
        config=prepared.config,
        data=prepared.input,
        metric=prepared.metric,
        score=score,
        fold=fold,
        train_rows=train_rows,
        valid_rows=valid_rows,
        paths=paths,
        report=report,
        should_stop=should_stop,
    )


def _write(prepared: Prepared, context: FoldContext, outcome: FoldOutcome, seconds: float) -> None:
    paths, rows = context.paths, context.valid_rows
    data = prepared.data
    valid = prepared.hooks.post_process(outcome.valid, prepared.input.train.iloc[rows])
    test = prepared.hooks.post_process(outcome.test, prepared.input.test)
    folds = np.full(len(rows), context.fold, dtype=np.int64)
    names = names_of(prepared.card, valid)
    write_predictions(paths.oof, Predictions(data.train_ids.iloc[rows], valid, names, folds, rows))
    write_predictions(paths.test, Predictions(data.test_ids, test, names))
    result = {
        "fold": context.fold,
        "score": prepared.score(rows, valid),
        "seconds": seconds,
        "best_step": outcome.best_step,
        "history": list(outcome.history),
        "importances": dict(outcome.importances),
        "notes": list(outcome.notes),
    }
    write_json(paths.digests, take_digests(paths, prepared.fingerprint.folds, outcome.history).to_dict())
    write_json(paths.result, result)

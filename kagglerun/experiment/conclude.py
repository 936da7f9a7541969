"""The end of a run: predictions joined, score taken, plots drawn, result written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kagglerun.config.card import Task
from kagglerun.experiment.afterwards import active
from kagglerun.experiment.drawing import Drawing
from kagglerun.experiment.fold import FoldResult
from kagglerun.experiment.postprocess.fit import Problem
from kagglerun.experiment.postprocess.nested import Nested, nested
from kagglerun.experiment.postprocess.stored import write as write_postprocess
from kagglerun.experiment.predictions import Predictions, join_folds, write_predictions
from kagglerun.experiment.prepare import Prepared
from kagglerun.experiment.watch.picture import draw_machine
from kagglerun.files import write_json
from kagglerun.metrics import PredictionKind, decide
from kagglerun.tracking import Tracker
from kagglerun.workspace import RunPaths

_MOST_CLASSES_DRAWN = 40
_TRACKED = {"score": "oof_score", "raw_score": "raw_oof_score"}


def conclude(paths: RunPaths, prepared: Prepared, results: Sequence[FoldResult], tracker: Tracker) -> None:
    """Write predictions, plots and, last, metrics.json; hand all to the tracker.

    Scores and pictures are those of post-processed predictions, judged nested; see `postprocess.nested`. What is
    written as `oof` and `test` stays as the models gave it.

    Where runs follow one another in a process, what the plots show is written, and they are drawn afterwards.
    """
    oof = join_folds([result.oof for result in results])
    write_predictions(paths.oof, oof)
    fitted = _postprocess(prepared, results, oof)
    write_postprocess(paths, fitted.postprocess if fitted else None)
    test = mean_over_folds(results)
    decided = fitted.postprocess.apply(test.values) if fitted else test.values
    write_predictions(paths.test, replace(test, cells=prepared.cells(decided, prepared.data.test)))
    later = active()
    drawing = drawing_of(prepared, results, oof, fitted)
    if later is None:
        drawing.draw(paths.plots)
        draw_machine(paths)
    else:
        drawing.save(paths.drawing)
    raw_scores = [result.score for result in results]
    scores = list(fitted.fold_scores) if fitted else raw_scores
    summary = {
        "score": drawing.overall,
        "fold_score_mean": float(np.mean(scores)),
        "fold_score_std": float(np.std(scores)),
        "seconds": sum(result.seconds for result in results),
        **({"raw_score": fitted.raw_score} if fitted else {}),
    }
    tracker.log({_TRACKED.get(name, name): value for name, value in summary.items()}, 0)
    for path in (paths.config, paths.fingerprint, paths.environment, paths.oof, paths.test, paths.postprocess):
        if path.exists():
            tracker.artifact(path)
    for plot in sorted(paths.plots.glob("*.png")):
        tracker.artifact(plot, "plots")
    notes = [*prepared.warnings, *results[0].notes]
    write_json(
        paths.metrics,
        {
            **summary,
            "fold_scores": scores,
            **({"raw_fold_scores": raw_scores, "postprocess": str(fitted.postprocess)} if fitted else {}),
            "folds": [result.fold for result in results],
            "best_steps": [result.best_step for result in results],
            "metric": prepared.metric.name,
            "greater_is_better": prepared.metric.greater_is_better,
            "rows": len(oof.values),
            "model": prepared.config.model.kind,
            "notes": notes,
        },
    )
    if later is not None:
        later.add(paths)


def mean_over_folds(results: Sequence[FoldResult]) -> Predictions:
    """Test predictions: the mean of the folds' models."""
    first = results[0].test
    return Predictions(first.ids, np.mean([result.test.values for result in results], axis=0), first.names)


def _postprocess(prepared: Prepared, results: Sequence[FoldResult], oof: Predictions) -> Nested | None:
    """What the predictions go through, and what they score then; None where they stay as they are."""
    assert oof.fold is not None, "out-of-fold predictions know their folds"
    return nested(Problem.of(prepared), _rows(oof), oof.fold, oof.values, [result.fold for result in results])


def _score(prepared: Prepared, oof: Predictions) -> float:
    """The metric over all out-of-fold predictions at once."""
    return prepared.score(_rows(oof), oof.values)


def _rows(oof: Predictions) -> NDArray[np.int64]:
    assert oof.rows is not None, "out-of-fold predictions know their rows"
    return oof.rows


def drawing_of(
    prepared: Prepared, results: Sequence[FoldResult], oof: Predictions, fitted: Nested | None = None
) -> Drawing:
    """What the pictures show: learning curves, fold scores, confusion matrix or residuals, importances.

    Args:
        prepared: what the folds share.
        results: the folds.
        oof: their out-of-fold predictions.
        fitted: what these become, and what they score then.
    """
    scores = {result.fold: result.score for result in results}
    if fitted is not None:
        oof = replace(oof, values=fitted.values)
        scores = dict(zip(scores, fitted.fold_scores, strict=True))
    kind, names, truths, predictions = _compared(prepared, oof)
    return Drawing(
        histories=[result.history for result in results],
        scores=scores,
        overall=_score(prepared, oof),
        metric=prepared.metric.name,
        kind=kind,
        names=names,
        truths=truths,
        predictions=predictions,
        importances=_mean_importances(results),
    )


def _compared(prepared: Prepared, oof: Predictions) -> tuple[str, Sequence[str], NDArray[Any], NDArray[Any]]:
    """Kind and names of what is compared, the truths and the predictions; empty where no picture shows them."""
    targets, card = prepared.data.targets[_rows(oof)], prepared.card
    if card.learnt_task in (Task.BINARY, Task.MULTICLASS):
        labels = [str(label) for label in card.classes or ()]
        if len(labels) <= _MOST_CLASSES_DRAWN:
            return "classes", labels, targets, decide(oof.values, prepared.input.task, PredictionKind.LABEL)
    elif card.task == Task.REGRESSION:
        return "numbers", list(card.targets), targets, oof.values
    return "none", [], np.empty(0), np.empty(0)


def _mean_importances(results: Sequence[FoldResult]) -> dict[str, float]:
    """Share of the gain that each feature brought, the mean over folds."""
    names = results[0].importances
    totals = {name: float(np.mean([result.importances.get(name, 0.0) for result in results])) for name in names}
    whole = sum(totals.values()) or 1.0
    return {name: value / whole for name, value in totals.items()}

"""Metrics of classes and probabilities.

scikit-learn is imported in the functions that need it: the others answer without its two seconds.
"""

from __future__ import annotations

import numpy as np

from kagglerun.config.card import Task
from kagglerun.errors import DataError
from kagglerun.metrics.metric import ALL_TASKS, CLASSIFICATION, Array, Metric, PredictionKind, columns
from kagglerun.metrics.names import KAGGLE_NAMES

_CLIP = 1e-15  # Kaggle: predicted probabilities are replaced with max(min(p, 1 - 1e-15), 1e-15)


def accuracy(y_true: Array, y_pred: Array) -> float:
    """Share of rows whose label is exactly right; a multilabel row only when all its labels are."""
    return 1.0 - float(np.mean(_wrong(y_true, y_pred)))


def balanced_accuracy(y_true: Array, y_pred: Array) -> float:
    """Mean over the classes in `y_true` of the share of their rows that is right (mean recall)."""
    return 1.0 - float(np.mean(_balanced_wrong(y_true, y_pred)))


def log_loss(y_true: Array, y_pred: Array) -> float:
    """Mean of -log(probability given to the true class).

    Kaggle's definition: with one column a class, rows are divided by their sum, then probabilities are clipped to
    [1e-15, 1 - 1e-15]. scikit-learn refuses rows that do not sum to one and clips at the float's own epsilon
    (2.2e-16 for float64), so a certain and wrong prediction costs 36.0 there and 34.5 here.
    """
    return float(np.mean(_log_losses(y_true, y_pred)))


def auc(y_true: Array, y_pred: Array) -> float:
    """Probability that a positive row scores above a negative one, ties counting half; equals scikit-learn's."""
    positive = _binary(y_true, "AUC").astype(bool)
    above_negatives, below_positives = _placements(positive, np.asarray(y_pred, dtype=np.float64).reshape(-1))
    # The mean over the smaller side is the same number; one side is enough.
    return float(np.mean(above_negatives if len(above_negatives) <= len(below_positives) else below_positives))


def columnwise_auc(y_true: Array, y_pred: Array) -> float:
    """Mean over columns of the AUC; a multiclass truth counts as one-hot columns."""
    truths, scores = _paired_columns(y_true, y_pred)
    return float(np.mean([_column(auc, truths, scores, k) for k in range(truths.shape[1])]))


def columnwise_log_loss(y_true: Array, y_pred: Array) -> float:
    """Mean over columns of the binary log loss; a multiclass truth counts as one-hot columns, not normalised."""
    truths, scores = _paired_columns(y_true, y_pred)
    return float(np.mean([_column(log_loss, truths, scores, k) for k in range(truths.shape[1])]))


def f1(y_true: Array, y_pred: Array) -> float:
    """Harmonic mean of precision and recall of class 1; 0 where there is no true positive."""
    from sklearn.metrics import f1_score

    return float(f1_score(_binary(y_true, "F1"), _binary(y_pred, "F1"), zero_division=0))


def f1_micro(y_true: Array, y_pred: Array) -> float:
    """F1 of all decisions pooled; for one label a row it is the accuracy.

    Kaggle's "F-Score (Micro)" was called "Mean F-Score" before: the mean over rows of the F1 of a row's labels. The
    two agree where each row has one label, and only there do Kaggle's names mean this metric.
    """
    from sklearn.metrics import f1_score

    return float(f1_score(y_true, y_pred, average="micro", zero_division=0))


def f1_macro(y_true: Array, y_pred: Array) -> float:
    """Mean over classes of their F1, over all classes that occur in truths or predictions; 0 for one never hit."""
    from sklearn.metrics import f1_score

    return float(f1_score(y_true, y_pred, average="macro", zero_division=0))


def mcc(y_true: Array, y_pred: Array) -> float:
    """Matthews correlation coefficient, of two or more classes; 0 where one side is constant."""
    if len(np.unique(y_true)) == 1 and len(np.unique(y_pred)) == 1:
        return 0.0  # scikit-learn warns here and says the same
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(y_true, y_pred))


def qwk(y_true: Array, y_pred: Array) -> float:
    """Cohen's kappa with quadratic weights on the ratings' own values.

    Kaggle builds the matrix from the lowest to the highest rating, so a gap (1, 2, 4) counts as a distance of two;
    scikit-learn's `cohen_kappa_score` agrees when `labels` names every rating between. 1 where both sides are the
    same constant.

    Computed without the matrix: the expected disagreement is the mean of (a - b)^2 over all pairs.
    """
    a, b = columns(y_true)[:, 0], columns(y_pred)[:, 0]
    a, b = a - a[0], b - a[0]  # small numbers square exactly
    expected = np.mean(a**2) + np.mean(b**2) - 2 * np.mean(a) * np.mean(b)
    return 1.0 if expected == 0 else float(1.0 - np.mean((a - b) ** 2) / expected)


def _wrong(y_true: Array, y_pred: Array) -> Array:
    differ = np.asarray(y_true) != np.asarray(y_pred)
    return np.asarray(differ if differ.ndim == 1 else differ.any(axis=1), dtype=np.float64)


def _balanced_wrong(y_true: Array, y_pred: Array) -> Array:
    """Errors weighted so that each class counts the same; their mean is one minus the balanced accuracy."""
    _, inverse, counts = np.unique(y_true, return_inverse=True, return_counts=True)
    weights = len(y_true) / (len(counts) * counts)
    return np.asarray(_wrong(y_true, y_pred) * weights[inverse], dtype=np.float64)


def _log_losses(y_true: Array, y_pred: Array) -> Array:
    probabilities = columns(y_pred)
    if probabilities.shape[1] == 1:
        truths = _binary(y_true, "log loss")
        p = np.clip(probabilities[:, 0], _CLIP, 1 - _CLIP)
        return np.asarray(-np.log(np.where(truths == 1, p, 1 - p)), dtype=np.float64)
    sums = probabilities.sum(axis=1)
    if (probabilities < 0).any() or (sums <= 0).any():
        raise DataError("log loss: a row of probabilities is negative or sums to zero")
    rows = np.clip(probabilities / sums[:, None], _CLIP, 1 - _CLIP)
    index = _class_index(y_true, rows.shape[1])
    return np.asarray(-np.log(rows[np.arange(len(index)), index]), dtype=np.float64)


def _class_index(y_true: Array, n_classes: int) -> Array:
    index = np.asarray(y_true).reshape(-1).astype(np.int64)
    if index.min() < 0 or index.max() >= n_classes:
        raise DataError(f"a true class index ({index.max()}) is not among the {n_classes} probability columns")
    return index


def _placements(positive: Array, scores: Array) -> tuple[Array, Array]:
    """For each positive the share of negatives below it; for each negative the share of positives above it."""
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if n_positive == 0 or n_negative == 0:
        raise DataError("AUC is not defined: all rows are of one class")
    ranks = _ranks(scores)
    above_negatives = (ranks[positive] - _ranks(scores[positive])) / n_negative
    below_positives = 1.0 - (ranks[~positive] - _ranks(scores[~positive])) / n_positive
    return above_negatives, below_positives


def _ranks(values: Array) -> Array:
    """Ranks from 1, equal values sharing their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], dtype=np.float64)


def _auc_losses(y_true: Array, y_pred: Array) -> Array | None:
    """Influence function of one minus the AUC (DeLong, DeLong and Clarke-Pearson 1988): mean 1 - AUC."""
    positive = np.asarray(y_true).reshape(-1).astype(bool)
    if positive.all() or not positive.any():
        return None
    above_negatives, below_positives = _placements(positive, np.asarray(y_pred, dtype=np.float64).reshape(-1))
    value = float(np.mean(above_negatives))
    losses = np.empty(len(positive), dtype=np.float64)
    losses[positive] = (value - above_negatives) * (len(positive) / positive.sum())
    losses[~positive] = (value - below_positives) * (len(positive) / (~positive).sum())
    losses += 1.0 - value
    return losses


def _columnwise_auc_losses(y_true: Array, y_pred: Array) -> Array | None:
    truths, scores = _paired_columns(y_true, y_pred)
    losses = [_auc_losses(truths[:, k], scores[:, k]) for k in range(truths.shape[1])]
    known = [loss for loss in losses if loss is not None]
    return np.asarray(np.mean(known, axis=0), dtype=np.float64) if len(known) == len(losses) else None


def _columnwise_log_losses(y_true: Array, y_pred: Array) -> Array:
    truths, scores = _paired_columns(y_true, y_pred)
    losses = [_log_losses(truths[:, k], scores[:, k]) for k in range(truths.shape[1])]
    return np.asarray(np.mean(losses, axis=0), dtype=np.float64)


def _micro_losses(y_true: Array, y_pred: Array) -> Array | None:
    return _wrong(y_true, y_pred) if np.asarray(y_true).ndim == 1 else None


def _paired_columns(y_true: Array, y_pred: Array) -> tuple[Array, Array]:
    scores = columns(y_pred)
    truths = np.asarray(y_true)
    if truths.ndim == 1 and scores.shape[1] > 1:
        truths = np.eye(scores.shape[1])[_class_index(truths, scores.shape[1])]
    truths = columns(truths)
    if truths.shape != scores.shape:
        raise DataError(f"{truths.shape[1]} columns of truths and {scores.shape[1]} of predictions")
    return truths, scores


def _column(metric: object, truths: Array, scores: Array, k: int) -> float:
    assert callable(metric)
    try:
        return float(metric(truths[:, k], scores[:, k]))
    except DataError as error:
        raise DataError(f"column {k + 1} of {truths.shape[1]}: {error.message}", hint=error.hint) from None


def _binary(values: Array, what: str) -> Array:
    """Values as int64, checked to be 0 and 1."""
    flat = np.asarray(values).reshape(-1)
    if not np.isin(flat, (0, 1)).all():
        shown = ", ".join(str(value) for value in np.unique(flat)[:5])
        raise DataError(f"{what} takes the classes 0 and 1, not {shown}")
    return flat.astype(np.int64)


_SINGLE_LABEL = frozenset({Task.BINARY, Task.MULTICLASS})
_COLUMNWISE = ALL_TASKS - {Task.REGRESSION}

METRICS = (
    Metric(
        "accuracy",
        accuracy,
        True,
        PredictionKind.LABEL,
        _COLUMNWISE,
        KAGGLE_NAMES["accuracy"],
        kaggle_tasks=_SINGLE_LABEL,
        description="Share of rows whose label is right.",
        sample_loss=_wrong,
    ),
    Metric(
        "balanced_accuracy",
        balanced_accuracy,
        True,
        PredictionKind.LABEL,
        CLASSIFICATION,
        description="Mean over classes of the share of their rows that is right.",
        sample_loss=_balanced_wrong,
    ),
    Metric(
        "log_loss",
        log_loss,
        False,
        PredictionKind.PROBABILITY,
        CLASSIFICATION,
        KAGGLE_NAMES["log_loss"],
        description="Mean of -log(probability of the true class), rows normalised, clipped at 1e-15.",
        sample_loss=_log_losses,
    ),
    Metric(
        "auc",
        auc,
        True,
        PredictionKind.PROBABILITY,
        frozenset({Task.BINARY}),
        KAGGLE_NAMES["auc"],
        description="Area under the ROC curve.",
        sample_loss=_auc_losses,
    ),
    Metric(
        "columnwise_auc",
        columnwise_auc,
        True,
        PredictionKind.PROBABILITY,
        _COLUMNWISE,
        KAGGLE_NAMES["columnwise_auc"],
        description="Mean over columns of the area under the ROC curve.",
        sample_loss=_columnwise_auc_losses,
        columnwise=True,
    ),
    Metric(
        "columnwise_log_loss",
        columnwise_log_loss,
        False,
        PredictionKind.PROBABILITY,
        _COLUMNWISE,
        KAGGLE_NAMES["columnwise_log_loss"],
        description="Mean over columns of the binary log loss.",
        sample_loss=_columnwise_log_losses,
        columnwise=True,
    ),
    Metric(
        "f1",
        f1,
        True,
        PredictionKind.LABEL,
        frozenset({Task.BINARY}),
        KAGGLE_NAMES["f1"],
        description="Harmonic mean of precision and recall of the positive class.",
    ),
    Metric(
        "f1_micro",
        f1_micro,
        True,
        PredictionKind.LABEL,
        _COLUMNWISE,
        KAGGLE_NAMES["f1_micro"],
        kaggle_tasks=_SINGLE_LABEL,
        description="F1 of all decisions pooled; the accuracy where each row has one label.",
        sample_loss=_micro_losses,
    ),
    Metric(
        "f1_macro",
        f1_macro,
        True,
        PredictionKind.LABEL,
        _COLUMNWISE,
        KAGGLE_NAMES["f1_macro"],
        kaggle_tasks=_SINGLE_LABEL,
        description="Mean over classes of their F1.",
    ),
    Metric(
        "mcc",
        mcc,
        True,
        PredictionKind.LABEL,
        CLASSIFICATION,
        KAGGLE_NAMES["mcc"],
        description="Matthews correlation coefficient.",
    ),
    Metric(
        "qwk",
        qwk,
        True,
        PredictionKind.LABEL,
        frozenset({Task.BINARY, Task.MULTICLASS, Task.REGRESSION}),
        KAGGLE_NAMES["qwk"],
        description="Cohen's kappa with quadratic weights, for ordered classes.",
        ordinal=True,
    ),
)

"""What is predicted for a row: from the metric and the values of the targets together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from kagglerun.config.card import Task
from kagglerun.data.tables import is_text
from kagglerun.data.understand.columns import Columns
from kagglerun.data.understand.findings import Findings, plain
from kagglerun.data.understand.roles import Materials
from kagglerun.errors import ConfigError
from kagglerun.metrics import Metric, PredictionKind
from kagglerun.metrics.labels import label_text, sorted_labels

_FILL_IN = "task: binary    (or multiclass, multilabel, regression)"
_MOST_CLASSES = 1000  # of text labels, unless they are few beside the rows
_SURELY_NUMBERS = 50  # distinct whole numbers, and a fifth of the rows: a quantity, whatever the metric

# Pairs of labels whose second member is the positive class wherever they occur.
_POSITIVE_PAIRS = (
    ("0", "1"),
    ("-1", "1"),
    ("False", "True"),
    ("no", "yes"),
    ("n", "y"),
    ("f", "t"),
    ("negative", "positive"),
    ("neg", "pos"),
    ("benign", "malignant"),
    ("normal", "abnormal"),
    ("fail", "pass"),
)


@dataclass(frozen=True)
class _Proposal:
    """A task and why, or why there is none."""

    task: Task | None
    because: str


def find_task(findings: Findings, materials: Materials, columns: Columns, metric: Metric | None) -> Task | None:
    """Settle `task` and `classes`.

    Returns:
        None when the task is not known.
    """
    proposal = _fitting(_propose(materials.train, columns, metric), metric)
    task: Task | None = None
    if findings.is_written("task"):
        task = findings.take("task")
    elif proposal.task is None:
        findings.ask("task", proposal.because, _FILL_IN)
    else:
        task = findings.settle("task", proposal.task, proposal.because)
    if task in (Task.BINARY, Task.MULTICLASS):
        _find_classes(findings, materials.train, columns, metric, task)
    if task is not None and metric is not None and not findings.is_written("metric"):
        _check_kaggle_name(findings, metric, task)
    return task


def _propose(train: pd.DataFrame, columns: Columns, metric: Metric | None) -> _Proposal:
    missing = [name for name in columns.targets if train[name].isna().all()]
    if missing:
        return _Proposal(None, f"the target {missing[0]!r} has no values")
    if len(columns.targets) > 1:
        return _several_targets(train, columns.targets, metric)
    column = train[columns.targets[0]].dropna()
    if columns.wide is not None:
        because = f"the sample has a probability column for each of {len(columns.wide)} labels"
        return _Proposal(Task.MULTICLASS, because)
    if len(columns.predicted) > 1:
        return _Proposal(None, f"one target, but the sample predicts {len(columns.predicted)} columns")
    if is_text(column):
        return _text_target(column)
    if types.is_bool_dtype(column):
        return _Proposal(Task.BINARY, f"{column.name!r} is true or false")
    if not types.is_numeric_dtype(column):
        return _Proposal(None, f"{column.name!r} holds neither numbers nor labels")
    return _numeric_target(column, metric)


def _several_targets(train: pd.DataFrame, targets: Sequence[str], metric: Metric | None) -> _Proposal:
    if not all(types.is_numeric_dtype(train[name]) for name in targets):
        return _Proposal(None, f"the {len(targets)} targets hold text")
    values = train[list(targets)].dropna().to_numpy(dtype=np.float64)
    if metric is not None and metric.prediction is PredictionKind.VALUE:
        return _Proposal(Task.REGRESSION, f"{metric.name} scores numbers, and {len(targets)} targets hold them")
    if not np.isin(values, (0, 1)).all():
        if metric is None:
            return _Proposal(Task.REGRESSION, f"{len(targets)} targets hold numbers other than 0 and 1")
        return _Proposal(None, f"{metric.name} scores classes, but the targets hold other numbers than 0 and 1")
    if (values.sum(axis=1) == 1).all():
        return _Proposal(Task.MULTICLASS, f"exactly one of the {len(targets)} targets is 1 in each training row")
    return _Proposal(Task.MULTILABEL, f"the {len(targets)} targets are 0 or 1, several or none in a row")


def _text_target(column: pd.Series[Any]) -> _Proposal:
    labels = column.unique()
    listing = _list_like(labels)
    if listing is not None:
        return _Proposal(None, f"{column.name!r} holds lists such as {listing!r}, not one label a row")
    if len(labels) > max(2, min(_MOST_CLASSES, len(column) // 2)) and len(labels) > len(column) // 20:
        return _Proposal(None, f"{column.name!r} holds {len(labels)} different texts in {len(column)} rows")
    if len(labels) < 2:
        return _Proposal(None, f"{column.name!r} holds only {labels[0]!r}")
    task = Task.BINARY if len(labels) == 2 else Task.MULTICLASS
    return _Proposal(task, f"{column.name!r} holds {len(labels)} labels")


def _list_like(labels: Iterable[Any]) -> str | None:
    """The first label that is a list of other labels or of numbers, separated by blanks."""
    texts = [str(label) for label in labels]
    known = set(texts)
    for label in texts:
        parts = label.split()
        if len(parts) > 1 and (set(parts) <= known or all(part.lstrip("-").isdigit() for part in parts)):
            return label[:60]
    return None


def _numeric_target(column: pd.Series[Any], metric: Metric | None) -> _Proposal:
    distinct = int(column.nunique())
    whole = bool((column % 1 == 0).all())
    what = f"{column.name!r} holds {distinct} different {'whole numbers' if whole else 'numbers'}"
    if metric is not None and metric.prediction is PredictionKind.VALUE:
        return _Proposal(Task.REGRESSION, f"{metric.name} scores numbers, and {what}")
    if distinct < 2:
        return _Proposal(None, f"{what}; there is nothing to predict")
    if not whole:
        if metric is None:
            return _Proposal(Task.REGRESSION, what)
        return _Proposal(None, f"{metric.name} scores classes, but {what}")
    if distinct == 2:
        return _Proposal(Task.BINARY, what)
    if distinct > max(_SURELY_NUMBERS, len(column) // 5):
        if metric is None:
            return _Proposal(Task.REGRESSION, f"{what} in {len(column)} rows")
        return _Proposal(None, f"{metric.name} scores classes, but {what} in {len(column)} rows")
    if metric is None:
        return _Proposal(None, f"{what}: classes or a quantity, which the metric would tell")
    return _Proposal(Task.MULTICLASS, f"{metric.name} scores classes, and {what}")


def _fitting(proposal: _Proposal, metric: Metric | None) -> _Proposal:
    """The proposal, unless the metric cannot score it."""
    if proposal.task is None or metric is None:
        return proposal
    try:
        metric.require_fit(proposal.task)
    except ConfigError as error:
        return _Proposal(None, f"{proposal.because}, but {error.message}")
    return proposal


def _check_kaggle_name(findings: Findings, metric: Metric, task: Task) -> None:
    if metric.kaggle_tasks is not None and task not in metric.kaggle_tasks:
        findings.doubt(
            "metric", f"Kaggle's name for {metric.name} means something else for a {task} task", "metric: NAME"
        )


def _find_classes(findings: Findings, train: pd.DataFrame, columns: Columns, metric: Metric | None, task: Task) -> None:
    if columns.wide is not None:
        findings.settle("classes", columns.wide, "in the order of the sample's probability columns")
        return
    if len(columns.targets) > 1:
        findings.settle("classes", columns.targets, "one target column a class")
        return
    name = columns.targets[0]
    labels = _class_labels(train[name].dropna())
    if task is Task.BINARY and len(labels) == 2 and _needs_positive_class(metric) and not _positive_is_last(labels):
        findings.ask(
            "classes",
            f"{name!r} holds {labels[0]!r} and {labels[1]!r}: which one is predicted is not certain",
            f"classes: [{labels[0]}, {labels[1]}]    (the predicted one last)",
        )
        return
    if metric is not None and metric.ordinal and any(isinstance(label, str) for label in labels):
        listed = ", ".join(map(str, labels))
        because = f"{metric.name} counts distances, and the order of {listed} is not certain"
        findings.ask("classes", because, f"classes: [{listed}]    (in their order)")
        return
    findings.settle("classes", labels, f"the values of {name!r}, sorted")


def _class_labels(column: pd.Series[Any]) -> tuple[Any, ...]:
    """The column's labels, sorted; whole numbers that stand in a column with gaps are whole numbers again."""
    by_text = {label_text(value): plain(value) for value in column.unique()}
    labels = [by_text[text] for text in sorted_labels(by_text)]
    if all(isinstance(label, float) and label.is_integer() for label in labels):
        return tuple(int(label) for label in labels)
    return tuple(labels)


def _needs_positive_class(metric: Metric | None) -> bool:
    """Whether exchanging the two classes changes what a submission's column means or scores."""
    return metric is None or metric.prediction is PredictionKind.PROBABILITY or metric.tasks == {Task.BINARY}


def _positive_is_last(labels: tuple[Any, ...]) -> bool:
    texts = tuple(label_text(label) for label in labels)
    return texts in _POSITIVE_PAIRS or tuple(text.casefold() for text in texts) in _POSITIVE_PAIRS

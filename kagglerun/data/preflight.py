"""Checks before a run: minutes of training are not spent on data that cannot give a score."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kagglerun import metrics
from kagglerun.config.card import Task
from kagglerun.config.schema import Config
from kagglerun.data.tables import CompetitionData, row_keys
from kagglerun.errors import ConfigError, DataError

_CLASSES = (Task.BINARY, Task.MULTICLASS)


def preflight(data: CompetitionData, config: Config) -> tuple[str, ...]:
    """Check that a run can work.

    Args:
        data: the competition's tables, read by `load_competition` (which has checked files, columns and labels).
        config: the run's config.

    Returns:
        What the user should know, one sentence each; empty when there is nothing.

    Raises:
        DataError: the run cannot work: fewer rows than folds, one class only, no feature, probability columns
            that are not the classes.
        ConfigError: the metric does not fit the task.
    """
    _require_metric_fits(data)
    _require_rows(data, config)
    _require_features(data)
    _require_classes(data)
    return (
        *_rare_classes(data, config),
        *_constant_targets(data),
        *_unshared_columns(data),
        *_empty_features(data),
        *_unused_rows(data),
        *_repeated_ids(data),
    )


def _require_metric_fits(data: CompetitionData) -> None:
    """A metric that is not ours may be registered later, by the competition's hooks."""
    card = data.card
    if card.metric is None or card.task is None or not metrics.is_known(card.metric):
        return
    metric = metrics.get(card.metric)
    metric.require_fit(card.task)
    if card.greater_is_better is not None and card.greater_is_better != metric.greater_is_better:
        raise ConfigError(
            f"greater_is_better is {str(card.greater_is_better).lower()}, but {metric.name} is "
            f"{'maximised' if metric.greater_is_better else 'minimised'}",
            hint="correct `metric` or `greater_is_better` in competition.yaml",
        )


def _require_rows(data: CompetitionData, config: Config) -> None:
    if len(data.train) < config.cv.n_splits:
        raise DataError(
            f"{len(data.train)} training rows cannot make {config.cv.n_splits} folds", hint="set cv.n_splits lower"
        )
    if len(data.test) == 0:
        raise DataError(f"{data.card.slug} has no test rows", hint="correct `files` in competition.yaml")


def _require_features(data: CompetitionData) -> None:
    if not data.features and data.train_images is None:
        raise DataError(
            "the training and the test table share no column besides ids and targets, and there are no images",
            hint="correct `files` or `targets` in competition.yaml",
        )


def _require_classes(data: CompetitionData) -> None:
    card = data.card
    if card.task not in _CLASSES:
        return
    present = np.unique(data.targets)
    if len(present) < 2:
        label = card.classes[int(present[0])] if card.classes else present[0]
        raise DataError(f"all {len(data.targets)} training rows are of one class, {label!r}")
    columns, classes = card.submission_columns, card.classes
    if len(columns) > 1 and classes is not None and len(columns) != len(classes):
        raise DataError(
            f"the sample submission has {len(columns)} probability columns for {len(classes)} classes",
            hint="correct `classes` or `submission_columns` in competition.yaml",
        )


def _rare_classes(data: CompetitionData, config: Config) -> Iterator[str]:
    if data.card.task not in _CLASSES or data.card.classes is None:
        return
    counts = np.bincount(data.targets, minlength=len(data.card.classes))
    rare = np.flatnonzero(counts < config.cv.n_splits)
    if len(rare):
        first = data.card.classes[int(rare[0])]
        yield (
            f"{len(rare)} classes have fewer rows than there are folds ({config.cv.n_splits}), e.g. {first!r} with "
            f"{counts[rare[0]]}: some folds validate without them"
        )


def _constant_targets(data: CompetitionData) -> Iterator[str]:
    if data.card.task in _CLASSES:
        return
    for name, column in zip(data.card.targets, data.targets.T, strict=True):
        if np.ptp(column) == 0:
            yield f"the target {name!r} is {column[0]:g} in every training row"


def _unshared_columns(data: CompetitionData) -> Iterator[str]:
    known = {*data.card.ids, *data.card.targets}
    train_only = [name for name in data.train.columns if name not in data.test.columns and name not in known]
    test_only = [name for name in data.test.columns if name not in data.train.columns and name not in known]
    if train_only and data.card.files.test_table is not None:
        yield f"columns only in the training table are not used: {_listed(train_only)}"
    if test_only and data.card.ids:
        yield f"columns only in the test table are not used: {_listed(test_only)}"


def _empty_features(data: CompetitionData) -> Iterator[str]:
    for frame, name in ((data.train, "training"), (data.test, "test")):
        empty = [column for column in data.features if frame[column].isna().all()]
        if empty:
            yield f"features without any value in the {name} table: {_listed(empty)}"


def _unused_rows(data: CompetitionData) -> Iterator[str]:
    if not data.card.ids:
        return
    extra = ~row_keys(data.test, data.card.ids).isin(row_keys(data.sample, data.card.ids))
    if extra.any():
        yield f"{int(extra.sum())} test rows are not in the sample submission and are not submitted"


def _repeated_ids(data: CompetitionData) -> Iterator[str]:
    if not data.card.ids or not set(data.card.ids) <= set(data.train.columns):
        return
    repeated = int(row_keys(data.train, data.card.ids).duplicated().sum())
    if repeated:
        hint = "" if data.card.group else "; keep rows that belong together in one fold (`group: COLUMN` in the card)"
        yield f"{repeated} training rows repeat an id{hint}"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")

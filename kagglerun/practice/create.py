"""A labelled table becomes a competition in Kaggle's shape: train.csv, test.csv, sample_submission.csv, images."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kagglerun.config.card import Task
from kagglerun.errors import ConfigError, PracticeError
from kagglerun.files import sha256_of_file, write_text
from kagglerun.metrics import Metric, PredictionKind, columns_needed, meaning
from kagglerun.metrics.list_cells import ListStyle, split_cells, style_of, takes_scored_labels
from kagglerun.practice.bundle import write_bundle
from kagglerun.practice.competitions import (
    DAILY_SUBMISSIONS,
    Definition,
    check_slug,
    new_competition,
    write_definition,
)
from kagglerun.practice.labelled import MADE_ID, TASK_OF_KIND, check_table, classes_of, holds_lists
from kagglerun.practice.paths import HostedPaths, PracticePaths
from kagglerun.practice.scoring import USAGE, try_sample
from kagglerun.practice.split import PUBLIC_SHARE, choose_rows
from kagglerun.randomness import generator

if TYPE_CHECKING:
    import pandas as pd

SAMPLE = "sample_submission.csv"
SHOWN_SHARE = 0.3
"""Share of the test rows that all see, where the others are shown to submitted notebooks only."""
Member = tuple[str, bytes | Path]
"""A file of a bundle: its name and its content, or the file that has it."""


@dataclass(frozen=True)
class TableCompetition:
    """What to make a competition from.

    Attributes:
        slug, title, description: how it appears.
        table: all rows with their truths, every value as the text that stands in the file.
        targets: the columns to predict.
        id_column: the column that names a row; None makes ids `1..n` in random order.
        metric: how submissions are scored.
        parameters: the metric's own; for weights and groups a column, which then stands in the solution too.
        code: the file with the metric's code, which is copied; None for one that is built in or installed.
        images: id to its image: (file name in the competition, content or file). None for a table.
        test_share: share of the rows that become test rows.
        daily: submissions a day.
        rules_required: downloads and submissions wait for `kagglerun practice accept`.
        notebooks_only: takes notebooks, no files: the bundle shows a part of the test rows, and a submitted notebook
            is run again with all of them.
        seed: decides the split and the ids.
    """

    slug: str
    title: str
    description: str
    table: pd.DataFrame
    targets: tuple[str, ...]
    metric: Metric
    parameters: Mapping[str, Any] = field(default_factory=dict)
    code: Path | None = None
    id_column: str | None = None
    images: Mapping[str, tuple[str, bytes | Path]] | None = None
    test_share: float = 0.3
    daily: int = DAILY_SUBMISSIONS
    rules_required: bool = False
    notebooks_only: bool = False
    seed: int = 0


@dataclass(frozen=True)
class _Parts:
    """The table cut in pieces; ids are the first column of each."""

    train: pd.DataFrame
    test: pd.DataFrame
    truth: pd.DataFrame
    is_public: list[bool]


def create(paths: PracticePaths, source: TableCompetition) -> Definition:
    """Split a labelled table into a competition and host it.

    Returns:
        The competition's definition.

    Raises:
        PracticeError: the slug is taken, a column is missing, a truth or an id is blank or double, or there are too
            few rows. Nothing is left then.
        ConfigError: the metric does not fit the targets.
        DiskFull: there was no room.
    """
    check_slug(paths, source.slug)
    return host_table(paths, source)


def host_table(paths: PracticePaths, source: TableCompetition) -> Definition:
    """`create` without the check of the slug, for built-in competitions."""
    if not 0 < source.test_share < 1:
        raise PracticeError(f"a test share of {source.test_share} is not between 0 and 1", hint="--test-share 0.3")
    check_table(source.table, source.targets, source.id_column, source.metric)
    check_parameters(source.metric, source.parameters, source.table, "the table")
    classes = classes_of(source.table, source.targets, source.metric)
    lists = len(source.targets) == 1 and holds_lists(list(source.table[source.targets[0]]), source.metric)
    task = task_of(source.metric, source.targets, classes, lists)
    check_fit(source.metric, task)
    parts = _cut(source, stratify=bool(classes) and not lists)
    probabilities = source.metric.prediction is PredictionKind.PROBABILITY and not takes_scored_labels(source.metric)
    wide = probabilities and task is Task.MULTICLASS
    columns = classes if wide else source.targets
    sample = _sample(source, parts, columns, wide)
    if source.parameters:
        try_sample(source.metric, sample, _solution(parts), [sample.columns[0]], classes, source.parameters)
    with new_competition(paths, source.slug) as hosted:
        _write_files(hosted, source, parts, sample)
        write_text(hosted.solution, _csv(_solution(parts)))
        if source.code is not None:
            shutil.copyfile(source.code, hosted.metric_code)
        definition = Definition(
            slug=source.slug,
            title=source.title,
            description=source.description,
            task=task,
            metric=source.metric.name,
            metric_parameters=dict(source.parameters),
            evaluation_metric=kaggle_name(source.metric, task, source.parameters),
            greater_is_better=source.metric.greater_is_better,
            ids=(parts.test.columns[0],),
            submission_columns=columns,
            classes=classes,
            sample_submission=SAMPLE,
            train_rows=len(parts.train),
            test_rows=len(parts.test),
            public_rows=sum(parts.is_public),
            max_daily_submissions=source.daily,
            rules_required=source.rules_required,
            notebooks_only=source.notebooks_only,
            created=datetime.now(UTC),
            bundle_sha256=sha256_of_file(hosted.bundle),
        )
        write_definition(hosted, definition)
    return definition


def task_of(metric: Metric, targets: Sequence[str], classes: Sequence[str], lists: bool = False) -> Task:
    """The task that a metric and the targets' values make; `lists`: a cell holds several labels or items."""
    if metric.prediction in TASK_OF_KIND:
        return TASK_OF_KIND[metric.prediction]
    if metric.prediction is PredictionKind.RANKING:
        return Task.RANKING if lists or Task.MULTICLASS not in metric.tasks else Task.MULTICLASS
    if len(targets) > 1 or lists:
        return Task.MULTILABEL
    return Task.BINARY if len(classes) == 2 else Task.MULTICLASS


def check_parameters(metric: Metric, parameters: Mapping[str, Any], table: pd.DataFrame, what: str) -> None:
    """Refuse parameters that the metric does not have, and columns of weights or groups that the table does not.

    Raises:
        PracticeError: names them.
    """
    try:
        metric.require_parameters(parameters)
    except ConfigError as error:
        missing = [name for name in metric.required_parameters if name not in parameters]
        hint = f"give it: --metric-parameter {missing[0]}=VALUE" if missing else error.hint
        raise PracticeError(error.message, hint=hint) from error
    for name in columns_needed(metric, parameters):
        if name not in table.columns:
            raise PracticeError(f"{what} has no column {name!r}, which {metric.name!r} needs")


def check_fit(metric: Metric, task: Task) -> None:
    """Refuse a metric that cannot score the task.

    Raises:
        PracticeError: names what it can score.
    """
    if task not in metric.tasks:
        raise PracticeError(
            f"{metric.name!r} does not score {task.value} targets; it scores: {', '.join(sorted(metric.tasks))}",
            hint="choose another --metric",
        )


def kaggle_name(metric: Metric, task: Task | str, parameters: Mapping[str, Any] | None = None) -> str:
    """Kaggle's name of a metric: with its K, and the one that speaks of several classes where there are several."""
    names = metric.kaggle_names or (metric.name,)
    told = _name_with_k(names, parameters or {})
    if told is not None:
        return told
    several = [name for name in names if name.startswith("Multiclass")]
    return several[0] if several and task is Task.MULTICLASS else names[0]


def _name_with_k(names: Sequence[str], parameters: Mapping[str, Any]) -> str | None:
    """`MAP@5`, from `MAP@{K}`: the first name with its K that leaves no doubt; None where no name has a place for K."""
    if "k" not in parameters:
        return None
    told = [re.sub(r"\{K\}$|(?<= at )K$", str(parameters["k"]), name) for name in names]
    certain = [name for name in told if name not in names and (said := meaning(name)) and said.doubt is None]
    return certain[0] if certain else None


def _cut(source: TableCompetition, stratify: bool) -> _Parts:
    """Choose test and public rows, and make ids where there are none."""
    table = source.table
    labels = list(table[source.targets[0]]) if stratify else None
    is_test = choose_rows(len(table), source.test_share, source.seed, "practice test rows", labels)
    if source.id_column is None:
        # Ids in the table's order would tell the target of a table that is sorted by it.
        order = generator(source.seed, "practice ids").permutation(len(table))
        table = table.iloc[order].reset_index(drop=True)
        is_test = is_test[order]
        table.insert(0, MADE_ID, [str(number) for number in range(1, len(table) + 1)])
    else:
        table = table[[source.id_column, *(name for name in table.columns if name != source.id_column)]]
    test = table[is_test].reset_index(drop=True)
    labels = list(test[source.targets[0]]) if stratify else None
    is_public = choose_rows(len(test), PUBLIC_SHARE, source.seed, "practice public rows", labels)
    return _Parts(
        train=table[~is_test].reset_index(drop=True),
        test=test.drop(columns=list(source.targets)),
        truth=test[[test.columns[0], *source.targets, *_beside(source)]],
        is_public=[bool(value) for value in is_public],
    )


def _beside(source: TableCompetition) -> list[str]:
    """Columns that the solution holds for the metric besides the truths."""
    return [name for name in columns_needed(source.metric, source.parameters) if name not in source.targets]


def _solution(parts: _Parts) -> pd.DataFrame:
    return parts.truth.assign(**{USAGE: ["Public" if public else "Private" for public in parts.is_public]})


def _sample(source: TableCompetition, parts: _Parts, columns: Sequence[str], wide: bool) -> pd.DataFrame:
    """The submission that knows nothing: the commonest class or cell, even odds, the mean of the training targets."""
    sample = parts.test[[parts.test.columns[0]]].copy()
    for name in columns:
        if wide:
            sample[name] = f"{1 / len(columns):.6g}"
        elif takes_scored_labels(source.metric):
            sample[name] = f"{Counter(parts.train[name]).most_common(1)[0][0]} 0.5"
        elif source.metric.prediction is PredictionKind.PROBABILITY:
            sample[name] = "0.5"
        elif source.metric.prediction is PredictionKind.VALUE:
            sample[name] = f"{parts.train[name].astype(float).mean():.6g}"
        elif source.metric.prediction is PredictionKind.RANKING:
            sample[name] = _commonest_items(source, list(parts.train[name]))
        else:
            sample[name] = Counter(parts.train[name]).most_common(1)[0][0]
    return sample


def _commonest_items(source: TableCompetition, cells: Sequence[str]) -> str:
    """A list of the K items that come most often, written as the others are."""
    k = source.parameters.get("k", source.metric.parameters.get("k"))
    counted = Counter(item for items in split_cells(cells) for item in items)
    best = [item for item, _ in counted.most_common(k if isinstance(k, int) else 1)]
    return (style_of(cells) or ListStyle()).write(best)


def _write_files(hosted: HostedPaths, source: TableCompetition, parts: _Parts, sample: pd.DataFrame) -> None:
    """The bundle; where notebooks are submitted it shows a part of the test rows, and all are kept beside it."""
    train = [("train.csv", _csv(parts.train).encode()), *_images(source, "train", parts.train)]
    test = _test_members(source, parts.test, sample)
    if source.notebooks_only:
        shown = choose_rows(len(parts.test), SHOWN_SHARE, source.seed, "practice shown rows")
        write_bundle(hosted.hidden, test)
        test = _test_members(source, parts.test[shown], sample[shown])
    write_bundle(hosted.bundle, [*train, *test])


def _test_members(source: TableCompetition, test: pd.DataFrame, sample: pd.DataFrame) -> list[Member]:
    tables: list[Member] = [("test.csv", _csv(test).encode()), (SAMPLE, _csv(sample).encode())]
    return [*tables, *_images(source, "test", test)]


def _images(source: TableCompetition, folder: str, table: pd.DataFrame) -> list[Member]:
    found = [] if source.images is None else [source.images[name] for name in table.iloc[:, 0]]
    return [(f"{folder}/{file_name}", content) for file_name, content in found]


def _csv(table: pd.DataFrame) -> str:
    return str(table.to_csv(index=False, lineterminator="\n"))

"""A bundle in Kaggle's own shape with known truth becomes a competition, its files unchanged."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from kagglerun.config.card import Task
from kagglerun.errors import DataError, PracticeError
from kagglerun.files import sha256_of_file, write_text
from kagglerun.metrics import FrameMetric, Metric, PredictionKind, columns_needed
from kagglerun.practice.bundle import BundleFile, check_bundle, list_bundle, read_member
from kagglerun.practice.competitions import (
    DAILY_SUBMISSIONS,
    Definition,
    check_slug,
    new_competition,
    write_definition,
)
from kagglerun.practice.create import check_fit, check_parameters, kaggle_name, task_of
from kagglerun.practice.labelled import (
    TASK_OF_KIND,
    holds_lists,
    labels_in_lists,
    read_labelled_table,
    sorted_classes,
)
from kagglerun.practice.leaderboard import read_leaderboard
from kagglerun.practice.paths import PracticePaths
from kagglerun.practice.scoring import USAGE, try_sample
from kagglerun.practice.split import PUBLIC_SHARE, choose_rows
from kagglerun.practice.table_text import TABLE_SUFFIXES, read_cells

if TYPE_CHECKING:
    import pandas as pd

_USAGES = ("public", "private", "ignored")


@dataclass(frozen=True)
class BundleCompetition:
    """What to host.

    Attributes:
        slug, title, description: how it appears.
        bundle: the competition's files as one zip, as Kaggle serves them.
        solution: CSV with the sample submission's ids, the truths, and optionally Usage (Public or Private).
        metric: how submissions are scored.
        parameters: the metric's own; for weights and groups a column of the solution.
        code: the file with the metric's code, which is copied; None for one that is built in or installed.
        sample: the sample submission's name in the bundle; None finds the one that is called so.
        ids: columns that name a row; None takes the sample submission's first column.
        leaderboard: CSV with other teams' final scores, as Kaggle gives it to download.
        public_leaderboard: the same with their public scores.
        daily: submissions a day.
        rules_required: downloads and submissions wait for `kagglerun practice accept`.
        seed: decides which rows are public, where the solution does not say.
    """

    slug: str
    title: str
    description: str
    bundle: Path
    solution: Path
    metric: Metric
    parameters: Mapping[str, Any] = field(default_factory=dict)
    code: Path | None = None
    sample: str | None = None
    ids: tuple[str, ...] | None = None
    leaderboard: Path | None = None
    public_leaderboard: Path | None = None
    daily: int = DAILY_SUBMISSIONS
    rules_required: bool = False
    seed: int = 0


@dataclass(frozen=True)
class _Checked:
    """What the bundle and the solution turned out to hold."""

    sample_name: str
    ids: tuple[str, ...]
    columns: tuple[str, ...]
    classes: tuple[str, ...]
    task: Task | Literal["unknown"]
    solution: pd.DataFrame


def add(paths: PracticePaths, source: BundleCompetition) -> Definition:
    """Host a bundle.

    Returns:
        The competition's definition.

    Raises:
        PracticeError: the slug is taken, the bundle is damaged or has no sample submission, or solution or
            leaderboard do not fit it. Nothing is left then.
        DiskFull: there was no room.
    """
    check_slug(paths, source.slug)
    checked = _check(source)
    with new_competition(paths, source.slug) as hosted:
        shutil.copyfile(source.bundle, hosted.bundle)
        write_text(hosted.solution, str(checked.solution.to_csv(index=False, lineterminator="\n")))
        if source.code is not None:
            shutil.copyfile(source.code, hosted.metric_code)
        if source.leaderboard is not None:
            shutil.copyfile(source.leaderboard, hosted.leaderboard)
        if source.public_leaderboard is not None:
            shutil.copyfile(source.public_leaderboard, hosted.public_leaderboard)
        definition = _definition(source, checked, sha256_of_file(hosted.bundle))
        write_definition(hosted, definition)
    return definition


def _definition(source: BundleCompetition, checked: _Checked, bundle_sha256: str) -> Definition:
    return Definition(
        slug=source.slug,
        title=source.title,
        description=source.description,
        task=checked.task,
        metric=source.metric.name,
        metric_parameters=dict(source.parameters),
        evaluation_metric=kaggle_name(source.metric, checked.task, source.parameters),
        greater_is_better=source.metric.greater_is_better,
        ids=checked.ids,
        submission_columns=checked.columns,
        classes=checked.classes,
        sample_submission=checked.sample_name,
        train_rows=None,
        test_rows=len(checked.solution),
        public_rows=int((checked.solution[USAGE].str.casefold() == "public").sum()),
        max_daily_submissions=source.daily,
        rules_required=source.rules_required,
        created=datetime.now(UTC),
        bundle_sha256=bundle_sha256,
    )


def _check(source: BundleCompetition) -> _Checked:
    """Read everything and see that it fits together, before anything is written."""
    if not source.bundle.is_file():
        raise PracticeError(f"there is no file {source.bundle}", hint="--bundle names the competition's zip")
    check_bundle(source.bundle)
    files = list_bundle(source.bundle)
    sample_name = source.sample or find_sample(files)
    sample = _read_member(source.bundle, sample_name, files)
    solution = read_labelled_table(source.solution)
    ids = source.ids or (str(sample.columns[0]),)
    columns = tuple(str(name) for name in sample.columns if name not in ids)
    _check_solution(solution, sample, ids, source.metric)
    for board in (source.leaderboard, source.public_leaderboard):
        if board is not None:
            read_leaderboard(board)
    check_parameters(source.metric, source.parameters, solution, "the solution")
    beside = columns_needed(source.metric, source.parameters)
    if not isinstance(source.metric, FrameMetric):
        solution = _relevant_columns(solution, ids, (*columns, *beside))
    truths = [str(name) for name in solution.columns if name not in (*ids, *beside, USAGE)]
    task, classes = _task(source.metric, solution, truths, columns)
    if isinstance(task, Task):
        check_fit(source.metric, task)
    one_label = task in (Task.BINARY, Task.MULTICLASS)
    solution = _with_usage(solution, ids, truths, classes if one_label else (), source.seed)
    try_sample(source.metric, sample, solution, ids, classes, source.parameters)
    return _Checked(sample_name, ids, columns, classes, task, solution)


def _relevant_columns(solution: pd.DataFrame, ids: tuple[str, ...], columns: tuple[str, ...]) -> pd.DataFrame:
    """Ids, truths and Usage; features that stand beside them are left out where the truths can be told apart."""
    if not set(columns) <= set(solution.columns):
        return solution
    return solution[[name for name in solution.columns if name in (*ids, *columns, USAGE)]]


def find_sample(files: Sequence[BundleFile]) -> str:
    """The name of a bundle's sample submission.

    Raises:
        PracticeError: none is called so, or several are.
    """
    tables = _tables(files)
    called = [name for name in tables if "submission" in name.lower()]
    found = [name for name in called if "sample" in name.lower()] or called
    if len(found) == 1:
        return found[0]
    listed = ", ".join(found or tables[:10]) or "none"
    problem = "several sample submissions" if found else "no file called sample submission; its tables"
    raise PracticeError(f"the bundle has {problem}: {listed}", hint="name it: --sample FILE")


def _read_member(bundle: Path, name: str, files: Sequence[BundleFile]) -> pd.DataFrame:
    if name not in {file.name for file in files}:
        raise PracticeError(f"the bundle has no file {name!r}; its tables: {', '.join(_tables(files)) or 'none'}")
    try:
        return read_cells(read_member(bundle, name), name)
    except DataError as error:
        raise PracticeError(error.message.replace("it", f"{name} in the bundle", 1)) from error


def _tables(files: Sequence[BundleFile]) -> list[str]:
    return [file.name for file in files if PurePosixPath(file.name).suffix.lower() in TABLE_SUFFIXES]


def _check_solution(solution: pd.DataFrame, sample: pd.DataFrame, ids: tuple[str, ...], metric: Metric) -> None:
    """The solution must have the sample's ids, once unless rows are instances, and a Usage that is known."""
    for name in ids:
        for table, what in ((sample, "the sample submission"), (solution, "the solution")):
            if name not in table.columns:
                raise PracticeError(
                    f"{what} has no id column {name!r}; it has: {', '.join(map(str, table.columns))}",
                    hint="name the id columns: --id COLUMN",
                )
    if USAGE in solution.columns:
        others = sorted(set(solution[USAGE].str.casefold()) - set(_USAGES))
        if others:
            raise PracticeError(f"the solution's column {USAGE} holds {others[0]!r}; allowed: Public, Private, Ignored")
    given = set(sample[list(ids)].itertuples(index=False, name=None))
    known = set(solution[list(ids)].itertuples(index=False, name=None))
    once = metric.prediction not in (PredictionKind.MASK, PredictionKind.BOXES)
    if given != known or (once and len(known) != len(solution)):
        missing, extra = given - known, known - given
        example = ", ".join(next(iter(sorted(missing or extra or known))))
        raise PracticeError(
            f"the solution's ids are not those of the sample submission: {len(missing)} are missing, {len(extra)} are "
            f"not in the sample, {len(solution) - len(known)} are double; e.g. {example}"
        )


def _task(
    metric: Metric, solution: pd.DataFrame, truths: list[str], columns: tuple[str, ...]
) -> tuple[Task | Literal["unknown"], tuple[str, ...]]:
    """The task, and the class labels where there are any: the sample's columns where it has one a class."""
    if isinstance(metric, FrameMetric):
        return "unknown", ()  # the host's code alone knows what its tables mean
    if metric.prediction in TASK_OF_KIND:
        return TASK_OF_KIND[metric.prediction], ()
    if len(truths) == 1 and holds_lists(list(solution[truths[0]]), metric):
        return task_of(metric, truths, (), lists=True), labels_in_lists(list(solution[truths[0]]))
    if len(truths) > 1:
        one_hot = Task.MULTILABEL not in metric.tasks
        return (Task.MULTICLASS, columns) if one_hot else (Task.MULTILABEL, ())
    classes = columns if len(columns) > 1 else sorted_classes(list(solution[truths[0]]))
    if len(classes) < 2:
        raise PracticeError(
            f"every truth in the solution's column {truths[0]!r} is {classes[0]!r}: with one class there is nothing "
            f"that {metric.name!r} could tell apart",
            hint="--solution needs the true labels; a sample submission has the same one in every row",
        )
    return task_of(metric, truths, classes), classes


def _with_usage(
    solution: pd.DataFrame, ids: tuple[str, ...], truths: list[str], classes: tuple[str, ...], seed: int
) -> pd.DataFrame:
    """The solution with a column Usage; rows that share their ids (instances of an image) stay together."""
    if USAGE in solution.columns:
        return solution
    images = solution.groupby(list(ids), sort=False).ngroup().to_numpy()
    first = ~solution.duplicated(list(ids)).to_numpy()
    labels = list(solution[truths[0]][first]) if classes and len(truths) == 1 else None
    is_public = choose_rows(int(first.sum()), PUBLIC_SHARE, seed, "practice public rows", labels)
    return solution.assign(**{USAGE: ["Public" if is_public[image] else "Private" for image in images]})

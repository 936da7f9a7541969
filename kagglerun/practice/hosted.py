"""A bundle in Kaggle's own shape with known truth becomes a competition, its files unchanged."""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from kagglerun.errors import DataError, PracticeError
from kagglerun.files import sha256_of_file, write_text
from kagglerun.metrics import Metric, PredictionKind
from kagglerun.practice.bundle import BundleFile, check_bundle, list_bundle, read_member
from kagglerun.practice.competitions import (
    DAILY_SUBMISSIONS,
    Definition,
    check_slug,
    new_competition,
    write_definition,
)
from kagglerun.practice.create import kaggle_name, read_labelled_table, sorted_classes, task_of
from kagglerun.practice.leaderboard import read_leaderboard
from kagglerun.practice.paths import PracticePaths
from kagglerun.practice.split import PUBLIC_SHARE, choose_rows

if TYPE_CHECKING:
    import pandas as pd

USAGE = "Usage"
_USAGES = ("public", "private", "ignored")


@dataclass(frozen=True)
class BundleCompetition:
    """What to host.

    Attributes:
        slug, title, description: how it appears.
        bundle: the competition's files as one zip, as Kaggle serves them.
        solution: CSV with the sample submission's ids, the truths, and optionally Usage (Public or Private).
        metric: how submissions are scored.
        sample: the sample submission's name in the bundle; None finds the one that is called so.
        ids: columns that name a row; None takes the sample submission's first column.
        leaderboard: CSV with other teams' final scores, as Kaggle gives it to download.
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
    sample: str | None = None
    ids: tuple[str, ...] | None = None
    leaderboard: Path | None = None
    daily: int = DAILY_SUBMISSIONS
    rules_required: bool = False
    seed: int = 0


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
    if not source.bundle.is_file():
        raise PracticeError(f"there is no file {source.bundle}", hint="--bundle names the competition's zip")
    files = list_bundle(source.bundle)
    check_bundle(source.bundle)
    sample_name = source.sample or find_sample(files)
    sample = _read_member(source.bundle, sample_name, files)
    solution = read_labelled_table(source.solution)
    ids = source.ids or (str(sample.columns[0]),)
    columns = tuple(str(name) for name in sample.columns if name not in ids)
    _check_solution(source, solution, sample, ids)
    if source.leaderboard is not None:
        read_leaderboard(source.leaderboard)
    truths = [str(name) for name in solution.columns if name not in (*ids, USAGE)]
    classes = _classes(source.metric, solution, truths, columns)
    task = task_of(source.metric, columns if set(columns) == set(truths) else truths, classes)
    solution = _with_usage(solution, truths, classes, source.seed)
    with new_competition(paths, source.slug) as hosted:
        shutil.copyfile(source.bundle, hosted.bundle)
        write_text(hosted.solution, str(solution.to_csv(index=False, lineterminator="\n")))
        if source.leaderboard is not None:
            shutil.copyfile(source.leaderboard, hosted.leaderboard)
        definition = Definition(
            slug=source.slug,
            title=source.title,
            description=source.description,
            task=task.value,
            metric=source.metric.name,
            evaluation_metric=kaggle_name(source.metric, task),
            greater_is_better=source.metric.greater_is_better,
            ids=ids,
            submission_columns=columns,
            classes=classes,
            sample_submission=sample_name,
            train_rows=None,
            test_rows=len(solution),
            public_rows=int((solution[USAGE].str.casefold() == "public").sum()),
            max_daily_submissions=source.daily,
            rules_required=source.rules_required,
            created=datetime.now(UTC),
            bundle_sha256=sha256_of_file(hosted.bundle),
        )
        write_definition(hosted, definition)
    return definition


def find_sample(files: Sequence[BundleFile]) -> str:
    """The name of a bundle's sample submission.

    Raises:
        PracticeError: none is called so, or several are.
    """
    tables = [file.name for file in files if PurePosixPath(file.name).suffix.lower() == ".csv"]
    called = [name for name in tables if "submission" in name.lower()]
    found = [name for name in called if "sample" in name.lower()] or called
    if len(found) == 1:
        return found[0]
    listed = ", ".join(found or tables[:10]) or "none"
    problem = "several sample submissions" if found else "no file called sample submission; its CSV files"
    raise PracticeError(f"the bundle has {problem}: {listed}", hint="name it: --sample FILE")


def _read_member(bundle: Path, name: str, files: Sequence[BundleFile]) -> pd.DataFrame:
    import pandas as pd

    if name not in {file.name for file in files}:
        tables = ", ".join(file.name for file in files if file.name.lower().endswith(".csv"))
        raise PracticeError(f"the bundle has no file {name!r}; its CSV files: {tables or 'none'}")
    try:
        content = io.BytesIO(read_member(bundle, name))
        return pd.read_csv(content, dtype=str, keep_default_na=False, na_filter=False, encoding="utf-8-sig")
    except ValueError as error:
        raise PracticeError(f"{name} in the bundle cannot be read as a CSV: {error}") from error


def _check_solution(
    source: BundleCompetition, solution: pd.DataFrame, sample: pd.DataFrame, ids: tuple[str, ...]
) -> None:
    """The solution must have the sample's ids and usable truths: the sample itself, scored, says so."""
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
    if given != known or len(known) != len(solution):
        missing, extra = given - known, known - given
        example = ", ".join(next(iter(sorted(missing or extra or known))))
        raise PracticeError(
            f"the solution's ids are not those of the sample submission: {len(missing)} are missing, {len(extra)} are "
            f"not in the sample, {len(solution) - len(known)} are double; e.g. {example}"
        )
    _try_sample(source.metric, sample, solution, ids)


def _try_sample(metric: Metric, sample: pd.DataFrame, solution: pd.DataFrame, ids: tuple[str, ...]) -> None:
    """Score the sample submission, as a first participant would."""
    import pandas as pd

    try:
        tables = [
            pd.read_csv(
                io.StringIO(table.to_csv(index=False)),
                dtype=dict.fromkeys(ids, str),
                keep_default_na=False,
                na_values=[""],
            )
            for table in (sample, solution)
        ]
        metric.score_frames(tables[0], tables[1], ids)
    except DataError as error:
        raise PracticeError(
            f"the sample submission cannot be scored with {metric.name!r}: {error.message}", hint=error.hint
        ) from error


def _classes(metric: Metric, solution: pd.DataFrame, truths: list[str], columns: tuple[str, ...]) -> tuple[str, ...]:
    """Class labels of a single target: the sample's columns where it has one a class, else the solution's labels."""
    if metric.prediction is PredictionKind.VALUE or len(truths) != 1:
        return ()
    return columns if len(columns) > 1 else sorted_classes(list(solution[truths[0]]))


def _with_usage(solution: pd.DataFrame, truths: list[str], classes: tuple[str, ...], seed: int) -> pd.DataFrame:
    if USAGE in solution.columns:
        return solution
    labels = list(solution[truths[0]]) if classes else None
    is_public = choose_rows(len(solution), PUBLIC_SHARE, seed, "practice public rows", labels)
    return solution.assign(**{USAGE: ["Public" if public else "Private" for public in is_public]})

"""A competition's tables, read and aligned."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from kagglerun.config.card import Card
from kagglerun.data.image_files import find_images, image_names
from kagglerun.data.long_layout import is_paired, rows_of_pairs
from kagglerun.data.named_files import has_place, rows_from_files
from kagglerun.data.table_files import TABLE_SUFFIXES, is_text, read_alike, read_header, read_table
from kagglerun.data.targets import encode_targets
from kagglerun.errors import DataError, UnresolvedCard
from kagglerun.workspace import CompetitionPaths

Array: TypeAlias = npt.NDArray[Any]

__all__ = [
    "TABLE_SUFFIXES",
    "CompetitionData",
    "TestRows",
    "composed_ids",
    "is_text",
    "join_labels",
    "load_competition",
    "load_test_rows",
    "read_alike",
    "read_header",
    "read_table",
    "require_columns",
    "row_keys",
    "shared_features",
    "text_columns",
    "with_parts",
]


@dataclass(frozen=True, eq=False)
class CompetitionData:
    """The tables of a competition.

    Attributes:
        card: what is known of it.
        train: training rows.
        test: test rows: the test table, or the sample submission's unique ids when there is no test table.
        sample: the sample submission.
        targets: (n,) int64 indices into `card.classes` for binary and multiclass, (n, n_targets) float64 else.
        features: columns of both tables that are neither ids nor targets.
        train_images: the image of each training row, None without images.
        test_images: the image of each test row, None without images.
    """

    card: Card
    train: pd.DataFrame
    test: pd.DataFrame
    sample: pd.DataFrame
    targets: Array
    features: tuple[str, ...]
    train_images: tuple[Path, ...] | None
    test_images: tuple[Path, ...] | None

    @cached_property
    def train_ids(self) -> pd.DataFrame:
        """The id columns of the training rows; their row numbers (`row`) where the training table has no ids."""
        if self.card.ids and set(self.card.ids) <= set(self.train.columns):
            return self.train[list(self.card.ids)]
        return pd.DataFrame({"row": np.arange(len(self.train))})

    @cached_property
    def test_ids(self) -> pd.DataFrame:
        """The id columns of the test rows; their row numbers (`row`) where the sample submission has no ids."""
        return self.test[list(self.card.ids)] if self.card.ids else pd.DataFrame({"row": np.arange(len(self.test))})

    @property
    def groups(self) -> Array | None:
        """Group of each training row, None where the card names no group column."""
        return None if self.card.group is None else self.train[self.card.group].to_numpy()

    @property
    def times(self) -> Array | None:
        """Time of each training row, None where the card names no time column."""
        return None if self.card.time is None else self.train[self.card.time].to_numpy()


def load_competition(paths: CompetitionPaths, card: Card) -> CompetitionData:
    """Read a competition's tables as its card describes them.

    Raises:
        UnresolvedCard: the card lacks what is needed to read them.
        DataError: the data was not fetched; a file, column, image or label is missing or damaged; the sample
            submission asks for rows that the test table does not have.
    """
    card.require_resolved(paths.card)
    _require_fetched(paths)
    tables = _read_tables(paths, card)
    sample, train = tables["sample_submission"], tables["train_table"]
    require_columns(sample, card.ids, _in(paths, card.files.sample_submission))
    test = (
        _with_ids(tables["test_table"], sample, card, paths)
        if "test_table" in tables
        else _rows_of_sample(sample, card)
    )
    origin = _in(paths, card.files.train_labels or card.files.train_table or card.files.train_files)
    require_columns(train, [*card.targets, *(name for name in (card.group, card.time) if name)], origin)
    return CompetitionData(
        card=card,
        train=train,
        test=test,
        sample=sample,
        targets=encode_targets(train, card, origin),
        features=shared_features(train, test, card),
        train_images=find_images(paths.data, card.files.train_files, train, card.ids),
        test_images=find_images(paths.data, card.files.test_files, test, card.ids),
    )


@dataclass(frozen=True, eq=False)
class TestRows:
    """The test rows alone, as a notebook sees those that nobody saw before.

    Attributes:
        test: test rows, in the order that `CompetitionData.test` would have.
        sample: the sample submission.
        images: the image of each row, there or not; None without images.
    """

    __test__ = False  # no test of pytest's

    test: pd.DataFrame
    sample: pd.DataFrame
    images: tuple[Path, ...] | None


def load_test_rows(paths: CompetitionPaths, card: Card, text: Iterable[str]) -> TestRows:
    """Read the test table and the sample submission as `load_competition` does, without the training rows.

    Args:
        paths: the competition's files.
        card: what is known of it.
        text: columns that are text in one of the competition's tables, see `text_columns`.

    Raises:
        DataError: a file or column is missing or damaged, or the sample submission asks for rows that the test table
            does not have.
    """
    _require_fetched(paths)
    fields = ["sample_submission", *(["test_table"] if card.files.test_table is not None else [])]
    files = [_named_file(paths, getattr(card.files, name), name) for name in fields]
    sample, *tables = read_alike(files, text=text)
    require_columns(sample, card.ids, _in(paths, card.files.sample_submission))
    if tables:
        if card.id_format is not None and len(card.ids) == 1:
            tables = [with_parts(composed_ids(tables[0], card.ids[0], card.id_format), card.ids[0], card.id_format)]
        test = _with_ids(tables[0], sample, card, paths)
    else:
        test = _rows_of_sample(sample, card)
    pattern = card.files.test_files
    named = None if pattern is None else image_names(pattern, test, card.ids)
    return TestRows(test, sample, None if named is None else tuple(paths.data / name for name in named))


def text_columns(data: CompetitionData) -> tuple[str, ...]:
    """Columns that are text in one of the tables, and so in all of them."""
    frames = (data.train, data.test, data.sample)
    return tuple(sorted({str(name) for frame in frames for name in frame.columns if is_text(frame[name])}))


def _read_tables(paths: CompetitionPaths, card: Card) -> dict[str, pd.DataFrame]:
    """The card's tables by their field; `train_table` has its labels, and every table its composed ids."""
    fields = ["sample_submission", *(["train_table"] if not _labels_in_names(card) else [])]
    fields += [name for name in ("train_labels", "test_table") if getattr(card.files, name) is not None]
    files = [_named_file(paths, getattr(card.files, name), name) for name in fields]
    tables = dict(zip(fields, read_alike(files), strict=True))
    if "train_table" not in tables:
        tables["train_table"] = rows_from_files(paths.data, card.files.train_files or "", card.ids, card.targets)
    if "train_labels" in tables:
        labels = tables.pop("train_labels")
        tables["train_table"] = join_labels(tables["train_table"], labels, _join_columns(tables, labels, card))
    for name in ("train_table", "test_table"):
        if name in tables and card.id_format is not None and len(card.ids) == 1:
            tables[name] = with_parts(
                composed_ids(tables[name], card.ids[0], card.id_format), card.ids[0], card.id_format
            )
    return tables


def _labels_in_names(card: Card) -> bool:
    """Whether the training rows are files whose names hold the label."""
    pattern = card.files.train_files
    return card.files.train_table is None and pattern is not None and has_place(pattern, card.targets)


def _join_columns(tables: dict[str, pd.DataFrame], labels: pd.DataFrame, card: Card) -> tuple[str, ...]:
    train = tables["train_table"]
    return card.ids or tuple(name for name in train.columns if name in labels.columns and name not in card.targets)


def join_labels(train: pd.DataFrame, labels: pd.DataFrame, ids: Iterable[str]) -> pd.DataFrame:
    """The training table with the columns of a second table that it lacks, joined by the ids.

    Raises:
        DataError: an id is not in both tables, or names several rows of one.
    """
    names = list(ids)
    for frame, origin in ((train, "the training table"), (labels, "the table of labels")):
        require_columns(frame, names, origin)
    if not names:
        raise DataError(
            "the training table and its labels have no column in common", hint="correct `files` in the card"
        )
    given, wanted = row_keys(labels, names), row_keys(train, names)
    if given.has_duplicates or wanted.has_duplicates:
        raise DataError(f"{' and '.join(names)} does not name each row of the training table and its labels once")
    rows = given.get_indexer(wanted)
    if (rows < 0).any():
        raise DataError(f"{int((rows < 0).sum())} of {len(train)} training rows have no label")
    new = [name for name in labels.columns if name not in train.columns]
    return train.assign(**{str(name): labels[name].to_numpy()[rows] for name in new})


def composed_ids(table: pd.DataFrame, id_: str, id_format: str) -> pd.DataFrame:
    """The table with its id column, put together as the card's `id_format` says, if it has what that names."""
    places = re.findall(r"\{([^{}]+)\}", id_format)
    if id_ in table.columns or not set(places) <= set(table.columns) or re.search(r"\*\d", id_format):
        return table
    return table.assign(**{id_: image_names(id_format, table, ())})


def with_parts(table: pd.DataFrame, id_: str, id_format: str) -> pd.DataFrame:
    """The table with the parts of its composed ids as text columns of their own, split from the end.

    Columns that are there stay. An arithmetical format (`{row}*100+{class}`) is not taken apart.
    """
    pieces = re.split(r"\{([^{}]+)\}", id_format)
    places, separators = pieces[1::2], set(pieces[2:-1:2])
    if id_ not in table.columns or len(separators) != 1 or "*" in id_format or "" in separators:
        return table
    parts = table[id_].map(str).str.rsplit(separators.pop(), n=len(places) - 1, expand=True)
    if len(parts.columns) != len(places):
        return table
    new = {place: parts[number] for number, place in enumerate(places) if place not in table.columns}
    return table.assign(**new)


def shared_features(train: pd.DataFrame, test: pd.DataFrame, card: Card) -> tuple[str, ...]:
    """Columns of both tables that are neither ids nor targets, in the training table's order."""
    taken = {*card.ids, *card.targets}
    return tuple(name for name in train.columns if name in test.columns and name not in taken)


def require_columns(frame: pd.DataFrame, names: Iterable[str], origin: str) -> None:
    """Check that a table has columns.

    Raises:
        DataError: it lacks one; the message names it, its table and the columns there are.
    """
    missing = [name for name in names if name not in frame.columns]
    if missing:
        shown = ", ".join(map(str, frame.columns[:12])) + (", ..." if len(frame.columns) > 12 else "")
        raise DataError(
            f"{origin} has no column {missing[0]!r}; it has: {shown}",
            hint="correct competition.yaml, or fetch the competition again",
        )


def row_keys(frame: pd.DataFrame, ids: Iterable[str]) -> pd.Index[Any]:
    """Ids of each row as text, so that tables compare whatever types their ids were read as."""
    columns = [frame[name].map(str) for name in ids]
    return pd.Index(columns[0]) if len(columns) == 1 else pd.MultiIndex.from_arrays(columns)


def _rows_of_sample(sample: pd.DataFrame, card: Card) -> pd.DataFrame:
    if not card.ids:
        return pd.DataFrame({"row": np.arange(len(sample))})
    rows = sample[list(card.ids)].drop_duplicates(ignore_index=True)
    return with_parts(rows, card.ids[0], card.id_format) if card.id_format and len(card.ids) == 1 else rows


def _with_ids(test: pd.DataFrame, sample: pd.DataFrame, card: Card, paths: CompetitionPaths) -> pd.DataFrame:
    """The test table, checked to have every row that the sample submission asks for.

    Ids that the test table does not have number its rows: they are taken over by position.
    """
    if is_paired(card) and not set(card.ids) <= set(test.columns):
        paired = rows_of_pairs(test, sample[list(card.ids)], card)
        if paired is not None:
            return paired
    if card.ids and not set(card.ids) & set(test.columns) and len(sample) == len(test):
        return pd.concat([sample[list(card.ids)], test], axis=1)
    if not card.ids and len(sample) == len(test):
        return test
    if not card.ids:
        raise DataError(f"the sample submission has {len(sample)} rows, the test table {len(test)}, and no ids")
    require_columns(test, card.ids, _in(paths, card.files.test_table))
    wanted, given = row_keys(sample, card.ids), row_keys(test, card.ids)
    missing = wanted[~wanted.isin(given)]
    if len(missing):
        raise DataError(
            f"{len(missing)} of {len(wanted)} ids of the sample submission are not in the test table, "
            f"e.g. {missing[0]}",
            hint="correct `ids` or `files.test_table` in competition.yaml",
        )
    return test


def _require_fetched(paths: CompetitionPaths) -> None:
    if not paths.data.is_dir() or not any(paths.data.iterdir()):
        raise DataError(f"the data of {paths.slug} is not here: {paths.data}", hint=f"kagglerun fetch {paths.slug}")


def _named_file(paths: CompetitionPaths, name: str | None, field: str) -> Path:
    if name is None:
        raise UnresolvedCard(
            f"{paths.slug}: files.{field} is not known", hint=f"write it into {paths.card}, under `files:`"
        )
    if not (paths.data / name).is_file():
        raise DataError(f"{paths.data / name} is missing", hint=f"kagglerun fetch {paths.slug}")
    return paths.data / name


def _in(paths: CompetitionPaths, name: str | None) -> str:
    return f"{paths.slug}/{name}"

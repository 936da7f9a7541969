"""A competition's test set with other rows, for rehearsals: what a hidden test set may be like.

The test table and the sample submission are changed together, cell by cell as they are written, so that what stays is
the same to the byte.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from kagglerun.config.card import Card
from kagglerun.data.image_files import image_names
from kagglerun.data.table_files import csv_options, encodings, read_cells
from kagglerun.data.tables import composed_ids, with_parts
from kagglerun.errors import DataError
from kagglerun.files import atomic_path
from kagglerun.paths import CompetitionPaths

_WHOLE_NUMBER = re.compile(r"0|-?[1-9]\d{0,17}")


@dataclass(frozen=True)
class TestTables:
    """Test rows and sample submission, every cell its text.

    Attributes:
        card: the competition.
        rows: the test table; None where the sample submission alone lists the test rows.
        sample: the sample submission.
        key: the column that names a test row, in `rows`, else in `sample`; None where rows are numbered.
        asks: (len(sample),) int64, the test row that each row of the sample asks for.
    """

    __test__ = False  # no test of pytest's

    card: Card
    rows: pd.DataFrame | None
    sample: pd.DataFrame
    key: str | None
    asks: NDArray[np.int64]

    @property
    def table(self) -> pd.DataFrame:
        """What lists the test rows."""
        return self.sample if self.rows is None else self.rows

    @property
    def count(self) -> int:
        """Number of test rows."""
        return int(self.asks.max()) + 1 if self.rows is None and len(self.asks) else len(self.table)


def read_test_tables(paths: CompetitionPaths, card: Card) -> TestTables:
    """Read them.

    Raises:
        DataError: they are in a format whose cells cannot be changed one by one, or their rows do not belong together.
    """
    sample_path, table_path = (
        _text_table(paths, card.files.sample_submission),
        _text_table(paths, card.files.test_table),
    )
    if sample_path is None:
        raise DataError("the card names no sample submission")
    sample = read_cells(sample_path)
    rows = None if table_path is None else read_cells(table_path)
    if rows is None:
        key = card.ids[0] if card.ids else None
        asks = np.arange(len(sample)) if key is None else pd.factorize(pd.Series(list(_tuples(sample, card.ids))))[0]
        return TestTables(card, None, sample, key, asks.astype(np.int64))
    key, asks = _asked(rows, sample, card)
    return TestTables(card, rows, sample, key, asks)


def _text_table(paths: CompetitionPaths, name: str | None) -> Path | None:
    if name is None:
        return None
    if not name.lower().endswith((".csv", ".tsv", ".parquet")):
        raise DataError(f"{name} is no CSV, TSV or Parquet file, whose cells could be changed")
    return paths.data / name


def _tuples(table: pd.DataFrame, columns: Sequence[str]) -> zip[tuple[str, ...]]:
    return zip(*(table[name] for name in columns), strict=True)


def _asked(rows: pd.DataFrame, sample: pd.DataFrame, card: Card) -> tuple[str | None, NDArray[np.int64]]:
    """The column that names a test row, and the row that each row of the sample asks for."""
    parted = with_parts(sample, card.ids[0], card.id_format) if card.id_format and len(card.ids) == 1 else sample
    named = [name for name in card.ids if name in rows.columns]
    parts = [name for name in re.findall(r"\{([^{}]+)\}", card.id_format or "") if name in rows.columns]
    columns = named or [name for name in parts if name in parted.columns]
    if not columns and len(rows) == len(sample):
        return None, np.arange(len(rows), dtype=np.int64)
    known = pd.Series(list(_tuples(rows, columns))) if columns else pd.Series(dtype=object)
    if not columns or known.duplicated().any():
        raise DataError("how the sample submission's ids name rows of the test table is not certain")
    position = {name: number for number, name in enumerate(known)}
    asks = [position.get(name, -1) for name in _tuples(parted, columns)]
    if not asks or min(asks) < 0:
        raise DataError("the sample submission asks for rows that the test table does not have")
    return columns[0], np.asarray(asks, dtype=np.int64)


def with_rows(tables: TestTables, chosen: NDArray[np.int64]) -> TestTables:
    """The same test set with only some of its rows.

    Args:
        tables: the test set.
        chosen: (m,) positions of test rows, rising.
    """
    place = np.full(tables.count, -1, dtype=np.int64)
    place[chosen] = np.arange(len(chosen))
    kept = place[tables.asks] >= 0
    rows = None if tables.rows is None else tables.rows.iloc[chosen].reset_index(drop=True)
    sample = tables.sample[kept].reset_index(drop=True)
    return TestTables(tables.card, rows, sample, tables.key, place[tables.asks][kept])


def repeated(tables: TestTables, times: int) -> TestTables:
    """The test set followed by copies of itself under new ids.

    Args:
        tables: the test set.
        times: how many times as large the new one is.
    """
    copies = [_renamed(tables, number) for number in range(times)]
    rows = None if tables.rows is None else pd.concat([copy.rows for copy in copies], ignore_index=True)
    sample = pd.concat([copy.sample for copy in copies], ignore_index=True)
    asks = np.concatenate([copy.asks + number * tables.count for number, copy in enumerate(copies)])
    return TestTables(tables.card, rows, sample, tables.key, asks)


def _renamed(tables: TestTables, number: int) -> TestTables:
    """A copy under new ids; copy 0 keeps them."""
    if number == 0 or tables.key is None:
        return _numbered_on(tables, number)
    new = _new_names(tables.table[tables.key] if tables.key in tables.table else tables.sample[tables.key], number)
    rows = tables.rows
    if rows is not None:
        rows = rows.assign(**{tables.key: rows[tables.key].map(new)})
        rows = _recomposed(rows, tables.card, tables.key)
    return TestTables(tables.card, rows, _renamed_sample(tables, new), tables.key, tables.asks)


def _numbered_on(tables: TestTables, number: int) -> TestTables:
    """Rows without a name of their own: ids of the sample that number them go on counting."""
    card = tables.card
    if number == 0 or not card.ids:
        return tables
    new = _new_names(tables.sample[card.ids[0]], number)
    sample = tables.sample.assign(**{card.ids[0]: tables.sample[card.ids[0]].map(new)})
    return TestTables(card, tables.rows, sample, None, tables.asks)


def _renamed_sample(tables: TestTables, new: Mapping[str, str]) -> pd.DataFrame:
    card, key, sample = tables.card, tables.key, tables.sample
    assert key is not None
    if key in sample.columns:
        return _recomposed(sample.assign(**{key: sample[key].map(new)}), card, key)
    [id_] = card.ids
    parted = with_parts(sample, id_, card.id_format or "")
    parted = parted.assign(**{key: parted[key].map(new)}).drop(columns=id_)
    return composed_ids(parted, id_, card.id_format or "")[list(sample.columns)]


def _recomposed(table: pd.DataFrame, card: Card, key: str) -> pd.DataFrame:
    """The table with its composed id put together again, where it has that and its parts."""
    if card.id_format is None or len(card.ids) != 1 or card.ids[0] == key or card.ids[0] not in table.columns:
        return table
    return composed_ids(table.drop(columns=card.ids[0]), card.ids[0], card.id_format)[list(table.columns)]


def _new_names(names: pd.Series, number: int) -> dict[str, str]:
    """Other names of the same kind: whole numbers stay whole numbers."""
    known = list(dict.fromkeys(names))
    if all(_WHOLE_NUMBER.fullmatch(name) for name in known):
        values = [int(name) for name in known]
        span = max(values) - min(values) + 1
        return {name: str(value + number * span) for name, value in zip(known, values, strict=True)}
    return {name: f"{name}x{number}" for name in known}


def with_strange_cells(tables: TestTables, kept: Sequence[str]) -> tuple[TestTables, list[str]]:
    """The test set with values that no training row has: unknown categories, and gaps in columns of numbers.

    Args:
        tables: the test set.
        kept: further columns that stay: they name files.

    Returns:
        The new one, and the columns that were changed.
    """
    if tables.rows is None:
        return tables, []
    stays = {*tables.card.ids, *kept, tables.key, tables.card.group, tables.card.time}
    table, changed = tables.rows.copy(), [name for name in tables.rows.columns if name not in stays]
    third = np.arange(len(table)) % 3 == 0
    for name in changed:
        table.loc[third, name] = "never seen before" if _is_words(table[name]) else ""
    return TestTables(tables.card, table, tables.sample, tables.key, tables.asks), changed


def _is_words(cells: pd.Series[str]) -> bool:
    """Whether a column holds neither numbers, nor yes and no, nor dates."""
    filled = cells[cells != ""]
    if filled.empty or pd.to_numeric(filled, errors="coerce").notna().any():
        return False
    if filled.str.lower().isin(["true", "false"]).all():
        return False
    return bool(pd.to_datetime(filled, errors="coerce", format="ISO8601").isna().any())


def write_test_set(
    paths: CompetitionPaths, card: Card, tables: TestTables, original: TestTables, folder: Path
) -> CompetitionPaths:
    """Write the competition with another test set; other files are linked, not copied, where that can be.

    Args:
        paths: the competition as it is.
        card: what is known of it.
        tables: the new test set.
        original: the test set that stands there; where the new one is longer, its further rows repeat these.
        folder: where to; made.
    """
    made = CompetitionPaths(folder / paths.slug)
    linked = {str(card.files.sample_submission), str(card.files.test_table)}
    shutil.copytree(paths.data, made.data, copy_function=_link, ignore=_hidden_and(linked, paths.data))
    for source in (paths.card, paths.hooks):
        if source.is_file():
            shutil.copyfile(source, made.folder / source.name)
    _write_table(
        tables.sample, paths.data / str(card.files.sample_submission), made.data / str(card.files.sample_submission)
    )
    if tables.rows is not None:
        _write_table(tables.rows, paths.data / str(card.files.test_table), made.data / str(card.files.test_table))
    _link_files(made, card, tables, original)
    return made


def file_names(tables: TestTables) -> list[str]:
    """The file of each test row; empty where rows have none."""
    pattern = tables.card.files.test_files
    if pattern is None:
        return []
    listed = tables.table if tables.rows is not None else _first_of_each(tables)
    return image_names(pattern, listed, tables.card.ids)


def _first_of_each(tables: TestTables) -> pd.DataFrame:
    _, first = np.unique(tables.asks, return_index=True)
    rows = tables.sample.iloc[first]
    card = tables.card
    return with_parts(rows, card.ids[0], card.id_format) if card.id_format and len(card.ids) == 1 else rows


def _link_files(made: CompetitionPaths, card: Card, tables: TestTables, original: TestTables) -> None:
    """Give each new row a file of its own: that of the row it repeats."""
    if card.files.test_files is None:
        return
    old = file_names(original)
    for number, name in enumerate(file_names(tables)):
        target = made.data / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(str(made.data / old[number % len(old)]), str(target))


def _link(source: str, destination: str) -> None:
    """A second name for a file; a copy where the disk has no such thing, or it is another disk."""
    try:
        os.link(Path(source).resolve(), destination)
    except OSError:
        shutil.copyfile(source, destination)


def _hidden_and(names: set[str], data: Path) -> Callable[[str, list[str]], set[str]]:
    def ignored(folder: str, content: list[str]) -> set[str]:
        here = Path(folder).relative_to(data)
        return {name for name in content if name.startswith(".") or (here / name).as_posix() in names}

    return ignored


def _write_table(table: pd.DataFrame, like: Path, destination: Path) -> None:
    with atomic_path(destination, durable=False) as temporary:
        if like.suffix.lower() == ".parquet":
            parquet.write_table(_typed(table, parquet.read_schema(like)), temporary)
        else:
            separator = str(csv_options(like, set(), encodings(like)[0])["sep"])
            table.to_csv(temporary, index=False, lineterminator="\n", sep=separator)


def _typed(table: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    """Texts as the values that they stand for.

    Raises:
        DataError: a column holds what has no text of its own, such as lists.
    """
    columns = {}
    for name in table.columns:
        field = schema.field(name)
        try:
            texts = pa.array([text or None for text in table[name]], type=pa.string())
            columns[name] = texts.cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise DataError(
                f"the column {name} holds values of the type {field.type}, which cannot be changed"
            ) from error
    return pa.table(columns)

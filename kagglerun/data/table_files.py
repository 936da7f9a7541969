"""Reading one table, whatever it is written as."""

from __future__ import annotations

import codecs
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api import types
from pyarrow import feather, parquet

from kagglerun.data.json_tables import JSON_SUFFIXES, flat_cells, json_header, read_json
from kagglerun.data.parquet_copies import read_copy
from kagglerun.data.streams import open_table
from kagglerun.errors import DataError

TABLE_SUFFIXES = (
    *(".csv", ".csv.gz", ".csv.zip", ".tsv", ".tsv.gz", ".tsv.zip", ".parquet", ".feather"),
    *JSON_SUFFIXES,
)
_ROWS_LOOKED_AT = 10_000
_ROWS_OF_A_CHUNK = 500_000
_BYTES_OF_A_BLOCK = 1 << 20


def read_table(
    path: Path, text: Iterable[str] = (), columns: Sequence[str] | None = None, rows: int | None = None
) -> pd.DataFrame:
    """Read a table: .csv, .tsv, .json, .jsonl (plain, .gz or .zip with one member), .parquet or .feather.

    Columns of whole numbers that are written with leading zeros (007) stay text, so that they still name files.
    Bytes that are not UTF-8 (or UTF-16 with its mark) are read as Latin-1. A header without a comma may be separated
    by semicolons or tabs. Cells of JSON and Parquet that are lists or objects become JSON text.

    Args:
        path: the file.
        text: columns to read as text whatever they hold.
        columns: read only these.
        rows: read only so many of the first rows.

    Raises:
        DataError: there is no such file, it is not a table, empty or damaged.
    """
    name = path.name.lower()
    with _table_errors(path):
        if name.endswith(".parquet"):
            frame = flat_cells(_read_parquet(path, columns, rows))
        elif name.endswith(".feather"):
            whole = feather.read_table(path, columns=None if columns is None else list(columns)).to_pandas()
            frame = flat_cells(whole[slice(rows)])
        elif name.endswith(JSON_SUFFIXES):
            frame = read_json(path, rows)
            frame = frame if columns is None else frame[list(columns)]
        else:
            copy = read_copy(path, text, columns) if rows is None else None
            return _read_csv(path, set(text), columns, rows) if copy is None else copy
        return _as_text(frame, text)


def read_cells(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """A table with every cell as its text; nothing is taken for a number or for missing.

    Numbers of JSON, Parquet and Feather files are written as Python writes them, missing values as "".

    Args:
        path: the file.
        columns: only those of these that it has.

    Raises:
        DataError: see `read_table`.
    """
    if path.name.lower().endswith((".parquet", ".feather", *JSON_SUFFIXES)):
        table = read_table(path)
        chosen = [name for name in table.columns if columns is None or name in columns]
        return pd.DataFrame({name: table[name].map(str).where(table[name].notna(), "") for name in chosen})
    with _table_errors(path):
        for encoding in encodings(path):
            try:
                separator = _separator(path, encoding)
                frame: pd.DataFrame = pd.read_csv(
                    path,
                    sep=separator,
                    encoding=encoding,
                    dtype=str,
                    keep_default_na=False,
                    na_filter=False,
                    usecols=None if columns is None else lambda name: name in columns,
                )
                return frame
            except UnicodeDecodeError:
                continue
    raise AssertionError("every byte is Latin-1")


def read_header(path: Path) -> tuple[str, ...]:
    """Names of a table's columns.

    Raises:
        DataError: see `read_table`.
    """
    name = path.name.lower()
    with _table_errors(path):
        if name.endswith(".parquet"):
            return tuple(map(str, parquet.read_schema(path).names))
        if name.endswith(".feather"):
            return tuple(map(str, feather.read_table(path, memory_map=True).schema.names))
        if name.endswith(JSON_SUFFIXES):
            return json_header(path)
        for encoding in encodings(path):
            try:
                return tuple(pd.read_csv(path, sep=_separator(path, encoding), encoding=encoding, nrows=0).columns)
            except UnicodeDecodeError:
                continue
    raise AssertionError("every byte is Latin-1")


def read_alike(
    files: Sequence[Path], rows: Sequence[int | None] | None = None, text: Iterable[str] = ()
) -> list[pd.DataFrame]:
    """Read several tables so that a column that is text in one of them is text in all.

    Args:
        files: the tables.
        rows: for each how many of its first rows; None for all.
        text: columns that are text in further tables.

    Raises:
        DataError: see `read_table`.
    """
    heads = list(rows) if rows is not None else [None] * len(files)
    frames = [read_table(file, rows=head) for file, head in zip(files, heads, strict=True)]
    as_text = {*text, *(name for frame in frames for name in frame.columns if is_text(frame[name]))}
    mixed = [any(name in as_text and not is_text(frame[name]) for name in frame.columns) for frame in frames]
    return [
        read_table(file, as_text, rows=head) if again else frame
        for file, head, frame, again in zip(files, heads, frames, mixed, strict=True)
    ]


def read_chunks(path: Path, columns: Sequence[str], text: Iterable[str] = ()) -> Iterator[pd.DataFrame]:
    """Some columns of a table, piece by piece, so that it need not fit into memory.

    Raises:
        DataError: see `read_table`.
    """
    with _table_errors(path):
        if path.name.lower().endswith(".parquet"):
            for batch in parquet.ParquetFile(path).iter_batches(_ROWS_OF_A_CHUNK, columns=list(columns)):
                yield _as_text(flat_cells(batch.to_pandas()), text)
        elif path.name.lower().endswith((*JSON_SUFFIXES, ".feather")):
            yield read_table(path, text, columns)
        else:
            yield from _csv_chunks(path, set(text), columns)


def is_text(column: pd.Series[Any]) -> bool:
    """Whether a column holds text (or a mixture), not numbers, times or True and False."""
    return types.is_string_dtype(column) or types.is_object_dtype(column)


def is_latin(path: Path) -> bool:
    """Whether a text table's bytes are no UTF-8, so that its letters beyond ASCII are not certain.

    The file is read once, piece by piece.
    """
    if not path.name.lower().endswith((".csv", ".tsv", ".csv.gz", ".tsv.gz", ".csv.zip", ".tsv.zip")):
        return False
    with _table_errors(path), open_table(path) as stream:
        decoder = codecs.getincrementaldecoder("utf-8")()
        block = stream.read(_BYTES_OF_A_BLOCK)
        if block[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return False
        try:
            while block:
                decoder.decode(block)
                block = stream.read(_BYTES_OF_A_BLOCK)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return True
    return False


@contextmanager
def _table_errors(path: Path) -> Iterator[None]:
    """Turn whatever is wrong with a file into a DataError that names it."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"there is no file {path}", hint="kagglerun fetch SLUG") from None
    except pd.errors.EmptyDataError:
        raise DataError(f"{path} is empty", hint="fetch the competition again") from None
    except (ValueError, KeyError, OSError, EOFError, IndexError, zipfile.BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} cannot be read as a table: {reason}", hint="fetch the competition again") from error


def _read_parquet(path: Path, columns: Sequence[str] | None, rows: int | None) -> pd.DataFrame:
    names = None if columns is None else list(columns)
    if rows is None:
        return pd.read_parquet(path, columns=names)
    batch = next(parquet.ParquetFile(path).iter_batches(rows, columns=names), None)
    if batch is None:
        return pd.read_parquet(path, columns=names)
    frame: pd.DataFrame = batch.to_pandas()
    return frame


def _read_csv(path: Path, text: set[str], columns: Sequence[str] | None, rows: int | None) -> pd.DataFrame:
    for encoding in encodings(path):
        try:
            options = csv_options(path, text, encoding)
            chosen = None if columns is None else list(columns)
            frame: pd.DataFrame = pd.read_csv(path, **options, usecols=chosen, nrows=rows, low_memory=False)
            return frame
        except UnicodeDecodeError:
            continue
    raise AssertionError("every byte is Latin-1")


def _csv_chunks(path: Path, text: set[str], columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    encoding = "latin-1" if is_latin(path) else encodings(path)[0]
    options = csv_options(path, text, encoding)
    with pd.read_csv(path, **options, usecols=list(columns), chunksize=_ROWS_OF_A_CHUNK) as reader:
        yield from reader


def csv_options(path: Path, text: set[str], encoding: str) -> dict[str, Any]:
    """How `pandas.read_csv` is to read a file: separator, encoding, and the columns that stay text."""
    separator = _separator(path, encoding)
    head = pd.read_csv(path, sep=separator, encoding=encoding, dtype=str, nrows=_ROWS_LOOKED_AT)
    padded = [name for name in head.columns if head[name].str.fullmatch(r"0\d+").any()]
    types_of = {name: "str" for name in head.columns if name in text or name in padded}
    return {"sep": separator, "encoding": encoding, "dtype": types_of}


def encodings(path: Path) -> tuple[str, ...]:
    """Encodings to try for a text table, in this order."""
    with open_table(path) as stream:
        marked = stream.read(2) in (b"\xff\xfe", b"\xfe\xff")
    return ("utf-16",) if marked else ("utf-8", "latin-1")


def _separator(path: Path, encoding: str) -> str:
    """The character between the columns, from the header."""
    if ".tsv" in path.name.lower():
        return "\t"
    with open_table(path) as stream:
        header = stream.readline().decode(encoding, "ignore")
    return next((candidate for candidate in (",", ";", "\t") if candidate in header), ",")


def _as_text(frame: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    chosen = [name for name in names if name in frame.columns]
    return frame.assign(**{name: frame[name].astype("str") for name in chosen}) if chosen else frame

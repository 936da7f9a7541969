"""The file format of a submission: the sample submission's own.

A text table keeps the sample's separator; a Parquet sample is answered by Parquet with its schema; a JSON sample by
JSON of its kind.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from kagglerun.data.json_tables import JSON_SUFFIXES, json_kind
from kagglerun.data.table_files import csv_options, encodings, read_cells, read_table
from kagglerun.errors import DataError, SubmissionInvalid

_JSON_KINDS = ("records", "lines")


def suffix_of(sample: Path) -> str:
    """The ending of a submission's name, `.csv` for most samples, packed ones too."""
    endings = (".tsv", ".parquet", ".feather", ".jsonl", ".ndjson", ".json")
    return next((ending for ending in endings if ending in sample.suffixes[-2:]), ".csv")


def write_like_sample(sample: Path, text: pd.DataFrame, predicted: dict[str, Any], destination: Path) -> None:
    """Write a submission in the format of its sample.

    Args:
        sample: the sample submission.
        text: its cells as text, in the rows of the submission.
        predicted: the predicted columns by name, (n,) each, in these rows.
        destination: where to write.

    Raises:
        DataError: the sample has a format that no submission is written in.
    """
    suffix = suffix_of(sample)
    if not holds_text(sample) and len(text) != len(read_cells(sample)):
        raise DataError(f"{sample.name}: several rows of an id are written as text only", hint="submit your own file")
    if suffix == ".parquet":
        parquet.write_table(_arrow(sample, predicted), destination)
    elif sample.name.lower().endswith(JSON_SUFFIXES):
        _write_json(sample, predicted, destination)
    elif suffix == ".feather":
        raise DataError(f"{sample.name}: submissions are not written as Feather", hint="submit a file of your own")
    else:
        table = text.assign(**predicted)
        table.to_csv(destination, index=False, lineterminator="\n", sep=separator_of(sample))


def holds_text(sample: Path) -> bool:
    """Whether submissions are lines of text: CSV or TSV."""
    return suffix_of(sample) in (".csv", ".tsv")


def separator_of(sample: Path) -> str:
    """The character between the sample's columns."""
    return str(csv_options(sample, set(), encodings(sample)[0])["sep"])


def read_like_sample(path: Path, sample: Path, separator: str | None = None) -> pd.DataFrame:
    """A submission file with every cell as its text; nothing is taken for a number or for missing.

    Args:
        path: the file.
        sample: the sample submission.
        separator: the character between the file's columns; by default the sample's.

    Raises:
        SubmissionInvalid: its name does not end as the sample's format demands.
        DataError: it cannot be read.
    """
    suffix = suffix_of(sample)
    if not holds_text(sample):
        if path.suffix.lower() != suffix:
            raise SubmissionInvalid(f"{path.name} does not end with {suffix}, as the sample submission's name does")
        return read_cells(path)
    try:
        between = separator or separator_of(sample)
        table: pd.DataFrame = pd.read_csv(path, dtype=str, keep_default_na=False, na_filter=False, sep=between)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} cannot be read as CSV: {reason}") from None
    if not isinstance(table.index, pd.RangeIndex):
        raise SubmissionInvalid(f"the lines of {path.name} have more values than its header has names")
    return table


def _arrow(sample: Path, predicted: dict[str, Any]) -> pa.Table:
    """The sample's table with other values; a column's type stays unless it cannot hold them."""
    table = parquet.read_table(sample)
    for name, values in predicted.items():
        place = table.schema.get_field_index(name)
        given = pa.array(list(values))
        try:
            given = given.cast(table.schema.field(place).type, safe=not pa.types.is_floating(given.type))
            whole = not pa.types.is_integer(given.type) or np.array_equal(np.asarray(given), _numbers(values))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            whole = False
        table = table.set_column(place, name, given if whole else pa.array(list(values)))
    return table


def _numbers(values: Any) -> Any:
    """Values as numbers, so that a fraction that a whole number cannot hold shows."""
    return np.asarray(list(values), dtype=np.float64)


def _write_json(sample: Path, predicted: dict[str, Any], destination: Path) -> None:
    kind = json_kind(sample)
    if kind not in _JSON_KINDS:
        raise DataError(
            f"{sample.name} is JSON of the kind {kind!r}; submissions are written as {' or '.join(_JSON_KINDS)}",
            hint="write the file yourself, then: kagglerun submit FILE",
        )
    table = read_table(sample).assign(**{name: list(values) for name, values in predicted.items()})
    table.to_json(destination, orient="records", lines=kind == "lines", double_precision=15, force_ascii=False)

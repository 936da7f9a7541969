"""From the columns of a table to numbers: what trees and networks on tables share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kagglerun.errors import DataError

_MOSTLY_UNIQUE = 0.5
_FEW_VALUES = 20


@dataclass(frozen=True)
class TableFeatures:
    """A table as numbers.

    Attributes:
        names: column names, categories last.
        numbers: float64 (n, n_numbers); missing values are NaN.
        codes: int64 (n, n_categories); the value's number, -1 where it is missing.
        sizes: number of values of each category.
    """

    names: tuple[str, ...]
    numbers: NDArray[np.float64]
    codes: NDArray[np.int64]
    sizes: tuple[int, ...]

    def matrix(self) -> NDArray[np.float64]:
        """Numbers and codes side by side, float64 (n, n_columns); missing values are NaN."""
        codes = np.where(self.codes < 0, np.nan, self.codes.astype(np.float64))
        return np.hstack([self.numbers, codes])

    def rows(self, part: slice) -> TableFeatures:
        """Some of the rows."""
        return TableFeatures(self.names, self.numbers[part], self.codes[part], self.sizes)

    @property
    def category_positions(self) -> list[int]:
        """Columns of `matrix` that hold codes."""
        first = self.numbers.shape[1]
        return list(range(first, first + self.codes.shape[1]))


@dataclass(frozen=True)
class Column:
    """How one column of a table becomes numbers.

    Attributes:
        name: of the column.
        kind: how its values are read.
        values: the texts of a category; the place of each is its code.
    """

    name: str
    kind: Literal["number", "date", "category"]
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableEncoding:
    """How the feature columns become numbers, learnt from the training and the test table.

    Attributes:
        columns: those that are learnt from, in the table's order.
    """

    columns: tuple[Column, ...]

    @classmethod
    def learn(cls, both: pd.DataFrame) -> tuple[TableEncoding, tuple[str, ...]]:
        """Look at all rows; see `encode_tables` for what becomes of which column.

        Returns:
            The encoding, and one note for each column left out.
        """
        columns, notes = [], []
        for name in both.columns:
            column = both[name]
            if column.nunique(dropna=False) < 2:
                notes.append(f"column {name} left out: it has a single value")
            elif pd.api.types.is_datetime64_any_dtype(column):
                columns.append(Column(str(name), "date"))
            elif pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
                columns.append(Column(str(name), "number"))
            elif column.nunique() > max(_FEW_VALUES, _MOSTLY_UNIQUE * len(column)):
                notes.append(f"column {name} left out: {column.nunique()} different texts in {len(column)} rows")
            else:
                columns.append(Column(str(name), "category", tuple(sorted(column.astype("string").dropna().unique()))))
        return cls(tuple(columns)), tuple(notes)

    def encode(self, table: pd.DataFrame) -> TableFeatures:
        """The numbers of some rows.

        Values that were not there when it was learnt count as missing: unknown texts of a category, texts in a
        column of numbers.

        Raises:
            DataError: the table lacks a column.
        """
        by_text = {str(name): table[name] for name in table.columns}
        missing = [column.name for column in self.columns if column.name not in by_text]
        if missing:
            raise DataError(
                f"the test table has no column {missing[0]!r}, which the model was trained on"
                + (f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""),
                hint=f"it has: {', '.join(list(by_text)[:12])}",
            )
        numbers: dict[str, NDArray[np.float64]] = {}
        codes: dict[str, NDArray[np.int64]] = {}
        for column in self.columns:
            values = by_text[column.name]
            if column.kind == "date":
                numbers.update(_date_parts(column.name, _as_dates(values)))
            elif column.kind == "number":
                numbers[column.name] = _finite(as_numbers(values))
            else:
                codes[column.name] = _codes(values, column.values)
        return TableFeatures(
            names=(*numbers, *codes),
            numbers=np.column_stack([*numbers.values()]) if numbers else np.zeros((len(table), 0)),
            codes=np.column_stack([*codes.values()]) if codes else np.zeros((len(table), 0), dtype=np.int64),
            sizes=self.sizes,
        )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of values of each category."""
        return tuple(len(column.values) for column in self.columns if column.kind == "category")

    def to_dict(self) -> list[dict[str, Any]]:
        """As JSON has it."""
        return [{"name": column.name, "kind": column.kind, "values": list(column.values)} for column in self.columns]

    @classmethod
    def from_dict(cls, saved: Sequence[Mapping[str, Any]]) -> TableEncoding:
        """What `to_dict` gave."""
        return cls(tuple(Column(said["name"], said["kind"], tuple(said["values"])) for said in saved))


def encode_tables(train: pd.DataFrame, test: pd.DataFrame) -> tuple[TableFeatures, TableFeatures, tuple[str, ...]]:
    """Turn the feature columns of both tables into numbers, in the same way.

    Numbers and booleans stay; dates become year, month, day, weekday and days since 1970; texts with few
    different values become codes, in sorted order over both tables; texts that are mostly unique (names, free
    text) and columns with a single value are left out.

    Args:
        train: feature columns of the training rows.
        test: the same columns of the test rows.

    Returns:
        Features of the training rows, of the test rows, and one note for each column left out.
    """
    both = pd.concat([train, test], ignore_index=True)
    encoding, notes = TableEncoding.learn(both)
    features = encoding.encode(both)
    return features.rows(slice(0, len(train))), features.rows(slice(len(train), len(both))), notes


def learn_encoding(train: pd.DataFrame, test: pd.DataFrame) -> TableEncoding:
    """How `encode_tables` encodes these tables."""
    return TableEncoding.learn(pd.concat([train, test], ignore_index=True))[0]


def as_numbers(column: pd.Series[Any]) -> NDArray[np.float64]:
    """A column's numbers, float64 (n,); what is none is NaN, True and False are 1 and 0."""
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    if pd.api.types.is_datetime64_any_dtype(column):
        return np.full(len(column), np.nan)
    texts = column.astype("string").replace({"True": "1", "False": "0"})
    return pd.to_numeric(texts, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isfinite(values), values, np.nan)


def _as_dates(column: pd.Series[Any]) -> pd.Series[Any]:
    if pd.api.types.is_datetime64_any_dtype(column):
        return column
    texts = column.astype("string")
    return pd.to_datetime(texts, errors="coerce", format="mixed")


def _codes(column: pd.Series[Any], values: tuple[str, ...]) -> NDArray[np.int64]:
    """The place of each text among the values, -1 for missing and unknown ones."""
    return pd.Index(values, dtype="string").get_indexer(pd.Index(column.astype("string"))).astype(np.int64)


def _date_parts(name: str, column: pd.Series) -> dict[str, NDArray[np.float64]]:
    dates = column.dt.tz_localize(None) if column.dt.tz is not None else column
    parts = {
        "year": dates.dt.year,
        "month": dates.dt.month,
        "day": dates.dt.day,
        "weekday": dates.dt.day_of_week,
        "days": (dates - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1),
    }
    return {f"{name}.{part}": values.to_numpy(dtype=np.float64, na_value=np.nan) for part, values in parts.items()}

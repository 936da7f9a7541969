"""From the columns of a table to numbers: what trees and networks on tables share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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

    @property
    def category_positions(self) -> list[int]:
        """Columns of `matrix` that hold codes."""
        first = self.numbers.shape[1]
        return list(range(first, first + self.codes.shape[1]))


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
    numbers: dict[str, NDArray[np.float64]] = {}
    codes: dict[str, tuple[NDArray[np.int64], int]] = {}
    notes = []
    for name in both.columns:
        column = both[name]
        if column.nunique(dropna=False) < 2:
            notes.append(f"column {name} left out: it has a single value")
        elif pd.api.types.is_datetime64_any_dtype(column):
            numbers.update(_date_parts(str(name), column))
        elif pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            values = column.to_numpy(dtype=np.float64, na_value=np.nan)
            numbers[str(name)] = np.where(np.isfinite(values), values, np.nan)
        elif column.nunique() > max(_FEW_VALUES, _MOSTLY_UNIQUE * len(column)):
            notes.append(f"column {name} left out: {column.nunique()} different texts in {len(column)} rows")
        else:
            codes[str(name)] = _codes(column)
    return (*_cut(numbers, codes, len(train), len(both)), tuple(notes))


def _codes(column: pd.Series) -> tuple[NDArray[np.int64], int]:
    texts = column.astype("string")
    values = sorted(texts.dropna().unique())
    codes = pd.Categorical(texts, categories=values).codes.astype(np.int64)
    return codes, len(values)


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


def _cut(
    numbers: dict[str, NDArray[np.float64]], codes: dict[str, tuple[NDArray[np.int64], int]], n_train: int, n_rows: int
) -> tuple[TableFeatures, TableFeatures]:
    """Both tables' columns, cut at the border between training and test rows."""
    names = (*numbers, *codes)
    number_matrix = np.column_stack([*numbers.values()]) if numbers else np.zeros((n_rows, 0))
    code_columns = [column for column, _ in codes.values()]
    code_matrix = np.column_stack(code_columns) if codes else np.zeros((n_rows, 0), dtype=np.int64)
    sizes = tuple(size for _, size in codes.values())
    parts = slice(0, n_train), slice(n_train, n_rows)
    train, test = (TableFeatures(names, number_matrix[part], code_matrix[part], sizes) for part in parts)
    return train, test

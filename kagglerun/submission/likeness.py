"""How alike two submission files are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata


@dataclass(frozen=True)
class Likeness:
    """How alike the predicted columns of two files are.

    Attributes:
        equal: share of cells that hold the same: the same number, or the same text.
        ranks: rank correlation (Spearman), the mean over columns; None where cells are no numbers or do not vary.
        apart: the quadratic mean of the differences, as a share of the spread; None likewise.
    """

    equal: float
    ranks: float | None
    apart: float | None


def likeness(first: pd.DataFrame, second: pd.DataFrame) -> Likeness:
    """Compare two tables of the same columns and rows, every cell its text."""
    equal, ranks, apart = [], [], []
    for name in first.columns:
        one, other = numbers_of(first[name]), numbers_of(second[name])
        if one is None or other is None:
            equal.append(float((first[name].to_numpy() == second[name].to_numpy()).mean()))
            continue
        equal.append(float((one == other).mean()))
        spread = float(other.std())
        if spread > 0 and one.std() > 0:
            ranks.append(rank_correlation(one, other))
            apart.append(float(np.sqrt(np.mean((one - other) ** 2))) / spread)
    whole = len(ranks) == len(first.columns)
    return Likeness(
        float(np.mean(equal)), float(np.mean(ranks)) if whole else None, float(np.mean(apart)) if whole else None
    )


def numbers_of(column: pd.Series[Any]) -> NDArray[np.float64] | None:
    """A column's cells as finite numbers; None where one is not."""
    values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    return values if len(values) and np.isfinite(values).all() else None


def rank_correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Spearman's coefficient; 0 where one of them does not vary."""
    return float(rank_correlations([one], [other])[0, 0])


def rank_correlations(
    ones: Sequence[NDArray[np.float64]], others: Sequence[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Spearman's coefficients of each of one list with each of another, (len(ones), len(others))."""
    first, second = (np.stack([_standard(rankdata(values)) for values in given]) for given in (ones, others))
    return np.asarray(first @ second.T / first.shape[1], dtype=np.float64)


def by_ids(table: pd.DataFrame, ids: Sequence[str], like: pd.DataFrame) -> pd.DataFrame | None:
    """The rows of a table in the order of another one's ids; None where their ids are not the same, each once.

    Args:
        table: what to bring into order, every cell its text.
        ids: the id columns; none pairs the rows as they stand.
        like: gives the order.
    """
    if not ids:
        return table if len(table) == len(like) else None
    if any(name not in table or name not in like for name in ids) or len(table) != len(like):
        return None
    given, wanted = (pd.MultiIndex.from_frame(one[list(ids)]) for one in (table, like))
    if given.has_duplicates or wanted.has_duplicates:
        same = given.equals(wanted)
        return table if same else None
    rows = given.get_indexer(wanted)
    return None if (rows < 0).any() else table.iloc[rows].reset_index(drop=True)


def _standard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = values.std()
    return np.asarray((values - values.mean()) / spread if spread > 0 else np.zeros_like(values), dtype=np.float64)

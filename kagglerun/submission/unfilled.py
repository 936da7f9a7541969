"""Rows of a file that look as if nobody had predicted them: the sample's own value, or one value over many lines."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from kagglerun.submission.findings import Finding, warning

_FINE = 50
"""Different values from which a column is a scale: equal neighbours then mean something."""
_SHARE = 0.01
_FEWEST = 10
_WHY = "part of the test rows may have been lost on the way: a batch that failed, a merge without a partner"


def check_unfilled(
    name: str, cells: pd.Series[Any], values: pd.Series[Any], sample: pd.Series[Any]
) -> Iterator[Finding]:
    """Look at a column of numbers.

    Args:
        name: the column's name.
        cells: its cells as text.
        values: the same as numbers.
        sample: the sample submission's cells of that column.
    """
    if values.nunique() < _FINE:
        return
    own = cells == sample.iloc[0] if sample.nunique() == 1 else pd.Series(False, index=cells.index)
    if own.sum() >= max(_FEWEST, _SHARE * len(cells)):
        yield warning(f"{int(own.sum())} values of {name!r} are the sample submission's own, {sample.iloc[0]}", _WHY)
        return
    first, length = _longest_run(values.to_numpy(np.float64))
    value = float(values.iloc[first])
    if length >= _FEWEST and length > _longest_by_chance(values, value, length):
        lines = f"lines {first + 2} to {first + length + 1}"
        yield warning(f"{length} neighbouring values of {name!r}, {lines}, are all {value:g}", _WHY)


def _longest_run(values: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[int, int]:
    """Where the longest run of equal values begins, and its length."""
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    lengths = np.diff(np.concatenate([starts, [len(values)]]))
    longest = int(np.argmax(lengths))
    return int(starts[longest]), int(lengths[longest])


def _longest_by_chance(values: pd.Series[Any], value: float, length: int) -> float:
    """A length that a value as common as this one, the run left out, reaches in shuffled rows next to never.

    The longest run of something with the share p among n rows is about log(n) / log(1 / p) (Erdos & Renyi 1970).
    """
    share = (int((values == value).sum()) - length + 1) / (len(values) - length + 1)
    return 3 * math.log(len(values)) / math.log(1 / share) if share < 1 else math.inf

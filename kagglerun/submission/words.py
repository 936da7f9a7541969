"""How findings speak of rows, lines and names."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd


def counted(count: int, name: str) -> str:
    """`1 value of 'age' is` or `3 values of 'age' are`."""
    return f"1 value of {name!r} is" if count == 1 else f"{count} values of {name!r} are"


def count_of(mask: pd.Series[bool], name: str) -> str:
    """`counted` for the rows that a mask marks."""
    return counted(int(mask.sum()), name)


def place_of(mask: pd.Series[bool]) -> str:
    """The first line that a mask marks, counted from 1 with the header."""
    return f"line {int(np.flatnonzero(mask.to_numpy())[0]) + 2}"


def quoted(names: Iterable[object]) -> str:
    """Names in quotation marks, at most eight."""
    listed = list(names)
    shown = ", ".join(repr(str(name)) for name in listed[:8])
    return shown + (f", ... ({len(listed)} in all)" if len(listed) > 8 else "")

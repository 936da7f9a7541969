"""Training rows that are files whose names hold the label, e.g. `train/{breed}/{id}.jpg`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from kagglerun.errors import DataError

_PLACE = re.compile(r"\{([^{}]+)\}")


def places(pattern: str) -> tuple[str, ...]:
    """The names that stand in braces in a pattern."""
    return tuple(_PLACE.findall(pattern))


def has_place(pattern: str, names: Sequence[str]) -> bool:
    """Whether a pattern has a place with one of the names."""
    return any(place in names for place in places(pattern))


def rows_from_files(data: Path, pattern: str, ids: Sequence[str], targets: Sequence[str]) -> pd.DataFrame:
    """One row a file that the pattern fits, in the order of their paths.

    Args:
        data: the competition's data folder.
        pattern: relative to it. A target's place takes as few characters as fit, another place as many.
        ids: id columns; `{id}` stands for the first.
        targets: columns that are labels.

    Returns:
        One text column a place; `{id}` is named as the first id column.

    Raises:
        DataError: no file fits.
    """
    expression, columns = _expression(pattern, ids, targets)
    matches = (expression.fullmatch(name) for name in files_below(data, fixed_folder(pattern)))
    values = [match.groups() for match in matches if match is not None]
    if not values:
        raise DataError(
            f"no file in {data} is named as {pattern!r} says", hint="correct `train_files` in competition.yaml"
        )
    frame = pd.DataFrame(values, columns=columns, dtype="str")
    return frame.loc[:, ~frame.columns.duplicated()]


def files_below(data: Path, folder: str) -> Iterator[str]:
    """Paths of all visible files in a folder and below, relative to `data`, sorted within each folder."""
    for path, folders, files in os.walk(data / folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        below = Path(path).relative_to(data).as_posix()
        start = "" if below == "." else f"{below}/"
        yield from (f"{start}{name}" for name in sorted(files) if not name.startswith("."))


def fixed_folder(pattern: str) -> str:
    """The folder, relative to `data`, below which all files are that a pattern fits."""
    return pattern.partition("{")[0].rpartition("/")[0]


def _expression(pattern: str, ids: Sequence[str], targets: Sequence[str]) -> tuple[re.Pattern[str], list[str]]:
    pieces = _PLACE.split(pattern)  # literal, place, literal, place, ..., literal
    columns = [ids[0] if place == "id" and ids else place for place in pieces[1::2]]
    places = ["([^/]+?)" if place in targets else "([^/]+)" for place in columns]
    literals = [re.escape(literal) for literal in pieces[::2]]
    text = literals[0] + "".join(place + literal for place, literal in zip(places, literals[1:], strict=True))
    return re.compile(text), columns

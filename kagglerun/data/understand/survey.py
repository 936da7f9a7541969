"""What lies in a competition's data folder, by name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kagglerun.data.tables import TABLE_SUFFIXES

_MOST_TABLES_OF_A_FOLDER = 20  # more are records, one file a row or a series, not tables of the competition


@dataclass(frozen=True)
class Survey:
    """The files of a data folder.

    Attributes:
        root: the folder.
        tables: files that hold tables, relative to it, in alphabetical order.
        others: folder (relative, "" for the root) to the names of all other files in it.
    """

    root: Path
    tables: tuple[str, ...]
    others: Mapping[str, frozenset[str]]


def survey(root: Path) -> Survey:
    """List a data folder. Hidden files and folders are left out."""
    tables: list[str] = []
    others: dict[str, frozenset[str]] = {}
    for path, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        folder = Path(path).relative_to(root).as_posix()
        folder = "" if folder == "." else folder
        visible = sorted(name for name in files if not name.startswith("."))
        here = [name for name in visible if name.lower().endswith(TABLE_SUFFIXES)]
        if len(here) > _MOST_TABLES_OF_A_FOLDER and folder:
            here = []
        tables.extend(f"{folder}/{name}" if folder else name for name in here)
        rest = frozenset(visible) - frozenset(here)
        if rest:
            others[folder] = rest
    return Survey(root, tuple(sorted(tables)), others)


def stem(name: str) -> str:
    """A table's name without folder and suffixes, in lower case: `data/Train.csv.zip` gives `train`."""
    file = name.rpartition("/")[2].lower()
    for suffix in sorted(TABLE_SUFFIXES, key=len, reverse=True):
        if file.endswith(suffix):
            return file.removesuffix(suffix)
    return file

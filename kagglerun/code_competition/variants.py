"""The test sets that a notebook is rehearsed with: the public one, and what the hidden one may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kagglerun.code_competition.test_tables import (
    TestTables,
    file_names,
    read_test_tables,
    repeated,
    with_rows,
    with_strange_cells,
    write_test_set,
)
from kagglerun.config.card import Card
from kagglerun.errors import DataError
from kagglerun.files import write_bytes
from kagglerun.paths import CompetitionPaths

PUBLIC = "public"
LARGER, SMALLER, UNSEEN, BROKEN = "3 times the rows", "fewer rows", "unseen values", "a broken image"
NAMES = (PUBLIC, LARGER, SMALLER, UNSEEN, BROKEN)
_TIMES = 3
_NO_IMAGE = b"this is no image"


@dataclass(frozen=True)
class TestSetVariant:
    """A test set to rehearse with.

    Attributes:
        name: one of `NAMES`.
        paths: the competition with it.
        rows: number of test rows.
    """

    __test__ = False  # no test of pytest's

    name: str
    paths: CompetitionPaths
    rows: int


class NoSuchVariant(DataError):
    """The competition has nothing that this variant changes."""


class Variants:
    """The variants of one competition.

    Args:
        paths: the competition.
        card: what is known of it.
    """

    def __init__(self, paths: CompetitionPaths, card: Card) -> None:
        self._paths, self._card = paths, card
        self._makers: dict[str, Callable[[TestTables], TestTables]] = {
            LARGER: lambda tables: repeated(tables, _TIMES),
            SMALLER: _fewer,
            UNSEEN: self._strange,
            BROKEN: self._with_images,
        }

    def make(self, name: str, folder: Path) -> TestSetVariant:
        """Make one.

        Args:
            name: one of `NAMES`.
            folder: where to; the public one stays where it is.

        Raises:
            NoSuchVariant: the competition has nothing that it would change.
            DataError: its tables are in a format that cannot be changed.
        """
        if name == PUBLIC:
            return TestSetVariant(name, self._paths, self._rows())
        original = read_test_tables(self._paths, self._card)
        tables = self._makers[name](original)
        made = write_test_set(self._paths, self._card, tables, original, folder)
        if name == BROKEN:
            broken = made.data / file_names(tables)[0]
            broken.unlink()  # the public test set's file has the same content, not the same name
            write_bytes(broken, _NO_IMAGE, durable=False)
        return TestSetVariant(name, made, tables.count)

    def _rows(self) -> int:
        try:
            return read_test_tables(self._paths, self._card).count
        except DataError:
            return 0

    def _strange(self, tables: TestTables) -> TestTables:
        pattern = self._card.files.test_files
        naming = [name for name in tables.table.columns if pattern and "{" + name in pattern]
        strange, changed = with_strange_cells(tables, naming)
        if not changed:
            raise NoSuchVariant("its test rows have no features in a table")
        return strange

    def _with_images(self, tables: TestTables) -> TestTables:
        if self._card.modality != "image" or not file_names(tables):
            raise NoSuchVariant("its test rows have no images")
        return tables


def _fewer(tables: TestTables) -> TestTables:
    if tables.count < 2:
        raise NoSuchVariant("it has one test row")
    return with_rows(tables, np.arange(max(1, tables.count // _TIMES), dtype=np.int64))

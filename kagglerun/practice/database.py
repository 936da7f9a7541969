"""One SQLite database for all that changes while the server runs.

Every call opens its own connection, so that any thread and any process (the server, `kagglerun practice list`)
may use it at once.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from kagglerun.errors import DiskFull, KagglerunError, PracticeError

_BUSY_SECONDS = 20.0
_FULL_BYTES = 1 << 17
"""With less room than this SQLite cannot write its journal."""


class Database:
    """A database with some tables.

    Args:
        path: its file; made with its folder when missing.
    """

    schema: ClassVar[str]
    """SQL that makes the tables where they are missing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self.connection() as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.executescript(self.schema)

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own; each statement commits by itself."""
        try:
            yield from self._connected()
        except sqlite3.DatabaseError as error:
            raise self._named(error) from error

    def _named(self, error: sqlite3.DatabaseError) -> KagglerunError:
        """What went wrong, with the file's name. SQLite tells a full disk in several ways."""
        if shutil.disk_usage(self._path.parent).free < _FULL_BYTES:
            return DiskFull(
                f"the disk is full: {self._path} could not be written (what it held is untouched)",
                hint=f"free some space on the disk of {self._path.parent}, then run the same command again",
            )
        return PracticeError(
            f"{self._path} cannot be used: {error}",
            hint="kagglerun practice stop, then move the file away: the submissions in it are forgotten",
        )

    def _connected(self) -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)
        database.row_factory = sqlite3.Row
        try:
            yield database
        finally:
            database.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Committed on leaving, undone on an error. Begins as a writer, so that what it read stays true."""
        with self.connection() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")

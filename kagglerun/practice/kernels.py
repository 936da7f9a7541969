"""Notebooks ("kernels" in Kaggle's API) that users pushed, their versions, and each time that one is run."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from kagglerun.practice.database import Database
from kagglerun.practice.wire import Message

_SCHEMA = """
CREATE TABLE IF NOT EXISTS kernels (id INTEGER PRIMARY KEY AUTOINCREMENT, ref TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS kernel_versions (
    ref TEXT NOT NULL, number INTEGER NOT NULL, settings TEXT NOT NULL, source TEXT NOT NULL, time TEXT NOT NULL,
    PRIMARY KEY (ref, number)
);
CREATE TABLE IF NOT EXISTS kernel_runs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, ref TEXT NOT NULL, version INTEGER NOT NULL, time TEXT NOT NULL,
    state TEXT NOT NULL, failure TEXT, token TEXT UNIQUE, slug TEXT, file_name TEXT
);
"""


class RunState(StrEnum):
    """How far a run of a notebook is; Kaggle's names."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    ERROR = "ERROR"


class Settings(Message):
    """What a notebook is pushed with besides its source, in the words of `SaveKernel`."""

    new_title: str | None = None
    language: str | None = None
    kernel_type: str | None = None
    is_private: bool | None = None
    enable_gpu: bool | None = None
    enable_tpu: bool | None = None
    enable_internet: bool | None = None
    dataset_data_sources: tuple[str, ...] = ()
    competition_data_sources: tuple[str, ...] = ()
    kernel_data_sources: tuple[str, ...] = ()
    model_data_sources: tuple[str, ...] = ()
    category_ids: tuple[str, ...] = ()
    docker_image: str | None = None
    machine_shape: str | None = None
    session_timeout_seconds: int | None = None


@dataclass(frozen=True)
class KernelVersion:
    """One version of a notebook.

    Attributes:
        kernel_id: the notebook's number.
        ref: owner/slug.
        number: the version, counted from 1.
        settings: what it was pushed with.
        source: the notebook as JSON, or the script.
        time: when it was pushed.
    """

    kernel_id: int
    ref: str
    number: int
    settings: Settings
    source: str
    time: datetime

    @property
    def slug(self) -> str:
        """The last part of its name."""
        return self.ref.split("/")[-1]

    @property
    def title(self) -> str:
        """For people."""
        return self.settings.new_title or self.slug


@dataclass(frozen=True)
class KernelRun:
    """One run of a version: the one that its push began, or a later one against a hidden test set.

    Attributes:
        number: counts all runs.
        ref: the notebook.
        version: its version.
        state: how far it is.
        failure: why it failed.
        token: of the code submission that it is for; None for the run that the push began.
        slug: the competition of that submission.
        file_name: what the notebook writes for it.
    """

    number: int
    ref: str
    version: int
    state: RunState
    failure: str | None = None
    token: str | None = None
    slug: str | None = None
    file_name: str | None = None


@dataclass(frozen=True)
class Rerun:
    """What a code submission asks for: see `KernelRun`."""

    token: str
    slug: str
    file_name: str


class Kernels(Database):
    """All notebooks."""

    schema = _SCHEMA

    def push(self, ref: str, settings: Settings, source: str, now: datetime) -> tuple[KernelVersion, KernelRun]:
        """Add the next version of a notebook, and its run, which waits for its turn."""
        moment = now.astimezone(UTC).isoformat()
        with self.transaction() as database:
            database.execute("INSERT OR IGNORE INTO kernels (ref) VALUES (?)", (ref,))
            newest = database.execute("SELECT MAX(number) FROM kernel_versions WHERE ref = ?", (ref,)).fetchone()[0]
            number = (newest or 0) + 1
            database.execute(
                "INSERT INTO kernel_versions VALUES (?, ?, ?, ?, ?)",
                (ref, number, settings.model_dump_json(by_alias=True), source, moment),
            )
            run = _insert_run(database, ref, number, moment, None)
        version = self.version(ref, number)
        assert version is not None
        return version, run

    def rerun(self, version: KernelVersion, rerun: Rerun, now: datetime) -> KernelRun:
        """Add a run against the hidden test set; it waits for its turn."""
        with self.transaction() as database:
            return _insert_run(database, version.ref, version.number, now.astimezone(UTC).isoformat(), rerun)

    def version(self, ref: str, number: int | None = None) -> KernelVersion | None:
        """A version of a notebook, the newest where none is named."""
        wanted, values = ("", (ref,)) if not number else ("AND number = ?", (ref, number))
        found = self._versions(f"ref = ? {wanted} ORDER BY number DESC LIMIT 1", values)
        return found[0] if found else None

    def newest(self) -> list[KernelVersion]:
        """The newest version of each notebook, the latest first."""
        newest = "number = (SELECT MAX(number) FROM kernel_versions AS other WHERE other.ref = kernel_versions.ref)"
        return self._versions(f"{newest} ORDER BY time DESC", ())

    def run_of(self, version: KernelVersion) -> KernelRun:
        """The run that the push of a version began."""
        return self._runs("ref = ? AND version = ? AND token IS NULL", (version.ref, version.number))[0]

    def run(self, number: int) -> KernelRun | None:
        """The run with this number."""
        found = self._runs("number = ?", (number,))
        return found[0] if found else None

    def runs(self, ref: str) -> list[KernelRun]:
        """Every run of a notebook's versions, the oldest first."""
        return self._runs("ref = ? ORDER BY number", (ref,))

    def unfinished(self) -> list[KernelRun]:
        """Runs that wait or were cut off when the server stopped, the oldest first."""
        return self._runs("state IN (?, ?) ORDER BY number", (RunState.QUEUED, RunState.RUNNING))

    def set_state(self, run: KernelRun, state: RunState, failure: str | None = None) -> None:
        """Write how far a run is."""
        with self.transaction() as database:
            database.execute(
                "UPDATE kernel_runs SET state = ?, failure = ? WHERE number = ?", (state, failure, run.number)
            )

    def drop_run(self, run: KernelRun) -> None:
        """Forget a run whose submission was not made."""
        with self.transaction() as database:
            database.execute("DELETE FROM kernel_runs WHERE number = ?", (run.number,))

    def remove(self, ref: str) -> bool:
        """Forget a notebook. Returns whether there was one."""
        with self.transaction() as database:
            for table in ("kernel_runs", "kernel_versions"):
                database.execute(f"DELETE FROM {table} WHERE ref = ?", (ref,))  # noqa: S608
            return database.execute("DELETE FROM kernels WHERE ref = ?", (ref,)).rowcount > 0

    def _versions(self, where: str, values: tuple[object, ...]) -> list[KernelVersion]:
        asked = f"SELECT * FROM kernel_versions JOIN kernels USING (ref) WHERE {where}"  # noqa: S608
        with self.connection() as database:
            rows = database.execute(asked, values).fetchall()
        return [
            KernelVersion(
                kernel_id=row["id"],
                ref=row["ref"],
                number=row["number"],
                settings=Settings.model_validate(json.loads(row["settings"])),
                source=row["source"],
                time=datetime.fromisoformat(row["time"]),
            )
            for row in rows
        ]

    def _runs(self, where: str, values: tuple[object, ...]) -> list[KernelRun]:
        with self.connection() as database:
            rows = database.execute(f"SELECT * FROM kernel_runs WHERE {where}", values).fetchall()  # noqa: S608
        return [_run(row) for row in rows]


def _insert_run(database: sqlite3.Connection, ref: str, version: int, moment: str, rerun: Rerun | None) -> KernelRun:
    given: tuple[Any, ...] = (rerun.token, rerun.slug, rerun.file_name) if rerun else (None, None, None)
    cursor = database.execute(
        "INSERT INTO kernel_runs (ref, version, time, state, token, slug, file_name) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (ref, version, moment, RunState.QUEUED, *given),
    )
    return KernelRun(int(cursor.lastrowid or 0), ref, version, RunState.QUEUED, None, *given)


def _run(row: sqlite3.Row) -> KernelRun:
    values = {name: row[name] for name in row.keys() if name != "time"}  # noqa: SIM118
    return KernelRun(**{**values, "state": RunState(values["state"])})

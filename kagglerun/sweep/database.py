"""The database that studies are copied to: the workspace's SQLite, or a team's PostgreSQL.

KAGGLERUN_STUDIES_URL or `studies_uri` in .kagglerun/settings.yaml names a PostgreSQL. Its password belongs in that
variable, in PGPASSWORD or in ~/.pgpass; it is written nowhere.

Two coordinators of one study, on two machines, would write over one another. So who writes it to a PostgreSQL holds
the study's advisory lock there, by a connection of its own: the server drops the lock with the connection.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import sqlite3
import time
from pathlib import Path
from typing import Any

from kagglerun.config.settings import load_settings
from kagglerun.errors import ConfigError, JobError
from kagglerun.workspace import Workspace

VARIABLE = "KAGGLERUN_STUDIES_URL"
_BUSY_SECONDS = 10
_CONNECT_SECONDS = 5
_PREDECESSOR_SECONDS = 3.0
_POLL_SECONDS = 0.2
_EXAMPLE = "postgresql://user@host/database"
_SETTINGS = {
    # A statement that waits ends by itself; a machine that vanished loses its lock after a minute, not two hours.
    "lock_timeout": "20s",
    "statement_timeout": "60s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}
_HOLDER = """
    SELECT coalesce(nullif(activity.application_name, ''), activity.usename)
    FROM pg_locks AS locks JOIN pg_stat_activity AS activity USING (pid)
    WHERE locks.locktype = 'advisory' AND locks.granted AND locks.objsubid = 1
      AND locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (locks.classid::bigint << 32 | locks.objid::bigint) = %s
"""


class StudyTaken(JobError):
    """Another coordinator, or another workspace, has the study in this database."""


class SqliteFile:
    """The workspace's own database.

    Args:
        path: the file.

    Attributes:
        label: what people call it.
        is_shared: whether other workspaces may write to it.
    """

    is_shared = False

    def __init__(self, path: Path) -> None:
        self.label = str(path)
        self._path = path

    def open(self) -> Any:
        """Optuna's storage."""
        return open_storage(self._path)

    def hold(self) -> None:
        """Nothing: the lock of the study's folder is enough."""

    def release(self) -> None:
        """Nothing is held."""


class Postgres:
    """A team's database, for one study.

    Args:
        info: libpq's connection parameters.
        study: the study's name in it.

    Attributes:
        label: what people call it: without user and password.
        is_shared: whether other workspaces may write to it.
    """

    is_shared = True

    def __init__(self, info: dict[str, Any], study: str) -> None:
        place = f"{info.get('host', 'localhost')}:{info.get('port', 5432)}/{info.get('dbname', '')}"
        self.label = f"PostgreSQL at {place}"
        self._info = info
        self._study = study
        self._holder: Any = None

    def open(self) -> Any:
        """Optuna's storage."""
        # The engine sees no address, so nothing that it says can hold the password.
        return _storage("postgresql+psycopg://", creator=self._connect)

    def hold(self) -> None:
        """Take the study's lock, or make sure that it is still held.

        Raises:
            StudyTaken: another coordinator has it.
            psycopg.Error: the connection that held it is lost, or none can be made.
        """
        if self._holder is not None:
            self._holder.execute("SELECT 1")
            return
        holder = self._connect(autocommit=True)
        try:
            self._lock(holder)
        except BaseException:
            holder.close()
            raise
        self._holder = holder

    def release(self) -> None:
        """Give the lock back."""
        if self._holder is not None:
            self._holder.close()
            self._holder = None

    def _connect(self, autocommit: bool = False) -> Any:
        import psycopg

        name = f"kagglerun {socket.gethostname()}:{os.getpid()}"
        defaults = {"connect_timeout": _CONNECT_SECONDS, "application_name": name[:63], "tcp_user_timeout": 30_000}
        connection = psycopg.connect(**{**defaults, **self._info}, autocommit=autocommit)
        for setting, value in _SETTINGS.items():
            connection.execute("SELECT set_config(%s, %s, false)", (setting, value))
        if not autocommit:
            connection.commit()
        return connection

    def _lock(self, connection: Any) -> None:
        """Take the lock; that of a coordinator which has just died is gone within a moment."""
        key = int.from_bytes(hashlib.sha256(f"kagglerun {self._study}".encode()).digest()[:8], "big", signed=True)
        deadline = time.monotonic() + _PREDECESSOR_SECONDS
        while not connection.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()[0]:
            if time.monotonic() > deadline:
                row = connection.execute(_HOLDER, (key,)).fetchone()
                holder = row[0] if row else "another coordinator"
                raise StudyTaken(
                    f"{holder} works on the study {self._study} in {self.label}",
                    hint="wait for it, or end it there with `kagglerun stop`; or choose another name with name=...",
                )
            time.sleep(_POLL_SECONDS)


def studies_database(workspace: Workspace, study: str) -> SqliteFile | Postgres:
    """Where a study is copied to. Nothing is opened yet.

    Args:
        workspace: the study's.
        study: its name in the database: `<slug>/<name>`.

    Raises:
        ConfigError: the address is none of a PostgreSQL, holds a password where it must not, or the driver is missing.
    """
    named = os.environ.get(VARIABLE)
    address = named or load_settings(workspace.settings).studies_uri
    if not address:
        return SqliteFile(workspace.studies_db)
    source = VARIABLE if named else f"studies_uri in {workspace.settings}"
    info = _parsed(address, source)
    if "password" in info and not named:
        raise ConfigError(
            f"{source} holds a password",
            hint=f"write {_EXAMPLE} there, and the password into ~/.pgpass or the variable PGPASSWORD",
        )
    return Postgres(info, study)


def _parsed(address: str, source: str) -> dict[str, Any]:
    """The parts of an address as libpq reads it; one of SQLAlchemy's, with a driver, is taken too."""
    try:
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict
    except ImportError as error:
        raise ConfigError(
            f"{source} names a PostgreSQL, and its driver is not installed", hint="pip install 'kagglerun[postgres]'"
        ) from error
    plain = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", address)
    try:
        if not plain.startswith("postgresql://"):
            raise ValueError
        return dict(conninfo_to_dict(plain))
    except (ProgrammingError, ValueError):
        # Its own words may repeat the password.
        raise ConfigError(f"{source} is no address of a PostgreSQL", hint=f"export {VARIABLE}={_EXAMPLE}") from None


def open_storage(path: Path) -> Any:
    """Optuna's storage in a SQLite file, whatever characters its path holds."""
    from sqlalchemy.pool import NullPool

    path.parent.mkdir(parents=True, exist_ok=True)

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(path, timeout=_BUSY_SECONDS)

    return _storage("sqlite://", creator=connect, poolclass=NullPool)


def _storage(dialect: str, **options: Any) -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.storages.RDBStorage(dialect, engine_kwargs=options)

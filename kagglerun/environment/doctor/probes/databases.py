"""The databases of MLflow and of the studies, looked at without changing them.

The revisions of their tables are read from the installed libraries' migrations as text: importing MLflow takes
seconds, and may be what is broken.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from kagglerun.config.settings import load_settings
from kagglerun.environment.doctor.probe import DatabaseState
from kagglerun.errors import ConfigError
from kagglerun.tracking import NO_MLFLOW, tracking_uri, without_password
from kagglerun.workspace import Workspace

_MIGRATIONS = {
    "MLflow": ("mlflow", "store/db_migrations/versions"),
    "studies": ("optuna", "storages/_rdb/alembic/versions"),
}
_LOCK_SECONDS = 2.0
_CHECK_SECONDS = 20.0
_SERVER_SECONDS = 8.0
_STUDIES_VARIABLE = "KAGGLERUN_STUDIES_URL"


def database_states(workspace: Workspace, ask_network: bool = True) -> tuple[DatabaseState, ...]:
    """MLflow's and the studies' database of a workspace; or that its settings, which name them, cannot be read.

    Args:
        workspace: the workspace.
        ask_network: look at servers too.
    """
    try:
        uris = {"MLflow": tracking_uri(workspace), "studies": _studies_uri(workspace)}
    except ConfigError as error:
        return (DatabaseState("settings", str(workspace.settings), failure=error.message),)
    looked = (_state(role, uri, ask_network) for role, uri in uris.items() if uri != NO_MLFLOW)
    return tuple(state for state in looked if state is not None)


def revisions(folder: Path) -> tuple[str | None, frozenset[str]]:
    """The newest revision of a folder of Alembic's migrations, and all of them; None and none without such a folder."""
    texts = [path.read_text("utf-8", errors="replace") for path in sorted(folder.glob("*.py"))]
    own = {found for text in texts for found in re.findall(r'^revision\b.*?=\s*["\']([^"\']+)', text, re.MULTILINE)}
    earlier = {
        found
        for text in texts
        for line in re.findall(r"^down_revision\b.*?=(.*)$", text, re.MULTILINE)
        for found in re.findall(r'["\']([^"\']+)', line)
    }
    newest = sorted(own - earlier)
    return (newest[0] if len(newest) == 1 else None), frozenset(own)


def sqlite_state(role: str, path: Path) -> DatabaseState:
    """A SQLite file: whole, of which schema, and whether a writer gets its turn."""
    label = str(path)
    if not path.is_file():
        return DatabaseState(role, label, exists=False)
    told: dict[str, Any] = {}
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=_LOCK_SECONDS)
    except sqlite3.Error as error:
        return DatabaseState(role, label, failure=str(error))
    try:
        told |= _damage(connection)
        if not told:
            told |= {**_schema(role, connection), **_lock(connection)}
    except sqlite3.OperationalError as error:
        told["locked" if "locked" in str(error) else "failure"] = True if "locked" in str(error) else str(error)
    except sqlite3.DatabaseError as error:
        told["damage"] = str(error)
    finally:
        connection.close()
    return DatabaseState(role, label, **told)


def _state(role: str, uri: str, ask_network: bool) -> DatabaseState | None:
    if uri.startswith("sqlite:///"):
        return sqlite_state(role, Path(uri.removeprefix("sqlite:///")))
    if not ask_network:
        return None
    if urlsplit(uri).scheme in ("http", "https"):
        return _server_state(role, uri)
    return _remote_state(role, uri)


def _studies_uri(workspace: Workspace) -> str:
    named = os.environ.get(_STUDIES_VARIABLE) or load_settings(workspace.settings).studies_uri
    return named or f"sqlite:///{workspace.studies_db}"


def _damage(connection: sqlite3.Connection) -> dict[str, Any]:
    """What SQLite's quick check finds; a database too large for the time is taken for whole."""
    deadline = time.monotonic() + _CHECK_SECONDS
    connection.set_progress_handler(lambda: int(time.monotonic() > deadline), 100_000)
    try:
        said = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if "interrupted" not in str(error):
            raise
        said = "ok"
    finally:
        connection.set_progress_handler(None, 0)
    return {} if said == "ok" else {"damage": said.splitlines()[-1]}


def _schema(role: str, connection: Any) -> dict[str, Any]:
    row = connection.execute("SELECT name FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
    version = connection.execute("SELECT version_num FROM alembic_version").fetchone() if row else None
    return _compared(role, version[0] if version else None)


def _compared(role: str, schema: str | None) -> dict[str, Any]:
    package, folder = _MIGRATIONS[role]
    spec = importlib.util.find_spec(package)
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    wanted, known = revisions(Path(places[0]) / folder) if places else (None, frozenset())
    is_newer = schema is not None and bool(known) and schema not in known
    return {"schema": schema, "schema_wanted": wanted, "is_newer": is_newer}


def _lock(connection: sqlite3.Connection) -> dict[str, Any]:
    """Ask for the right to write, and give it back at once."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.rollback()
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or "busy" in str(error):
            return {"locked": True}
        return {"failure": f"it cannot be written: {error}"}
    return {}


def _server_state(role: str, uri: str) -> DatabaseState:
    label = without_password(uri)
    try:
        reply = requests.get(f"{uri.rstrip('/')}/health", timeout=_SERVER_SECONDS)
    except requests.RequestException as error:
        return DatabaseState(role, label, failure=f"the server does not answer ({type(error).__name__})")
    failure = None if reply.ok else f"the server answers {reply.status_code} {reply.reason}"
    return DatabaseState(role, label, failure=failure)


def _remote_state(role: str, uri: str) -> DatabaseState:
    """A PostgreSQL: reachable, and of which schema."""
    label = without_password(uri)
    try:
        from psycopg import Error, connect
    except ImportError:
        return DatabaseState(role, label, failure="its driver is not installed: pip install 'kagglerun[postgres]'")
    plain = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", uri)
    try:
        with connect(plain, connect_timeout=int(_SERVER_SECONDS), autocommit=True) as connection:
            exists = connection.execute("SELECT to_regclass('alembic_version')").fetchone()
            told = list(_rows(connection, "SELECT version_num FROM alembic_version")) if exists and exists[0] else []
            waiting = list(_rows(connection, "SELECT 1 FROM pg_locks WHERE NOT granted AND locktype <> 'advisory'"))
    except Error as error:
        return DatabaseState(role, label, failure=_without_address(str(error)))
    return DatabaseState(role, label, locked=bool(waiting), **_compared(role, told[0][0] if told else None))


def _rows(connection: Any, query: str) -> Iterator[Any]:
    yield from connection.execute(query).fetchall()


def _without_address(text: str) -> str:
    """The first line; an address in it may hold a password."""
    lines = text.strip().splitlines()
    return re.sub(r"\S*://\S*", "...", lines[0])[:200] if lines else "it cannot be reached"

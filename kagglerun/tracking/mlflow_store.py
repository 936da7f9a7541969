"""MLflow, behind one class: the only module that imports it.

The default is one SQLite database a workspace, with the artifacts in a folder beside it. KAGGLERUN_MLFLOW_URI or
`mlflow_uri` in .kagglerun/settings.yaml names a server (or another database) instead; `none` keeps the journal
alone. MLflow's own telemetry, banners and logs are switched off here.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from kagglerun.config.settings import load_settings
from kagglerun.errors import TrackingError
from kagglerun.files import atomic_path
from kagglerun.workspace import Workspace

NO_MLFLOW = "none"
_URI_VARIABLE = "KAGGLERUN_MLFLOW_URI"
_BATCH = {"metrics": 1000, "params": 100, "tags": 100}  # MLflow's limits for one request
_REFUSALS = frozenset({"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS"})
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # The journal is the safety net, so a request that fails is not repeated for minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}

_log = logging.getLogger("kagglerun.tracking")


class RunGone(TrackingError):
    """The MLflow run that was being written does not exist any more."""


def tracking_uri(workspace: Workspace) -> str:
    """Where values go: KAGGLERUN_MLFLOW_URI, else `mlflow_uri` of the workspace's settings, else its SQLite.

    Raises:
        ConfigError: the settings cannot be read.
    """
    return os.environ.get(_URI_VARIABLE) or load_settings(workspace.settings).mlflow_uri or _sqlite_uri(workspace)


def without_password(uri: str) -> str:
    """The address without user and password, for messages and files."""
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def prepare_database(workspace: Workspace) -> None:
    """Make the workspace's database, or bring an older one up to date, safely among several processes."""
    Store(workspace).connect()


class Store:
    """A workspace's MLflow.

    Args:
        workspace: the workspace.

    Attributes:
        uri: where values go, with its password if it has one.
        label: the same without password.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.uri = tracking_uri(workspace)
        self.label = without_password(self.uri)
        self._client: Any = None
        self._experiments: dict[str, str] = {}

    @property
    def switched_off(self) -> bool:
        """Whether the journal is all that is wanted."""
        return self.uri == NO_MLFLOW

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the workspace's lock on its SQLite database; other databases arrange this themselves."""
        if self.uri != _sqlite_uri(self.workspace):
            yield
            return
        self.workspace.mlflow_lock.parent.mkdir(parents=True, exist_ok=True)
        with self.workspace.mlflow_lock.open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def connect(self) -> None:
        """Open the database or server; needs no call before the other methods.

        Raises:
            TrackingError: it cannot be opened.
        """
        with self.exclusive():
            self.client()

    def client(self) -> Any:
        """The MlflowClient; the caller holds `exclusive`."""
        if self._client is None:
            mlflow_client = import_mlflow()
            with _translated(self.label):
                if self.uri == _sqlite_uri(self.workspace):
                    _make_or_upgrade(self.workspace)
                self._client = mlflow_client(self.uri)
        return self._client

    def find_or_create_run(self, slug: str, name: str, key: str, tags: Mapping[str, str], start_ms: int) -> str:
        """MLflow's id of the run tagged with our key; it is made when there is none.

        Args:
            slug: the competition, which is the MLflow experiment.
            name: what MLflow calls the run.
            key: our key of the run, unique in the experiment.
            tags: further tags for a new run.
            start_ms: its start, in milliseconds since 1970.
        """
        client = self.client()
        with _translated(self.label):
            experiment = self._experiment(slug)
            escaped = key.replace("'", "''")
            found = client.search_runs([experiment], f"tags.`kagglerun.key` = '{escaped}'", max_results=1)
            if found:
                return str(found[0].info.run_id)
            all_tags = {**tags, "kagglerun.key": key, "mlflow.source.name": "kagglerun", "mlflow.source.type": "LOCAL"}
            return str(client.create_run(experiment, start_ms, all_tags, name).info.run_id)

    def write(
        self,
        run_id: str,
        metrics: Sequence[tuple[str, float, int, int]] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Write to a run in as few requests as MLflow allows. Writing the same again changes nothing.

        Args:
            run_id: MLflow's id.
            metrics: (name, value, milliseconds since 1970, step).
            params: name to value; a param that has another value already is refused.
            tags: name to value.

        Returns:
            What MLflow refused, one sentence each; the rest is written.
        """
        from mlflow.entities import Metric, Param, RunTag

        items = [("metrics", Metric(_name(key), value, time, step)) for key, value, time, step in metrics]
        items += [("params", Param(_name(key), value)) for key, value in (params or {}).items()]
        items += [("tags", RunTag(_name(key), value)) for key, value in (tags or {}).items()]
        refused = []
        for kind, limit in _BATCH.items():
            batch = [item for item_kind, item in items if item_kind == kind]
            for first in range(0, len(batch), limit):
                refused += self._write_batch(run_id, kind, batch[first : first + limit])
        return refused

    def set_state(self, run_id: str, state: str, end_ms: int | None) -> None:
        """Set a run's state: RUNNING, or an end at `end_ms`."""
        with _translated(self.label):
            if end_ms is None:
                self.client().update_run(run_id, status=state)
            else:
                self.client().set_terminated(run_id, state, end_ms)
                _forget_artifacts_of(run_id)

    def add_artifact(self, run_id: str, path: Path, folder: str) -> None:
        """Copy a file into the run's artifacts."""
        with _translated(self.label):
            self.client().log_artifact(run_id, str(path), folder or None)

    def _experiment(self, slug: str) -> str:
        if slug not in self._experiments:
            self._experiments[slug] = self._find_or_create_experiment(slug)
        return self._experiments[slug]

    def _find_or_create_experiment(self, slug: str) -> str:
        client = self.client()
        found = client.get_experiment_by_name(slug)
        if found is None:
            tags = {"mlflow.experimentKind": "custom_model_development"}  # the page then shows training, not traces
            return str(client.create_experiment(slug, self._artifact_location(slug), tags))
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _artifact_location(self, slug: str) -> str | None:
        """A folder of the workspace for its own SQLite; anything else decides for itself."""
        if self.uri != _sqlite_uri(self.workspace):
            return None
        return (self.workspace.mlflow_artifacts / slug).as_uri()

    def _write_batch(self, run_id: str, kind: str, batch: list[Any]) -> list[str]:
        from mlflow.exceptions import MlflowException

        try:
            with _translated(self.label, let_through=_REFUSALS):
                self.client().log_batch(run_id, **{kind: batch})
        except MlflowException as error:
            if len(batch) == 1:
                return [f"{kind.removesuffix('s')} {batch[0].key!r}: {_first_line(error)[:160]}"]
            # Only some of the batch is at fault: each alone, so that the rest is written.
            return [sentence for item in batch for sentence in self._write_batch(run_id, kind, [item])]
        return []


def import_mlflow() -> Any:
    """Import mlflow (about 2.6 s) without telemetry, banners and logs of its own, and return MlflowClient.

    Raises:
        TrackingError: it cannot be imported.
    """
    for variable, value in QUIET.items():
        os.environ.setdefault(variable, value)
    try:
        from mlflow.tracking import MlflowClient
    except ImportError as error:
        raise TrackingError(f"mlflow cannot be imported: {error}", hint="pip install 'mlflow>=3.13,<4'") from error
    # Failures come back as exceptions and are told once, in our words.
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.CRITICAL)
    return MlflowClient


def _forget_artifacts_of(run_id: str) -> None:
    """MLflow keeps a writer of artifacts, with queues and locks, for each of the last 1,024 runs."""
    from mlflow.tracking._tracking_service import utils

    getattr(utils, "_artifact_repos_cache", {}).pop(run_id, None)


def _sqlite_uri(workspace: Workspace) -> str:
    return f"sqlite:///{workspace.mlflow_db}"


def _make_or_upgrade(workspace: Workspace) -> None:
    """A new database is made under another name and moved into place, so that a kill leaves none half-made.

    One that this process found current is not looked at again: each look costs SQLAlchemy memory that stays.
    """
    if not workspace.mlflow_db.exists() or _identity(workspace.mlflow_db) not in _current:
        _make_or_upgrade_unseen(workspace)
        _current.add(_identity(workspace.mlflow_db))


_current: set[tuple[str, int]] = set()


def _identity(database: Path) -> tuple[str, int]:
    return str(database), database.stat().st_ino


def _make_or_upgrade_unseen(workspace: Workspace) -> None:
    from mlflow.store.db import utils

    if not workspace.mlflow_db.exists():
        with atomic_path(workspace.mlflow_db) as temporary:
            engine = utils.create_sqlalchemy_engine(f"sqlite:///{temporary}")
            utils._initialize_tables(engine)
            engine.dispose()
        return
    engine = utils.create_sqlalchemy_engine(_sqlite_uri(workspace))
    try:
        if utils._get_schema_version(engine) != utils._get_latest_schema_revision():
            _back_up(workspace.mlflow_db)
            utils._upgrade_db(engine)
    finally:
        engine.dispose()


def _back_up(database: Path) -> None:
    import sqlite3

    with atomic_path(database.with_name(f"{database.name}.before-upgrade")) as temporary:
        source, copy = sqlite3.connect(database), sqlite3.connect(temporary)
        try:
            source.backup(copy)
        finally:
            source.close()
            copy.close()


@contextmanager
def _translated(label: str, let_through: frozenset[str] = frozenset()) -> Iterator[None]:
    """Turn whatever MLflow, SQLAlchemy or the network raise into a TrackingError."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code in let_through:
            raise
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            raise RunGone(str(error)) from error
        raise TrackingError(f"MLflow at {label}: {_first_line(error)}") from error
    except TrackingError:
        raise
    except Exception as error:
        raise TrackingError(f"MLflow at {label}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    if "Max retries exceeded" in text:
        return "it cannot be reached"
    if "No module named 'psycopg" in text:
        return "its driver is not installed: pip install 'kagglerun[postgres]'"
    return re.sub(r"://[^@/\s]+@", "://", text.splitlines()[0])[:300]


def _name(text: str) -> str:
    """A name that MLflow accepts: letters, digits and _-./: and space, at most 250."""
    clean = re.sub(r"[^\w.\-/: ]", "_", text)
    return re.sub(r"/+", "/", clean).strip("/")[:250] or "_"

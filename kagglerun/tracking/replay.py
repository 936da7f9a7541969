"""From the journal to MLflow.

One way for a run that trains and for `kagglerun track sync`: read the journal from where MLflow has got to,
write it, note the new place. Metrics carry the time of their line, so MLflow recognises what it has already.
"""

from __future__ import annotations

import itertools
import json
import logging
import time
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from kagglerun.errors import TrackingError
from kagglerun.files import read_json, write_json
from kagglerun.tracking.journal import RUNNING, Artifact, End, Entry, Journal, Start, Tags, Values
from kagglerun.tracking.mlflow_store import RunGone, Store
from kagglerun.workspace import RunPaths, Workspace

_ENTRIES_AT_ONCE = 500
_PAUSES_WHEN_LOCKED = (0.1, 0.3, 1.0)

_log = logging.getLogger("kagglerun.tracking")


def study_paths(workspace: Workspace, parent: str) -> RunPaths:
    """The folder with the journal of a study's parent run.

    Args:
        workspace: the workspace.
        parent: the study's key: `<slug>/<study>`.
    """
    slug, _, study = parent.partition("/")
    return RunPaths(workspace.study_journals / slug / quote(study, safe=" ,;=+@()"))


@dataclass(frozen=True)
class Position:
    """How far MLflow has got.

    Attributes:
        uri: of the MLflow, without password.
        mlflow_run: MLflow's id of the run.
        offset: bytes of the journal that are in MLflow.
    """

    uri: str
    mlflow_run: str | None = None
    offset: int = 0


@dataclass
class _Batch:
    """What some entries come to."""

    metrics: list[tuple[str, float, int, int]] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    artifacts: list[Artifact] = field(default_factory=list)
    state: tuple[str, int | None] | None = None

    def add(self, entry: Entry) -> None:
        match entry.body:
            case Start(params=params, tags=tags):
                self.params.update(params)
                self.tags.update(tags)
                self.state = (RUNNING, None)
            case Values(values=values, step=step):
                self.metrics += [(key, value, entry.time_ms, step) for key, value in values.items()]
            case Tags(tags=tags):
                self.tags.update(tags)
            case Artifact() as artifact:
                self.artifacts.append(artifact)
            case End(state=state, error=error):
                self.state = (state, entry.time_ms)
                self.tags.update({"kagglerun.error": error[:4000]} if error else {})


class Replay:
    """Carries one run's journal to MLflow.

    Args:
        workspace: the workspace.
        run: the run's folder (or that of a study's parent).
        store: the MLflow.
    """

    def __init__(self, workspace: Workspace, run: RunPaths, store: Store) -> None:
        self.workspace = workspace
        self.run = run
        self.store = store
        self.journal = Journal(run.journal)
        self._refused: set[str] = set()

    @property
    def key(self) -> str:
        """Our key of the run in MLflow: `<slug>/<run id>`."""
        return f"{self.run.slug}/{unquote(self.run.run_id)}"

    def position(self) -> Position:
        """How far this MLflow has got; nowhere when the note is missing or about another MLflow."""
        try:
            note = Position(**read_json(self.run.tracking))
        except (OSError, ValueError, TypeError):
            return Position(self.store.label)
        return note if note.uri == self.store.label else Position(self.store.label)

    def is_behind(self) -> bool:
        """Whether the journal holds entries that MLflow has not."""
        return next(self.journal.read(self.position().offset), None) is not None

    def advance(self) -> int:
        """Bring MLflow up to the journal's last whole line.

        Returns:
            The number of entries written.

        Raises:
            TrackingError: MLflow cannot be written now; what it has got so far is noted.
        """
        if self.store.switched_off or not self.is_behind():
            return 0
        for pause in _PAUSES_WHEN_LOCKED:
            try:
                return self._advance_alone()
            except TrackingError as error:
                # The UI's server and MLflow's own commands do not know our lock.
                if "database is locked" not in str(error):
                    raise
                time.sleep(pause)
        return self._advance_alone()

    def _advance_alone(self) -> int:
        with self.store.exclusive():
            try:
                return self._advance()
            except RunGone:
                # Somebody deleted it from the database: it is made again, from the beginning.
                self._note(Position(self.store.label))
                return self._advance()

    def _advance(self) -> int:
        position, written = self.position(), 0
        run_id = position.mlflow_run or self.mlflow_run()
        entries = self.journal.read(position.offset)
        while chunk := list(itertools.islice(entries, _ENTRIES_AT_ONCE)):
            self._write(run_id, chunk)
            self._note(Position(self.store.label, run_id, chunk[-1].end))
            written += len(chunk)
        return written

    def mlflow_run(self) -> str:
        """MLflow's id of the run, which is made when missing; the caller holds the store's lock.

        Raises:
            TrackingError: the journal never started, or MLflow cannot be written now.
        """
        known = self.position().mlflow_run
        if known:
            return known
        start = next((entry for entry in self.journal.read() if isinstance(entry.body, Start)), None)
        if start is None or not isinstance(start.body, Start):
            raise TrackingError(f"{self.run.journal} has no beginning, so there is nothing to track")
        tags = dict(self._parent_tag(start.body.parent))
        run_id = self.store.find_or_create_run(self.run.slug, start.body.name, self.key, tags, start.time_ms)
        self._note(Position(self.store.label, run_id))
        return run_id

    def _parent_tag(self, parent: str | None) -> dict[str, str]:
        if parent is None:
            return {}
        paths = study_paths(self.workspace, parent)
        if not paths.journal.is_file():
            return {}
        return {"mlflow.parentRunId": Replay(self.workspace, paths, self.store).mlflow_run()}

    def _write(self, run_id: str, entries: list[Entry]) -> None:
        batch = _Batch()
        for entry in entries:
            batch.add(entry)
        self._tell(self.store.write(run_id, batch.metrics, batch.params, batch.tags))
        for artifact in batch.artifacts:
            path = self.run.folder / artifact.path
            if path.is_file():
                self.store.add_artifact(run_id, path, artifact.folder)
        if batch.state is not None:
            self.store.set_state(run_id, *batch.state)

    def _tell(self, refused: list[str]) -> None:
        new = [sentence for sentence in refused if sentence not in self._refused]
        if new and not self._refused:
            more = f" (and {len(new) - 1} more)" if len(new) > 1 else ""
            _log.warning("MLflow refused a value of run %s, which stays in its journal: %s%s", self.key, new[0], more)
        self._refused.update(new)

    def _note(self, position: Position) -> None:
        content = {"uri": position.uri, "mlflow_run": position.mlflow_run, "offset": position.offset}
        try:
            write_json(self.run.tracking, content, durable=False)
        except OSError as error:
            raise TrackingError(f"{self.run.tracking} cannot be written: {error}") from error


def as_text(value: object, limit: int = 500) -> str:
    """A param's value as text; a long one is cut and says so."""
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    if len(text) <= limit:
        return text
    return f"{text[: limit - 60]} ... (cut: {len(text)} characters, whole in config.yaml)"

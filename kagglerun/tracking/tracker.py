"""What a run in progress writes to.

Nothing here raises because of MLflow: a problem is told once, and the journal keeps what MLflow missed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from kagglerun.errors import KagglerunError
from kagglerun.tracking.journal import Artifact, Body, End, Journal, Start, Tags, Values
from kagglerun.tracking.mlflow_store import Store
from kagglerun.tracking.pusher import end_pushing, start_pusher
from kagglerun.tracking.replay import Replay, as_text, study_paths
from kagglerun.workspace import RunPaths, Workspace

FLUSH_SECONDS = 30.0
"""How long the end of a run waits for MLflow to catch up."""

_log = logging.getLogger("kagglerun.tracking")


class Tracker(Protocol):
    """What a run in progress writes to."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Track metrics at a step. What a resumed run repeats with the same values is not tracked twice."""

    def tag(self, tags: Mapping[str, str]) -> None:
        """Set tags."""

    def artifact(self, path: Path, folder: str = "") -> None:
        """Keep a file with the run, in `folder` of its artifacts."""

    def end(self, state: str, error: str | None = None) -> None:
        """End the run: FINISHED, FAILED or KILLED."""


class NullTracker:
    """Tracks nothing."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Do nothing."""

    def tag(self, tags: Mapping[str, str]) -> None:
        """Do nothing."""

    def artifact(self, path: Path, folder: str = "") -> None:
        """Do nothing."""

    def end(self, state: str, error: str | None = None) -> None:
        """Do nothing."""


class JournalTracker:
    """Writes the journal at once and MLflow from another thread; made by `open_tracker`.

    Args:
        workspace: the workspace.
        run: the run's folder.
        start: the journal's next Start.
        flush_seconds: how long `end` waits for MLflow.
    """

    def __init__(self, workspace: Workspace, run: RunPaths, start: Start, flush_seconds: float = FLUSH_SECONDS) -> None:
        self._run = run
        self._journal = Journal(run.journal)
        self._flush_seconds = flush_seconds
        self._told = False
        self._known = _tracked_values(self._journal)
        self._write(start)
        self._pusher = start_pusher(workspace, run) if self._claim() else None

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Track metrics at a step."""
        new = {key: float(value) for key, value in values.items() if self._is_new(key, step, float(value))}
        if new:
            self._write(Values(new, int(step)))

    def tag(self, tags: Mapping[str, str]) -> None:
        """Set tags."""
        self._write(Tags({key: str(value) for key, value in tags.items()}))

    def artifact(self, path: Path, folder: str = "") -> None:
        """Keep a file with the run."""
        inside = path.is_relative_to(self._run.folder)
        shown = path.relative_to(self._run.folder) if inside else path.absolute()
        self._write(Artifact(str(shown), folder))

    def end(self, state: str, error: str | None = None) -> None:
        """End the run and wait a little for MLflow to catch up."""
        self._write(End(state, error))
        if self._pusher is not None:
            end_pushing(self._pusher, self._flush_seconds)
        self._journal.release()

    def _is_new(self, key: str, step: int, value: float) -> bool:
        return self._known.get((key, step)) != repr(value)

    def _claim(self) -> bool:
        try:
            if self._journal.claim():
                return True
        except OSError as error:
            self._tell(str(error))
            return False
        self._tell("another process is writing the same run; MLflow gets its values from that one")
        return False

    def _write(self, *bodies: Body) -> None:
        try:
            self._journal.append(*bodies)
        except (OSError, ValueError) as error:
            self._tell(str(error))

    def _tell(self, problem: str) -> None:
        if not self._told:
            _log.warning("%s: %s (the run goes on)", self._run.journal, problem)
            self._told = True


def open_tracker(
    workspace: Workspace,
    run: RunPaths,
    *,
    name: str,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
    parent: str | None = None,
    flush_seconds: float = FLUSH_SECONDS,
) -> Tracker:
    """Start tracking a run, or go on where its journal ended, in the same MLflow run.

    Args:
        workspace: the workspace.
        run: the run's folder.
        name: what MLflow calls the run.
        params: the config; nested keys become dotted ones, long values are cut with a note.
        tags: e.g. the fingerprint's digests.
        parent: what `open_parent` returned, for a trial of a study.
        flush_seconds: how long the end waits for MLflow.
    """
    texts = {key: as_text(value) for key, value in flatten(params).items()}
    start = Start(name, texts, {key: str(value) for key, value in tags.items()}, parent)
    return JournalTracker(workspace, run, start, flush_seconds)


_parents: dict[tuple[Path, str], JournalTracker] = {}


def open_parent(workspace: Workspace, slug: str, study: str, tags: Mapping[str, str]) -> str:
    """Start (or go on with) the MLflow run that a study's trials stand under.

    Args:
        workspace: the workspace.
        slug: the competition.
        study: the study's name.
        tags: e.g. the sampler and the search space's digest.

    Returns:
        The study's key, for `open_tracker` (also in other processes of the workspace) and `close_parent`.
    """
    key = f"{slug}/{study}"
    texts = {"kagglerun.study": study, **{name: str(value) for name, value in tags.items()}}
    tracker = JournalTracker(workspace, study_paths(workspace, key), Start(study, tags=texts))
    _parents[(workspace.root, key)] = tracker
    return key


def close_parent(
    workspace: Workspace,
    parent_id: str,
    state: str,
    values: Mapping[str, float],
    artifacts: Iterable[Path] = (),
) -> None:
    """End a study's MLflow run.

    Args:
        workspace: the workspace.
        parent_id: what `open_parent` returned.
        state: FINISHED, FAILED or KILLED.
        values: e.g. the best score and the number of trials.
        artifacts: files to keep with it.
    """
    tracker = _parents.pop((workspace.root, parent_id), None)
    if tracker is None:
        slug, _, study = parent_id.partition("/")
        open_parent(workspace, slug, study, {})
        tracker = _parents.pop((workspace.root, parent_id))
    tracker.log(values, 0)
    for path in artifacts:
        tracker.artifact(path)
    tracker.end(state)


def add_artifacts(workspace: Workspace, run: RunPaths, paths: Iterable[Path], folder: str = "") -> None:
    """Keep files with a run that has ended, in `folder` of its artifacts: journal first, then MLflow.

    Raises:
        OSError: the journal cannot be written.
    """
    Journal(run.journal).append(*(Artifact(str(path.relative_to(run.folder)), folder) for path in paths))
    _catch_up(workspace, run)


def add_values(
    workspace: Workspace, run: RunPaths, values: Mapping[str, float], tags: Mapping[str, str] | None = None
) -> None:
    """Add metrics and tags to a run that has ended, e.g. `public_score`: journal first, then MLflow.

    Raises:
        OSError: the journal cannot be written.
    """
    journal = Journal(run.journal)
    if journal.state() is None:
        journal.append(Start(run.run_id), End("FINISHED"))
    known = _tracked_values(journal)
    new = {key: float(value) for key, value in values.items() if known.get((key, 0)) != repr(float(value))}
    if new:
        journal.append(Values(new, 0))
    if tags:
        journal.append(Tags({key: str(value) for key, value in tags.items()}))
    _catch_up(workspace, run)


def _catch_up(workspace: Workspace, run: RunPaths) -> None:
    try:
        Replay(workspace, run, Store(workspace)).advance()
    except KagglerunError as error:
        _log.warning("MLflow is behind: %s\n  later: kagglerun track sync %s", error, run.run_id)


def _tracked_values(journal: Journal) -> dict[tuple[str, int], str]:
    """Value (as repr, since NaN is not equal to itself) last tracked for each metric and step."""
    bodies = (entry.body for entry in journal.read())
    return {
        (key, body.step): repr(value)
        for body in bodies
        if isinstance(body, Values)
        for key, value in body.values.items()
    }


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one mapping with dotted keys; empty ones are left out."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat

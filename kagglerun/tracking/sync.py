"""Bringing MLflow up to date with journals, after the fact."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kagglerun.errors import TrackingError
from kagglerun.tracking.journal import RUNNING, End, Journal
from kagglerun.tracking.mlflow_store import Store
from kagglerun.tracking.replay import Replay
from kagglerun.workspace import RunPaths, Workspace


@dataclass(frozen=True)
class SyncReport:
    """What became of one journal.

    Attributes:
        run: the run.
        written: entries that MLflow did not have yet.
        state: the run's state, None when the journal never started.
        live: a process is writing the run now, and brings MLflow up to date itself.
        problem: why MLflow could not be written; None when it is up to date.
    """

    run: RunPaths
    written: int
    state: str | None
    live: bool
    problem: str | None = None


def all_tracked(workspace: Workspace) -> list[RunPaths]:
    """Every journal of the workspace: studies first, then runs."""
    studies = sorted(path.parent for path in workspace.study_journals.glob("*/*/journal.jsonl"))
    runs = [run for run in workspace.all_runs() if run.journal.is_file()]
    return [*map(RunPaths, studies), *runs]


def was_killed(run: RunPaths) -> bool:
    """Whether the run's process is gone without having said how the run ended."""
    journal = Journal(run.journal)
    if journal.state() != RUNNING or not journal.claim(seconds=0):
        return False
    journal.release()
    return True


def behind(workspace: Workspace) -> list[RunPaths]:
    """The journals that MLflow does not know the end of: something is missing, or the run seems to go on."""
    store = Store(workspace)
    return [
        run
        for run in all_tracked(workspace)
        if Replay(workspace, run, store).is_behind() or Journal(run.journal).state() == RUNNING
    ]


def sync(workspace: Workspace, runs: Iterable[RunPaths]) -> list[SyncReport]:
    """Write to MLflow what it has missed; doing so twice changes nothing.

    A run whose process is gone without having said how it ended becomes KILLED.

    Raises:
        TrackingError: MLflow is switched off.
        ConfigError: the workspace's settings cannot be read.
    """
    store = Store(workspace)
    if store.switched_off:
        raise TrackingError("MLflow is switched off, so there is nothing to sync", hint="unset KAGGLERUN_MLFLOW_URI")
    return [_sync_one(workspace, run, store) for run in runs]


def catch_up(workspace: Workspace, runs: Iterable[RunPaths], should_stop: Callable[[], bool]) -> int:
    """Write to MLflow what it has missed of runs that nobody writes any more; ends at its first refusal.

    Args:
        workspace: the workspace.
        runs: those that may be behind.
        should_stop: asked before each run.

    Returns:
        The number of runs that MLflow still has not, or not all of.

    Raises:
        ConfigError: the workspace's settings cannot be read.
    """
    store = Store(workspace)
    if store.switched_off:
        return 0
    missing = [run for run in runs if run.journal.is_file() and Replay(workspace, run, store).is_behind()]
    for done, run in enumerate(missing):
        if should_stop() or _sync_one(workspace, run, store).problem is not None:
            return len(missing) - done
    return 0


def _sync_one(workspace: Workspace, run: RunPaths, store: Store) -> SyncReport:
    live = not _end_if_killed(run)
    state = Journal(run.journal).state()
    if live:
        return SyncReport(run, 0, state, live)
    try:
        return SyncReport(run, Replay(workspace, run, store).advance(), state, live)
    except TrackingError as error:
        return SyncReport(run, 0, state, live, str(error))


def _end_if_killed(run: RunPaths) -> bool:
    """End a run that nobody writes any more; False when somebody does."""
    journal = Journal(run.journal)
    if not journal.claim(seconds=0):
        return False
    try:
        if journal.state() == RUNNING:
            journal.append(End("KILLED", "the process ended without saying how"))
    finally:
        journal.release()
    return True

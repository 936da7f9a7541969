"""Tracking: journal first, then MLflow.

Every value goes to the run's journal.jsonl, line by line, and from there to MLflow in batches by another
thread. What MLflow cannot take now (a locked database, a server that is down) stays in the journal for
`kagglerun track sync`; training goes on.

This package alone imports mlflow, and only mlflow_store.py in it.
"""

from kagglerun.tracking.mlflow_store import NO_MLFLOW, prepare_database, tracking_uri, without_password
from kagglerun.tracking.pusher import let_ends_linger, wait_for_ends
from kagglerun.tracking.replay import study_paths
from kagglerun.tracking.sync import SyncReport, all_tracked, behind, catch_up, sync, was_killed
from kagglerun.tracking.tracker import (
    NullTracker,
    Tracker,
    add_artifacts,
    add_values,
    close_parent,
    flatten,
    open_parent,
    open_tracker,
)
from kagglerun.tracking.ui import serve_ui

__all__ = [
    "NO_MLFLOW",
    "NullTracker",
    "SyncReport",
    "Tracker",
    "add_artifacts",
    "add_values",
    "all_tracked",
    "behind",
    "catch_up",
    "close_parent",
    "flatten",
    "let_ends_linger",
    "open_parent",
    "open_tracker",
    "prepare_database",
    "serve_ui",
    "study_paths",
    "sync",
    "tracking_uri",
    "wait_for_ends",
    "was_killed",
    "without_password",
]

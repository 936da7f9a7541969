"""Runs whose weights were deleted, to save room: what is said of them."""

from __future__ import annotations

from kagglerun.files import read_json
from kagglerun.workspace import RunPaths


def why_no_weights(run: RunPaths) -> str | None:
    """Why the run has no weights any more, in a sentence; None for one whose weights nobody deleted."""
    if not run.weights_deleted.exists():
        return None
    return f"its weights were deleted: {read_json(run.weights_deleted)['reason']}"

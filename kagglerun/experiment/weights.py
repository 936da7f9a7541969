"""Runs without weights, deleted to save room or left at another place: what is said of them."""

from __future__ import annotations

from kagglerun.files import read_json, write_json
from kagglerun.workspace import RunPaths


def why_no_weights(run: RunPaths) -> str | None:
    """Why the run has no weights (any more), in a sentence; None for one whose weights nobody deleted."""
    if not run.weights_deleted.exists():
        return None
    said = read_json(run.weights_deleted)
    if "elsewhere" in said:
        return f"its weights were not pulled from {said['elsewhere']}"
    return f"its weights were deleted: {said['reason']}"


def note_weights_elsewhere(run: RunPaths, place: str) -> None:
    """Note that the weights of a run are not here because it came from elsewhere without them.

    Args:
        run: the run.
        place: where it came from.
    """
    write_json(run.weights_deleted, {"reason": f"they stayed at {place}", "elsewhere": place}, durable=False)

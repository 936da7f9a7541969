"""What a workspace must know of runs that came from elsewhere, so that they work as its own."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator, Sequence
from pathlib import Path

from kagglerun.errors import TrackingError
from kagglerun.experiment.sync.compare import joined_lines
from kagglerun.experiment.sync.items import Kind, has_weights
from kagglerun.experiment.sync.outcome import Outcome, Result
from kagglerun.experiment.weights import note_weights_elsewhere
from kagglerun.files import write_bytes
from kagglerun.tracking import NO_MLFLOW, sync, tracking_uri
from kagglerun.workspace import RunPaths, Workspace

_HERE = (Result.CARRIED, Result.SAME)
"""Also what an earlier pull brought that was cut off before this."""


def settle(workspace: Workspace, label: str, outcomes: Sequence[Outcome]) -> None:
    """Note which weights stayed behind, and take what was submitted elsewhere into the ledger: nothing is sent twice.

    Args:
        workspace: where the runs are now.
        label: where they came from.
        outcomes: what was pulled.
    """
    for run in _runs(workspace, outcomes, [Result.CARRIED]):
        if not has_weights(run) and not run.weights_deleted.exists():
            note_weights_elsewhere(run, label)
    runs = _runs(workspace, outcomes, _HERE)
    sent = b"".join(run.submissions.read_bytes() for run in runs if run.submissions.is_file())
    if sent:
        with _alone_with(workspace.ledger):
            before = workspace.ledger.read_bytes() if workspace.ledger.exists() else b""
            after = joined_lines(before, sent)
            if after != before:
                write_bytes(workspace.ledger, after)


def replay(workspace: Workspace, outcomes: Sequence[Outcome]) -> str | None:
    """Bring MLflow up to date with runs that it does not know; studies appear with their trials.

    Returns:
        Why MLflow is not up to date; None where it is, or is switched off.
    """
    unknown = [run for run in _runs(workspace, outcomes, [Result.SAME]) if not run.tracking.exists()]
    runs = [*_runs(workspace, outcomes, [Result.CARRIED]), *unknown]
    if not runs or tracking_uri(workspace) == NO_MLFLOW:
        return None
    try:
        problems = [report.problem for report in sync(workspace, runs) if report.problem]
    except TrackingError as error:
        return error.message
    return problems[0] if problems else None


def _runs(workspace: Workspace, outcomes: Sequence[Outcome], results: Sequence[Result]) -> list[RunPaths]:
    items = [each.item for each in outcomes if each.result in results and each.item.kind is Kind.RUN]
    return [workspace.run(item.slug, item.name) for item in items]


@contextlib.contextmanager
def _alone_with(ledger: Path) -> Iterator[None]:
    """Wait until no submission is being sent from this workspace."""
    with ledger.with_suffix(".lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield

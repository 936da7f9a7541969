"""`kagglerun track`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from kagglerun.cli.console import err, out

if TYPE_CHECKING:
    from kagglerun.tracking import SyncReport
    from kagglerun.workspace import RunPaths, Workspace

track = typer.Typer(name="track", help="Bring MLflow up to date with the runs' journals.", no_args_is_help=True)


@track.callback()
def _track() -> None:
    """Keeps `sync` a command of its own."""


@track.command()
def sync(
    run: Annotated[str | None, typer.Argument(help="A run's id, or its beginning.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All runs and studies of the workspace.")] = False,
) -> None:
    """Write to MLflow what it missed, e.g. while its server was down. Doing so twice changes nothing.

    A run whose process was killed is marked KILLED.
    """
    from kagglerun import tracking
    from kagglerun.errors import ConfigError, TrackingError
    from kagglerun.workspace import Workspace

    workspace = Workspace.find()
    if (run is None) == (not everything):
        raise ConfigError("name a run, or say --all", hint="kagglerun track sync --all")
    chosen = _chosen(workspace, run)
    reports = tracking.sync(workspace, chosen)
    for report in reports:
        _print(report)
    problems = [report for report in reports if report.problem]
    if problems:
        raise TrackingError(
            f"{len(problems)} of {len(reports)} journals are not in MLflow: {problems[0].problem}",
            hint="kagglerun track sync --all    (once it is back)",
        )
    written = sum(report.written for report in reports)
    out.print(f"{len(reports)} journals, {written} new entries: MLflow is up to date")


def _chosen(workspace: Workspace, run: str | None) -> list[RunPaths]:
    from kagglerun import tracking

    if run is None:
        return tracking.all_tracked(workspace)
    studies = [paths for paths in tracking.all_tracked(workspace) if paths.run_id == run]
    return studies or [workspace.find_run(run)]


def _print(report: SyncReport) -> None:
    name = escape(f"{report.run.slug}/{report.run.run_id}")
    if report.live:
        err.print(f"{name}: running; its own process keeps MLflow up to date")
    elif report.written:
        out.print(f"{name}: {report.written} entries, {(report.state or 'empty').lower()}")

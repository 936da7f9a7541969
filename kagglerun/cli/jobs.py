"""`kagglerun jobs`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from kagglerun.cli.console import out

if TYPE_CHECKING:
    from kagglerun.jobs.control import JobInfo

_WIDTH_FOR_ALL = 120
_STYLES = {
    "running": "green",
    "starting": "green",
    "stale": "yellow",
    "done": "",
    "failed": "red",
    "killed": "red",
    "stopped": "yellow",
}


def jobs(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, one object a job.")] = False,
) -> None:
    """List the jobs of this workspace, the newest first: what they do, how they stand, how far they are.

    The state is read from the job's files and the process table, so it is right after a kill -9 or a reboot too.
    A job that was stopped, killed or failed goes on with `kagglerun resume JOB`.
    """
    from kagglerun.jobs.control import list_jobs
    from kagglerun.workspace import Workspace

    found = list_jobs(Workspace.find())
    if as_json:
        _print_json(found)
    elif not found:
        out.print("no jobs yet; `kagglerun sweep baseline.yaml` starts one")
    else:
        _print_table(found)


def _print_json(found: list[JobInfo]) -> None:
    import json
    from dataclasses import asdict

    out.out(json.dumps([asdict(job) for job in found], indent=2), highlight=False)


def _print_table(found: list[JobInfo]) -> None:
    from rich.markup import escape
    from rich.table import Table

    columns = ["job", "what", "state", "progress", "started", "heartbeat"]
    if out.width < _WIDTH_FOR_ALL:
        columns.remove("what")  # the id says nearly the same
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, no_wrap=name not in ("what", "progress"))
    for job in found:
        style = _STYLES[job.state]
        cells = {
            "job": escape(job.job_id),
            "what": escape(job.what),
            "state": f"[{style}]{job.state}[/]" if style else str(job.state),
            "progress": escape(job.error or job.progress),
            "started": time.strftime("%m-%d %H:%M", time.localtime(job.created)),
            "heartbeat": _heartbeat(job),
        }
        table.add_row(*(cells[name] for name in columns))
    out.print(table, soft_wrap=False)


def _heartbeat(job: JobInfo) -> str:
    """Age of the last sign of life of a job that runs."""
    if not job.state.is_alive or job.heartbeat_age is None:
        return "-"
    return duration(job.heartbeat_age) + " ago"


def duration(seconds: float) -> str:
    """Seconds in words: 42 s, 3 min, 2.5 h, 4 d."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 86400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.0f} d"

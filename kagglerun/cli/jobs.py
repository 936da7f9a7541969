"""`kagglerun jobs`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from kagglerun.cli.console import err, out

if TYPE_CHECKING:
    from kagglerun.jobs.control import JobInfo
    from kagglerun.jobs.gpus import JobGpu
    from kagglerun.workspace import Workspace

_WIDTH_FOR_ALL = 120
_LEAST_FREE_BYTES = 16 << 20
_LEAST_FREE_SHARE = 0.05
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

    Of jobs that run also the GPUs they compute on with the memory they hold, the time that is left, and the time
    since their last sign of life. A job that lives, but has given none for a minute, is called stale. The state is
    read from the job's files and the process table, so it is right after a kill -9 or a reboot too.
    A job that was stopped, killed or failed goes on with `kagglerun resume JOB`; one that waits for room on a full disk
    goes on by itself.
    """
    from kagglerun.jobs.control import list_jobs
    from kagglerun.workspace import Workspace

    workspace = Workspace.find()
    found = list_jobs(workspace)
    if as_json:
        _print_json(found)
    elif not found:
        out.print("no jobs yet; `kagglerun sweep baseline.yaml` starts one")
    else:
        _print_table(found)
        _warn_of_full_disk(workspace)
    _warn_of_damage(workspace)


def _warn_of_full_disk(workspace: Workspace) -> None:
    """A job cannot write that it waits while the disk is full; who looks at it can see that."""
    import shutil

    for disk in (shutil.disk_usage(folder) for folder in (workspace.root, workspace.state)):
        if disk.free < min(_LEAST_FREE_BYTES, disk.total * _LEAST_FREE_SHARE):
            free = f"{disk.free / 1e6:.1f} MB free"
            err.print(f"[bold yellow]the disk is full[/] ({free}): jobs that write wait until there is room")
            return


def _warn_of_damage(workspace: Workspace) -> None:
    """Name the jobs that are left out."""
    from rich.markup import escape

    from kagglerun.jobs.control import damaged_jobs

    for error in damaged_jobs(workspace):
        err.print(f"[bold yellow]left out:[/] {escape(error.message)}")
        if error.hint:
            err.print(f"  → {error.hint}", markup=False)


def _print_json(found: list[JobInfo]) -> None:
    import json
    from dataclasses import asdict

    out.out(json.dumps([asdict(job) for job in found], indent=2), highlight=False)


def _print_table(found: list[JobInfo]) -> None:
    from rich.markup import escape
    from rich.table import Table

    rows = [_cells(job) for job in found]
    # The id says nearly the same as `what`; a machine without GPUs has no column for them.
    left_out = {"what"} if out.width < _WIDTH_FOR_ALL else set()
    columns = [name for name in rows[0] if name not in left_out and any(row[name] for row in rows)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, no_wrap=name not in ("what", "progress"))
    for job, row in zip(found, rows, strict=True):
        style = _STYLES[job.state]
        shown = {name: escape(text) or "-" for name, text in row.items()}
        shown["state"] = f"[{style}]{job.state}[/]" if style else str(job.state)
        table.add_row(*(shown[name] for name in columns))
    out.print(table, soft_wrap=False)


def _cells(job: JobInfo) -> dict[str, str]:
    """Column to text; empty where there is nothing to say."""
    return {
        "job": job.job_id,
        "what": one_line(job.what),
        "state": str(job.state),
        "progress": one_line(job.error or job.progress) or "-",
        "GPU": "  ".join(_gpu(gpu) for gpu in job.gpus),
        "left": "" if job.eta_seconds is None else duration(job.eta_seconds),
        "started": time.strftime("%m-%d %H:%M", time.localtime(job.created)),
        "heartbeat": _heartbeat(job) or "-",
    }


def one_line(text: str) -> str:
    """A text with its line ends as spaces: names of folders may hold some."""
    return " ".join(text.split())


def _gpu(gpu: JobGpu) -> str:
    """`0: 3.1 GB 87 %`."""
    memory = "" if gpu.memory_bytes is None else f" {gpu.memory_bytes / 1e9:.1f} GB"
    busy = "" if gpu.utilisation is None else f" {gpu.utilisation:.0%}".replace("%", " %")
    return f"{gpu.index}:{memory}{busy}".rstrip(":")


def _heartbeat(job: JobInfo) -> str:
    """Age of the last sign of life of a job that runs."""
    if not job.state.is_alive or job.heartbeat_age is None:
        return ""
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

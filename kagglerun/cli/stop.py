"""`kagglerun stop`."""

from __future__ import annotations

from typing import Annotated

import typer

from kagglerun.cli.console import err, out


def stop(
    job: Annotated[
        str | None, typer.Argument(help="The job's id or a part of it; the newest job when left out.")
    ] = None,
    now: Annotated[bool, typer.Option("--now", help="Do not wait for a checkpoint: end it at once.")] = False,
) -> None:
    """End a job: it saves where it is and ends within 30 seconds. `kagglerun resume JOB` goes on from there."""
    from kagglerun.jobs.control import find_job, job_info, stop_job
    from kagglerun.workspace import Workspace

    paths = find_job(Workspace.find(), job)
    if not job_info(paths).state.is_alive:
        out.print(f"{paths.job_id} does not run: it is {job_info(paths).state}")
        return
    if not now:
        err.print(f"asked {paths.job_id} to end; it saves where it is (up to 30 seconds) ...")
    info = stop_job(paths, now=now)
    out.print(f"{paths.job_id} is {info.state}; `kagglerun resume {paths.job_id}` goes on")

"""`kagglerun resume`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from kagglerun.cli.console import out

if TYPE_CHECKING:
    from kagglerun.workspace import JobPaths, Workspace


def resume(
    job: Annotated[str | None, typer.Argument(help="The job's id or a part of it.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All jobs that were stopped, killed or failed, e.g. after a reboot.")
    ] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Follow the job until it ends.")] = False,
) -> None:
    """Go on with a job that was stopped or killed or failed, exactly where it was; finished trials are kept."""
    from kagglerun.cli.logs import exit_code, show_until_end
    from kagglerun.jobs.control import find_job, resumable_jobs
    from kagglerun.workspace import Workspace

    workspace = Workspace.find()
    chosen = _chosen(job, everything, [info.job_id for info in resumable_jobs(workspace)])
    for name in chosen:
        paths = find_job(workspace, name)
        _start_again(workspace, paths)
        out.print(f"{paths.job_id} goes on; `kagglerun logs -f {paths.job_id}` follows it")
    if follow and len(chosen) == 1:
        raise typer.Exit(exit_code(show_until_end(paths, 1)))


def _start_again(workspace: Workspace, paths: JobPaths) -> None:
    """On the cluster that ran it last, or on this machine."""
    from kagglerun.jobs.launch import relaunch

    if not paths.cluster.is_file():
        relaunch(workspace, paths)
        return
    from kagglerun.sweep.ray.submit import submit_again

    submit_again(workspace, paths)


def _chosen(job: str | None, everything: bool, resumable: list[str]) -> list[str]:
    from kagglerun.errors import ConfigError

    if job and everything:
        raise ConfigError("name a job or say --all, not both", hint="kagglerun resume --all")
    if job:
        return [job]
    if not everything:
        names = ", ".join(resumable) or "none"
        raise ConfigError(f"which job? These can go on: {names}", hint=f"kagglerun resume {(resumable or ['JOB'])[-1]}")
    if not resumable:
        out.print("no job waits to go on")
    return resumable

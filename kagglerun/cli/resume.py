"""`kagglerun resume`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from kagglerun.cli.console import err, out
from kagglerun.errors import KagglerunError
from kagglerun.workspace import Workspace

if TYPE_CHECKING:
    from kagglerun.workspace import JobPaths


def resume(
    job: Annotated[str | None, typer.Argument(help="The job's id or a part of it.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All jobs that were stopped, killed or failed.")] = False,
    interrupted: Annotated[
        bool,
        typer.Option(
            "--interrupted",
            help="All jobs that a reboot, a shutdown or kill -9 ended; not those that you stopped or that failed.",
        ),
    ] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Follow the job until it ends.")] = False,
    print_systemd: Annotated[
        bool, typer.Option("--print-systemd", help="Print a systemd user unit that does so after each reboot.")
    ] = False,
    print_cron: Annotated[
        bool, typer.Option("--print-cron", help="Print a line for crontab -e that does so after each reboot.")
    ] = False,
) -> None:
    """Go on with a job that was stopped or killed or failed, exactly where it was; finished trials are kept.

    After a reboot `kagglerun resume --interrupted` (or --all) goes on with all of them; --print-systemd and
    --print-cron print what makes that happen by itself. Of several jobs that do the same the newest goes on. Where
    one cannot, the others do, and the exit code is 1.
    """
    workspace = Workspace.find()
    if print_systemd or print_cron:
        _print_autostart(workspace, print_systemd, print_cron)
        return
    if not everything and not interrupted:
        _resume_one(workspace, job, follow)
        return
    if job:
        from kagglerun.errors import ConfigError

        raise ConfigError("name a job or say --all, not both", hint="kagglerun resume --all")
    _resume_all(workspace, interrupted)


def _resume_one(workspace: Workspace, job: str | None, follow: bool) -> None:
    from kagglerun.cli.logs import exit_code, show_until_end
    from kagglerun.errors import ConfigError
    from kagglerun.jobs.control import find_job, resumable_jobs

    if job is None:
        names = [info.job_id for info in resumable_jobs(workspace)]
        raise ConfigError(
            f"which job? These can go on: {', '.join(names) or 'none'}",
            hint=f"kagglerun resume {names[-1]}    or: kagglerun resume --all" if names else "kagglerun jobs",
        )
    paths = find_job(workspace, job)
    _go_on(workspace, paths)
    if follow:
        raise typer.Exit(exit_code(show_until_end(paths, 1)))


def _resume_all(workspace: Workspace, interrupted: bool) -> None:
    """Go on with all that can; one that cannot keeps no other one from it."""
    from kagglerun.jobs.control import interrupted_jobs, resumable_jobs

    found = interrupted_jobs(workspace) if interrupted else resumable_jobs(workspace)
    if not found:
        out.print("no job waits to go on")
    failures = 0
    for info in found:
        try:
            _go_on(workspace, workspace.job(info.job_id))
        except KagglerunError as error:
            failures += 1
            err.print(f"{info.job_id} does not go on: {error.message}", markup=False)
            if error.hint:
                err.print(f"  → {error.hint}", markup=False)
    if failures:
        raise typer.Exit(1)


def _go_on(workspace: Workspace, paths: JobPaths) -> None:
    _start_again(workspace, paths)
    out.print(f"{paths.job_id} goes on; `kagglerun logs -f {paths.job_id}` follows it", markup=False)


def _start_again(workspace: Workspace, paths: JobPaths) -> None:
    """On the cluster that ran it last, or on this machine."""
    from kagglerun.jobs.launch import relaunch

    if not paths.cluster.is_file():
        relaunch(workspace, paths)
        return
    from kagglerun.sweep.ray.submit import submit_again

    submit_again(workspace, paths)


def _print_autostart(workspace: Workspace, systemd: bool, cron: bool) -> None:
    from kagglerun.jobs.autostart import cron_line, resume_command, systemd_unit

    command = resume_command(sys.executable, workspace.root)
    if systemd:
        out.out(systemd_unit(command, workspace.root), end="", highlight=False)
    if cron:
        out.out(cron_line(command), end="", highlight=False)

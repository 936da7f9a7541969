"""`kagglerun logs`, and following a job for the commands that start one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from kagglerun.cli.console import err, out

if TYPE_CHECKING:
    from kagglerun.jobs.control import JobInfo
    from kagglerun.workspace import JobPaths


def logs(
    job: Annotated[
        str | None, typer.Argument(help="The job's id or a part of it; the newest job when left out.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on showing until the job ends.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Begin this many lines before the end.")] = 200,
) -> None:
    """Show what a job printed. With -f it goes on until the job ends; Ctrl-C leaves the job running."""
    from kagglerun.jobs.control import find_job
    from kagglerun.jobs.log import tail
    from kagglerun.workspace import Workspace

    paths = find_job(Workspace.find(), job)
    if follow:
        show_until_end(paths, lines)
        return
    for line in tail(paths, lines):
        out.out(line, highlight=False)


def show_until_end(paths: JobPaths, lines: int) -> JobInfo:
    """Show a job's log and, on a terminal, its progress, until it ends.

    Args:
        paths: the job.
        lines: lines of the log to begin with.

    Returns:
        The job as it ended.

    Raises:
        typer.Exit: with 130 at Ctrl-C; the job runs on.
    """
    from kagglerun.jobs.control import job_info

    try:
        _show(paths, lines)
    except KeyboardInterrupt:
        err.print(f"\nthe job runs on; `kagglerun logs -f {paths.job_id}` follows it, `kagglerun stop` ends it")
        raise typer.Exit(130) from None
    info = job_info(paths)
    _say_how_it_ended(info)
    return info


def say_started(paths: JobPaths) -> None:
    """Say what the new job is called, and what can be done with it."""
    out.print(f"started [bold]{paths.job_id}[/], which goes on when you log out")
    out.print(f"  kagglerun logs -f {paths.job_id}    follow it", markup=False)
    out.print("  kagglerun jobs    how all jobs stand")
    out.print(f"  kagglerun stop {paths.job_id}    end it; `kagglerun resume` goes on", markup=False)


def exit_code(info: JobInfo) -> int:
    """The exit code of a command that followed the job: the job's own, 1 for one that died without a word."""
    return 1 if info.exit_code is None else info.exit_code


def _show(paths: JobPaths, lines: int) -> None:
    from rich.markup import escape

    from kagglerun.jobs.control import job_info
    from kagglerun.jobs.log import follow

    pending = ""
    with out.status("") as status:  # shows nothing where standard output is not a terminal
        for text in follow(paths, lines, lambda: job_info(paths).state.is_alive):
            *whole, pending = (pending + text).split("\n")
            for line in whole:
                out.out(line, highlight=False)
            if not text:
                status.update(escape(job_info(paths).progress))
    if pending:
        out.out(pending, highlight=False)


def _say_how_it_ended(info: JobInfo) -> None:
    if info.state in ("stopped", "killed"):
        err.print(f"the job was {info.state}; `kagglerun resume {info.job_id}` goes on")
    elif info.state == "failed":
        err.print(f"the job failed; after mending the cause, `kagglerun resume {info.job_id}` goes on")

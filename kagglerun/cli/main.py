"""The `kagglerun` command: builds the command line, prints errors, sets the exit code.

Exit codes: 0 done, 1 failed, 2 wrong usage or config, 3 refused by a guard, 130 interrupted.
"""

from __future__ import annotations

import errno
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from kagglerun import __version__
from kagglerun.cli import (
    dashboard,
    doctor,
    ensemble,
    fetch,
    final,
    gpus,
    image,
    init,
    inspect,
    jobs,
    logs,
    metrics,
    notebook,
    package,
    practice,
    profile,
    reproduce,
    resume,
    runs,
    scores,
    show,
    stop,
    study,
    submissions,
    submit,
    sweep,
    sync,
    top,
    track,
    train,
    ui,
)
from kagglerun.cli.console import err, out
from kagglerun.errors import KagglerunError

app = typer.Typer(
    name="kagglerun",
    help="From a Kaggle competition's slug to a scored submission, and up the leaderboard.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        out.print(f"kagglerun {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    workspace: Annotated[
        Path | None,
        typer.Option("--workspace", "-w", help="The workspace; by default the nearest one upward from here."),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    # The environment carries both to the jobs and workers that a command starts.
    if workspace is not None:
        os.environ["KAGGLERUN_WORKSPACE"] = str(workspace.expanduser().resolve())
    if debug:
        os.environ["KAGGLERUN_DEBUG"] = "1"


def _add_commands() -> None:
    """One line a command, in the order in which a competition is lived."""
    app.command()(init.init)
    app.add_typer(practice.practice)
    app.command()(fetch.fetch)
    app.command()(inspect.inspect)
    app.command()(metrics.metrics)
    app.command()(train.train)
    app.command()(profile.profile)
    app.command()(sweep.sweep)
    app.command()(notebook.notebook)
    app.command()(jobs.jobs)
    app.command()(logs.logs)
    app.command()(stop.stop)
    app.command()(resume.resume)
    app.command()(study.study)
    app.command()(runs.runs)
    app.command()(show.show)
    app.command()(ensemble.ensemble)
    app.command()(reproduce.reproduce)
    app.command()(ui.ui)
    app.command()(dashboard.dashboard)
    app.add_typer(track.track)
    app.add_typer(sync.sync)
    app.command()(package.package)
    app.command()(submit.submit)
    app.command()(submissions.submissions)
    app.command()(scores.scores)
    app.command()(final.final)
    app.command()(top.top)
    app.add_typer(gpus.gpus)
    app.command()(doctor.doctor)
    app.add_typer(image.image)


_add_commands()


def main() -> None:
    """Run the command line and exit with the design's codes."""
    sys.exit(run())


def run(argv: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: arguments after the program's name; `sys.argv` by default.

    Returns:
        The exit code.
    """
    try:
        code = app(args=argv, prog_name="kagglerun", standalone_mode=False)
    except KagglerunError as error:
        return _failed(error, error.message, error.hint, error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        err.print("interrupted")
        return 130
    except BrokenPipeError:
        # `kagglerun runs | head` closes the pipe; what is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM) and error.filename:
            return _forbidden(error)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return _explained(error)
        return _failed(error, f"the disk is full: {error.filename or error}", "free some space, then run again", 1)
    except Exception as error:
        usage = _usage_message(error)
        if usage is None:
            return _explained(error)
        if not usage:
            return 2  # a command group without a command: its help was shown
        return _failed(error, usage, "kagglerun --help", 2)
    return code if isinstance(code, int) else 0


def _usage_message(error: Exception) -> str | None:
    """The message of a wrong option or argument; typer's click raises these."""
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):
        return str(error.format_message())
    return None


def _forbidden(error: OSError) -> int:
    """Print which file or folder refuses: a disk mounted for reading alone, a workspace of another user."""
    folder = Path(os.fsdecode(error.filename)).parent
    return _failed(
        error,
        f"{os.fsdecode(error.filename)} cannot be used: {error.strerror}",
        f"ls -ld {shlex.quote(str(folder))}    (whoever runs kagglerun must be able to write into the workspace)",
        1,
    )


def _explained(error: Exception) -> int:
    """Print what a failure of the machine means (driver, CUDA, shared memory ...); anything else is raised again."""
    from kagglerun.environment.doctor.failure_texts import explain, words_of

    known = explain(words_of(error))
    if known is None:
        raise error
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return _failed(error, f"{first[:300]}\n  {known.why}", known.mend, 1)


def _failed(error: Exception, message: str, hint: str | None, exit_code: int) -> int:
    if os.environ.get("KAGGLERUN_DEBUG"):
        raise error
    err.print(f"[bold red]error:[/] {escape(message)}")
    if hint:
        err.print(f"[bold]  →[/] {escape(hint)}")
    return exit_code

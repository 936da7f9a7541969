"""`kagglerun submit`: a run's predictions, or a file, to the competition."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from kagglerun.cli.console import err, out
from kagglerun.workspace import RunPaths, Workspace

if TYPE_CHECKING:
    from kagglerun.cli.connect import Target
    from kagglerun.config.card import Card
    from kagglerun.kaggle_api.client import KaggleClient
    from kagglerun.kaggle_api.records import SubmissionRecord
    from kagglerun.submission.send import Prepared


def submit(
    what: Annotated[str, typer.Argument(metavar="best|RUN|FILE", help="The best run, a run's id, or a CSV file.")],
    competition: Annotated[
        str | None,
        typer.Option("--competition", "-c", help="The competition; by default the run's or the current one."),
    ] = None,
    message: Annotated[str, typer.Option("--message", "-m", help="Words for the description.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before a submission is spent.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the score.")] = True,
    timeout: Annotated[float, typer.Option("--timeout", min=0, help="Seconds to wait for the score.")] = 1200.0,
    late: Annotated[bool, typer.Option("--late", help="Send although the deadline is over.")] = False,
) -> None:
    """Check a submission, show it, ask, send it, and wait for its score.

    It goes to where the data came from. The same file is never sent twice, and after a lost reply the list of
    submissions is read before anything else is sent.
    """
    from kagglerun.cli.connect import client_for
    from kagglerun.submission.ledger import only_one_at_a_time
    from kagglerun.submission.send import prepare, send_prepared

    workspace = Workspace.find()
    about, run, file = _resolve(workspace, what, competition)
    card = _card(about)
    with only_one_at_a_time(workspace.ledger):
        path = file or _file_of_run(run, about)
        client = client_for(workspace, card.source)
        prepared = prepare(workspace, client, card, path, run=run, message=message, late=late)
        _show(prepared)
        if not yes and not _confirmed(prepared):
            out.print("nothing was sent")
            return
        record = send_prepared(workspace, client, prepared)
    out.print(f"submitted: {card.ref}, submission {record.ref}", markup=False)
    if wait:
        _print_score(prepared, _await(workspace, client, prepared, record, timeout))
    else:
        out.print("see its score later with: kagglerun submissions", markup=False)


def _resolve(workspace: Workspace, what: str, competition: str | None) -> tuple[Target, RunPaths | None, Path | None]:
    """The competition, and the run or the file that is meant."""
    from kagglerun.cli.connect import target
    from kagglerun.errors import ConfigError

    if what == "best":
        about = target(workspace, competition)
        return about, _best(workspace, about.slug), None
    path = Path(what).expanduser()
    if path.is_file():
        return target(workspace, competition), None, path.resolve()
    if path.suffix.lower() == ".csv" or "/" in what:
        raise ConfigError(f"there is no file {what!r}", hint="kagglerun submit best")
    run = workspace.find_run(what)
    about = target(workspace, competition or run.slug)
    if about.slug != run.slug:
        raise ConfigError(
            f"the run {run.run_id} is of {run.slug}, not of {about.slug}", hint=f"kagglerun submit {what}"
        )
    return about, run, None


def _best(workspace: Workspace, slug: str) -> RunPaths:
    from kagglerun.submission.select import select_best

    chosen = select_best(workspace, slug)
    run = chosen.run
    left_out = f"; left out: {', '.join(chosen.left_out)}" if chosen.left_out else ""
    out.print(
        f"best of {chosen.compared}: run {run.run_id} ({run.model}), OOF {run.metric} {run.score:.5f}{left_out}",
        markup=False,
    )
    return workspace.run(run.slug, run.run_id)


def _card(about: Target) -> Card:
    """The card; submissions go to where its data came from."""
    from kagglerun.data.understand import current_card
    from kagglerun.errors import ConfigError

    card = about.card or current_card(about.paths)
    if about.source != card.source:
        raise ConfigError(
            f"the data of {card.slug} came from {card.ref}, and submissions go there, not to {about.source}",
            hint=f"kagglerun submit best --competition {card.ref}",
        )
    return card


def _file_of_run(run: RunPaths | None, about: Target) -> Path:
    from kagglerun.submission.send import file_of_run

    assert run is not None
    return file_of_run(run, about.paths, _card(about))


def _show(prepared: Prepared) -> None:
    """What will be sent, and what it costs."""
    file = prepared.file
    columns = ", ".join(file.columns[:6]) + (", ..." if len(file.columns) > 6 else "")
    out.print(f"  to           {prepared.card.ref}", markup=False)
    out.print(f"  file         {file.path} ({file.rows} rows: {columns})", markup=False)
    out.print(f"  description  {prepared.description}", markup=False)
    out.print(f"  allowance    {prepared.allowance.text}", markup=False)
    for warning in file.warnings:
        err.print(f"[bold yellow]warning:[/] {escape(warning)}")


def _confirmed(prepared: Prepared) -> bool:
    """Ask; where nobody can be asked, refuse.

    Raises:
        SubmissionRefused: standard input is no terminal.
    """
    from kagglerun.errors import SubmissionRefused

    if not sys.stdin.isatty():
        raise SubmissionRefused(
            f"sending to {prepared.card.ref} spends a submission, and there is no terminal to ask on",
            hint="add --yes to send without being asked",
        )
    return typer.confirm("send it?", err=True)


def _await(
    workspace: Workspace, client: KaggleClient, prepared: Prepared, record: SubmissionRecord, timeout: float
) -> SubmissionRecord:
    from kagglerun.submission.send import await_score

    with err.status("waiting for the score") as status:
        return await_score(
            workspace,
            client,
            prepared,
            record,
            timeout,
            waiting=lambda seconds: status.update(f"waiting for the score, {seconds:.0f} s"),
        )


def _print_score(prepared: Prepared, record: SubmissionRecord) -> None:
    from kagglerun.kaggle_api.records import SubmissionState

    if record.state is SubmissionState.PENDING:
        out.print("not scored yet; see it later with: kagglerun submissions", markup=False)
        return
    public = "not shown" if record.public_score is None else f"{record.public_score:.5f}"
    private = "" if record.private_score is None else f"   private score {record.private_score:.5f}"
    out.print(f"public score {public}{private}   ({prepared.card.metric})", markup=False)

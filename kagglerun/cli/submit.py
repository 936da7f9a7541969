"""`kagglerun submit`: a run's predictions, or a file, to the competition."""

from __future__ import annotations

import sys
from collections.abc import Callable
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
    from kagglerun.submission.send import Prepared, Scored


def submit(
    what: Annotated[str, typer.Argument(metavar="best|RUN|FILE", help="The best run, a run's id, or a CSV file.")],
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The study, with `best --of study NAME`.")
    ] = None,
    competition: Annotated[
        str | None,
        typer.Option("--competition", "-c", help="The competition; by default the run's or the current one."),
    ] = None,
    of: Annotated[
        str | None, typer.Option("--of", help="The best of which: ensemble, single, or study NAME; by default of all.")
    ] = None,
    message: Annotated[str, typer.Option("--message", "-m", help="Words for the description.")] = "",
    check: Annotated[bool, typer.Option("--check", help="Only check the file and say all that is found.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before a submission is spent.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the score.")] = True,
    timeout: Annotated[float, typer.Option("--timeout", min=0, help="Seconds to wait for the score.")] = 1200.0,
    late: Annotated[bool, typer.Option("--late", help="Send although the deadline is over.")] = False,
) -> None:
    """Check a submission, show it, ask, send it, and wait for its score.

    It goes to where the data came from. The same file is never sent twice: after a lost reply, a kill or a full disk
    run the same command again; it looks for the submission before anything else is sent.
    """
    from kagglerun.cli.connect import client_for
    from kagglerun.submission.ledger import only_one_at_a_time

    workspace = Workspace.find()
    about, run, file = _resolve(workspace, what, competition, _among(what, of, name))
    card = _card(about)
    if check:
        _print_findings(workspace, file or _file_of_run(run, about), run, about, card)
        return
    with only_one_at_a_time(workspace.ledger):
        client = client_for(workspace, card.source)
        sent = _send(workspace, client, about, run, file, message, yes, late)
    if sent is None:
        out.print("nothing was sent")
        return
    prepared, record = sent
    if wait:
        _print_score(prepared, _await(workspace, client, prepared, record, timeout))
    else:
        out.print("see its score later with: kagglerun submissions --sync", markup=False)


def _send(
    workspace: Workspace,
    client: KaggleClient,
    about: Target,
    run: RunPaths | None,
    file: Path | None,
    message: str,
    yes: bool,
    late: bool,
) -> tuple[Prepared, SubmissionRecord] | None:
    """Check, show, ask and send; None when the user says no."""
    from kagglerun.cli.submit_notebook import send_notebook
    from kagglerun.submission.send import prepare, read_facts, send_prepared

    card = _card(about)
    facts = read_facts(client, card, late, notebook=run is not None)
    if facts.notebooks_only and run is not None:
        return _say_sent(card, send_notebook(workspace, client, card, facts, run, message, _agreed(yes)))
    path = file or _file_of_run(run, about)
    with err.status("checking") as status:
        prepared = prepare(
            workspace,
            client,
            card,
            facts,
            path,
            run=run,
            message=message,
            waiting=lambda seconds: status.update(
                f"an earlier try was cut off: looking whether it arrived, {seconds:.0f} s at most"
            ),
        )
    if not _agreed(yes)(prepared):
        return None
    return _say_sent(card, (prepared, send_prepared(workspace, client, prepared)))


def _agreed(yes: bool) -> Callable[[Prepared], bool]:
    """Shows a submission, and asks where that is wanted."""

    def shown_and_asked(prepared: Prepared) -> bool:
        _show(prepared)
        return prepared.taken_up is not None or yes or _confirmed(prepared)

    return shown_and_asked


def _say_sent(card: Card, sent: tuple[Prepared, SubmissionRecord] | None) -> tuple[Prepared, SubmissionRecord] | None:
    if sent is not None:
        how = "an earlier try had arrived, nothing was sent again" if sent[0].taken_up else "submitted"
        out.print(f"{how}: {card.ref}, submission {sent[1].ref}", markup=False)
    return sent


def _among(what: str, of: str | None, name: str | None) -> str | None:
    """What `best` is chosen among.

    Raises:
        ConfigError: a word is missing or too many.
    """
    from kagglerun.errors import ConfigError

    if of is not None and what != "best":
        raise ConfigError(f"--of is for `best`, not for {what!r}", hint=f"kagglerun submit best --of {of}")
    if of == "study" and name is None:
        raise ConfigError("--of study needs the study's name", hint="kagglerun submit best --of study NAME")
    if name is not None and of != "study":
        raise ConfigError(f"{name!r} is one word too many", hint=f"kagglerun submit best --of study {name}")
    return f"study {name}" if name is not None else of


def _resolve(
    workspace: Workspace, what: str, competition: str | None, of: str | None
) -> tuple[Target, RunPaths | None, Path | None]:
    """The competition, and the run or the file that is meant."""
    from kagglerun.cli.connect import target
    from kagglerun.errors import ConfigError

    if what == "best":
        about = target(workspace, competition)
        return about, _best(workspace, about.slug, of), None
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


def _best(workspace: Workspace, slug: str, of: str | None) -> RunPaths:
    from kagglerun.submission.select import select_best

    chosen = select_best(workspace, slug, of)
    run = chosen.run
    left_out = f"; left out: {', '.join(chosen.left_out)}" if chosen.left_out else ""
    out.print(
        f"best of {chosen.compared}: run {run.run_id} ({run.model}), OOF {run.metric} {run.score:.5f}{left_out}",
        markup=False,
    )
    for reason in chosen.reasons:
        out.print(f"  {reason}", markup=False)
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


def _print_findings(workspace: Workspace, path: Path, run: RunPaths | None, about: Target, card: Card) -> None:
    """All that the checks find.

    Raises:
        typer.Exit: 3 when the file would be refused.
    """
    from kagglerun.errors import SubmissionRefused
    from kagglerun.submission.guard import inspect_file

    checked = inspect_file(path, about.paths, card, run=run, workspace=workspace)
    out.print(f"{path}: {checked.rows} rows, nothing is sent", markup=False)
    for finding in checked.findings:
        hint = f"\n  -> {finding.hint}" if finding.hint else ""
        out.print(f"{finding.level.value}: {finding.what}\n  {finding.why}{hint}", markup=False)
    if not checked.may_be_sent:
        raise typer.Exit(SubmissionRefused.exit_code)
    if not checked.findings:
        out.print("nothing is wrong with it")


def _show(prepared: Prepared) -> None:
    """What will be sent, and what it costs."""
    from kagglerun.submission.eligibility import deadline_text

    file, left = prepared.file, prepared.allowance
    columns = ", ".join(file.columns[:6]) + (", ..." if len(file.columns) > 6 else "")
    after = f" -> {left.left - 1} after it" if left.left and prepared.taken_up is None else ""
    out.print(f"  to           {prepared.card.ref}{prepared.team_text}", markup=False)
    out.print(f"  deadline     {deadline_text(prepared.facts)}", markup=False)
    out.print(f"  file         {file.path} ({file.rows} rows: {columns})", markup=False)
    out.print(f"  description  {prepared.description}", markup=False)
    out.print(f"  allowance    {left.text}{after}", markup=False)
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
) -> Scored:
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


def _print_score(prepared: Prepared, scored: Scored) -> None:
    from kagglerun.kaggle_api.records import SubmissionState

    record = scored.record
    if record.state is SubmissionState.PENDING:
        out.print("not scored yet; see it later with: kagglerun submissions --sync", markup=False)
        return
    public = "not shown" if record.public_score is None else f"{record.public_score:.5f}"
    private = "" if record.private_score is None else f"   private score {record.private_score:.5f}"
    out.print(f"public score {public}{private}   ({prepared.card.metric})", markup=False)
    if scored.standing is not None:
        out.print(scored.standing.text, markup=False)

"""`kagglerun submissions`: what was sent to a competition, and what came back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from kagglerun.cli.console import out
from kagglerun.workspace import Workspace

if TYPE_CHECKING:
    from kagglerun.cli.connect import Target
    from kagglerun.kaggle_api.client import KaggleClient
    from kagglerun.kaggle_api.records import SubmissionRecord
    from kagglerun.submission.scores_back import Synced


def submissions(
    competition: Annotated[
        str | None, typer.Argument(help="The competition, e.g. titanic or practice/digits; by default the current one.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Show the latest so many.")] = 20,
    sync: Annotated[
        bool, typer.Option("--sync", help="Write scores and places that came back to the ledger, the runs and MLflow.")
    ] = False,
) -> None:
    """List a competition's submissions with their scores, newest first, and what is left today.

    With --sync also what was sent with --no-wait, was cut off, or was sent from another machine gets its score.
    """
    from rich.table import Table

    from kagglerun.cli.connect import client_for, target
    from kagglerun.kaggle_api.limits import read_allowance

    workspace = Workspace.find()
    about = target(workspace, competition)
    client = client_for(workspace, about.source)
    facts = client.facts(about.slug, brief=True)
    if sync:
        _sync(workspace, client, about)
    found = client.submissions(about.slug)
    table = Table("submission", "date (UTC)", "file", "state", "public", "private", "description", box=None)
    for record in found[:limit]:
        table.add_row(*_cells(record))
    if found:
        out.print(table)
    more = f" (the latest {limit} of {len(found)})" if len(found) > limit else ""
    count = f"{len(found[:limit])} submission{'s' * (len(found) != 1)}{more}"
    out.print(f"{count}; {read_allowance(client, facts).text}", markup=False)


def _sync(workspace: Workspace, client: KaggleClient, about: Target) -> None:
    """Bring ledger, runs and tracking up to the server's list, and say what was new."""
    from kagglerun.data.understand import current_card
    from kagglerun.submission.ledger import only_one_at_a_time
    from kagglerun.submission.scores_back import sync_scores

    card = about.card or current_card(about.paths)
    with only_one_at_a_time(workspace.ledger):
        news = sync_scores(workspace, client, card)
    for one in news:
        out.print(_news_text(one), markup=False)
    out.print(f"{len(news)} of them brought up to date\n" if news else "all scores were known\n")


def _news_text(one: Synced) -> str:
    """A submission of which something new is known, in one line."""
    record = one.record
    scores = {"public": record.public_score, "private": record.private_score}
    told = [f"{name} score {score:.5f}" for name, score in scores.items() if score is not None]
    told += [one.standing.text] if one.standing else []
    what = record.error or ", ".join(told) or record.state.value
    elsewhere = ", sent from elsewhere" if one.from_elsewhere else ""
    return f"submission {record.ref} ({f'run {one.run_id}' if one.run_id else record.file_name}{elsewhere}): {what}"


def _cells(record: SubmissionRecord) -> tuple[str, ...]:
    from rich.markup import escape

    from kagglerun.kaggle_api.usual_meanings import usual_meaning

    date = f"{record.date:%Y-%m-%d %H:%M}" if record.date else "-"
    scores = ("-" if score is None else f"{score:.5f}" for score in (record.public_score, record.private_score))
    words = record.description
    if record.error is not None:
        means = usual_meaning(record.error)
        words += f" ({record.error}{f'; usually: {means}' if means else ''})"
    return str(record.ref), date, escape(record.file_name), record.state.value, *scores, escape(words)

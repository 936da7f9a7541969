"""`kagglerun submit` where the competition takes notebooks only."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kagglerun.cli.console import err, out
from kagglerun.workspace import RunPaths, Workspace

if TYPE_CHECKING:
    from kagglerun.config.card import Card, CompetitionFacts
    from kagglerun.kaggle_api.client import KaggleClient
    from kagglerun.kaggle_api.records import SubmissionRecord
    from kagglerun.submission.send import Prepared


def send_notebook(
    workspace: Workspace,
    client: KaggleClient,
    card: Card,
    facts: CompetitionFacts,
    run: RunPaths,
    message: str,
    agreed: Callable[[Prepared], bool],
) -> tuple[Prepared, SubmissionRecord] | None:
    """Package, rehearse, show, ask, push and submit; None when the user says no.

    Args:
        workspace: where the run is.
        client: where the competition is.
        card: what is known of it.
        facts: what the server says about it.
        run: the run.
        message: the user's words for the description.
        agreed: shows what will be sent, and asks.
    """
    from kagglerun.code_competition.submit import prepare_run, submit_run

    def tell(line: str) -> None:
        out.print(f"  {line}", markup=False)

    out.print(f"{card.ref} takes notebooks only: the run is packaged, rehearsed and pushed", markup=False)
    with err.status("checking") as status:
        submission = prepare_run(
            workspace,
            client,
            card,
            facts,
            run,
            message=message,
            tell=tell,
            waiting=lambda seconds: status.update(f"looking whether an earlier try arrived, {seconds:.0f} s at most"),
        )
    if submission.rehearsed:
        tell(f"rehearsal: {submission.rehearsed}")
    if not agreed(submission.prepared):
        return None
    with err.status("pushing") as status:
        record = submit_run(
            workspace,
            client,
            submission,
            tell,
            waiting=lambda seconds, state: status.update(f"the notebook is {state}, {seconds:.0f} s"),
        )
    return submission.prepared, record

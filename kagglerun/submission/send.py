"""Sending a submission, step by step: everything is checked first, then one slot is spent, then it is written down."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from kagglerun.config.card import Card
from kagglerun.errors import AlreadySubmitted, ConfigError, ConnectionFailed, KagglerunError
from kagglerun.experiment.predictions import read_predictions
from kagglerun.experiment.runs import summarise
from kagglerun.kaggle_api.client import KaggleClient
from kagglerun.kaggle_api.limits import Allowance, read_allowance
from kagglerun.kaggle_api.records import SubmissionRecord, SubmissionState
from kagglerun.kaggle_api.submit import SCORE_TIMEOUT_SECONDS, describe, find_sent, require_scored, send, wait_for_score
from kagglerun.submission.guard import CheckedFile, check_allowance, check_file, check_open
from kagglerun.submission.ledger import LedgerEntry, add_entry, last_entry
from kagglerun.submission.write import write_submission
from kagglerun.tracking import add_values
from kagglerun.workspace import CompetitionPaths, RunPaths, Workspace


@dataclass(frozen=True)
class Prepared:
    """A submission that passed every check and only waits to be sent.

    Attributes:
        card: its competition.
        file: the file.
        run: the run it comes from; None for a file of the user's.
        description: what will be shown beside it.
        allowance: what is left today.
    """

    card: Card
    file: CheckedFile
    run: RunPaths | None
    description: str
    allowance: Allowance


def file_of_run(run: RunPaths, paths: CompetitionPaths, card: Card) -> Path:
    """Write the submission file of a finished run.

    Raises:
        ConfigError: the run is not finished; says how it ended.
        DataError: its predictions do not fit the sample submission.
    """
    if not run.metrics.is_file():
        raise _unfinished(run)
    return write_submission(paths, card, read_predictions(run.test), run.submission)


def _unfinished(run: RunPaths) -> ConfigError:
    summary = summarise(run)
    how, hint = f"is not finished ({summary.state.lower()})", "kagglerun runs"
    if summary.state == "PRUNED":
        how = f"was stopped early ({summary.stopped or 'it was not going to be the best'})"
        hint = f"kagglerun submit best    or train it to its end: kagglerun train {shlex.quote(str(run.config))}"
    elif summary.state == "FAILED":
        how = f"failed ({summary.error})" if summary.error else "failed"
    return ConfigError(f"the run {run.run_id} {how}, so it has no test predictions", hint=hint)


def prepare(
    workspace: Workspace,
    client: KaggleClient,
    card: Card,
    file: Path,
    *,
    run: RunPaths | None = None,
    message: str = "",
    late: bool = False,
) -> Prepared:
    """Check everything that can be checked before a slot is spent.

    Args:
        workspace: whose ledger.
        client: where the competition is.
        card: what is known of it.
        file: the submission file.
        run: the run it comes from.
        message: the user's words for the description.
        late: send although the deadline is over.

    Raises:
        SubmissionRefused: SubmissionInvalid, AllowanceUsedUp, AlreadySubmitted, or no files are taken.
        KaggleError: the server could not be asked.
    """
    checked = check_file(file, workspace.competition(card.slug), card)
    facts = client.facts(card.slug, brief=True)
    check_open(facts, card.ref, late)
    check_not_sent(workspace, client, card, checked)
    allowance = read_allowance(client, facts)
    check_allowance(allowance, card.ref)
    words = message or ("kagglerun" if run is None else "")
    return Prepared(card, checked, run, describe(words, checked.sha256, run.run_id if run else None), allowance)


def check_not_sent(workspace: Workspace, client: KaggleClient, card: Card, file: CheckedFile) -> None:
    """Refuse a file that was sent before: from this workspace, or from anywhere by kagglerun.

    A practice server that was made anew has forgotten it, and then it may be sent again.

    Raises:
        AlreadySubmitted: it was sent; tells when and what came back.
    """
    entry = last_entry(workspace.ledger, card.ref, file.sha256)
    found = find_sent(client, card.slug, file.sha256)
    if found is not None:
        raise _already(
            card, file, found.ref, found.date.isoformat(timespec="seconds") if found.date else None, found.public_score
        )
    if entry is not None and entry.state == "sent" and client.source == "kaggle":
        raise _already(card, file, entry.ref, entry.time, entry.public_score)


def send_prepared(workspace: Workspace, client: KaggleClient, prepared: Prepared) -> SubmissionRecord:
    """Spend a slot. The ledger is written before and after.

    Raises:
        UploadFailed, KaggleError: no submission was made.
        ConnectionFailed: it could not be found out whether one was made; the next command looks.
    """
    card, file = prepared.card, prepared.file
    entry = add_entry(workspace.ledger, _entry(prepared))
    try:
        record = send(client, card.slug, file.path, prepared.description)
    except ConnectionFailed:
        raise  # the ledger keeps saying "sending": whether it arrived is not known
    except KagglerunError as error:
        add_entry(workspace.ledger, replace(entry, state="failed", error=error.message))
        raise
    _write_down(workspace, prepared, entry, record)
    return record


def await_score(
    workspace: Workspace,
    client: KaggleClient,
    prepared: Prepared,
    sent: SubmissionRecord,
    timeout_seconds: float = SCORE_TIMEOUT_SECONDS,
    waiting: Callable[[float], None] | None = None,
) -> SubmissionRecord:
    """Wait for the score and write it to the ledger, the run and its tracking.

    Returns:
        The submission; still pending when the time was over.

    Raises:
        KaggleError: it could not be scored, or the server could not be asked.
    """
    scored = wait_for_score(client, prepared.card.slug, sent.ref, timeout_seconds, waiting)
    if scored.state is SubmissionState.PENDING:
        return scored
    _write_down(workspace, prepared, _entry(prepared), scored)
    require_scored(scored, prepared.card.ref)
    if prepared.run is not None:
        given = {"public_score": scored.public_score, "private_score": scored.private_score}
        scores = {name: score for name, score in given.items() if score is not None}
        add_values(workspace, prepared.run, scores, {"submission": str(scored.ref)})
    return scored


def _entry(prepared: Prepared) -> LedgerEntry:
    return LedgerEntry(
        competition=prepared.card.ref,
        sha256=prepared.file.sha256,
        file=str(prepared.file.path),
        run_id=prepared.run.run_id if prepared.run else None,
        description=prepared.description,
        state="sending",
    )


def _write_down(workspace: Workspace, prepared: Prepared, entry: LedgerEntry, record: SubmissionRecord) -> None:
    after = entry.after(record)
    add_entry(workspace.ledger, after)
    if prepared.run is not None:
        add_entry(prepared.run.submissions, after)


def _already(card: Card, file: CheckedFile, ref: int | None, when: str | None, score: float | None) -> AlreadySubmitted:
    at = f" on {when}" if when else ""
    came = f"; its public score is {score:g}" if score is not None else ""
    return AlreadySubmitted(
        f"{file.path.name} was sent to {card.ref} before{at} (submission {ref}){came}",
        hint="kagglerun runs    (the same file would get the same score, so no slot is spent on it)",
    )

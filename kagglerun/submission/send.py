"""Sending a submission, step by step: everything is checked first, then one slot is spent, then it is written down."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from kagglerun.config.card import Card, CompetitionFacts
from kagglerun.errors import ConfigError, ConnectionFailed, DiskFull, KaggleError, KagglerunError
from kagglerun.experiment.postprocess import read as read_postprocess
from kagglerun.experiment.predictions import read_predictions
from kagglerun.experiment.runs import summarise
from kagglerun.kaggle_api.client import KaggleClient
from kagglerun.kaggle_api.limits import Allowance, read_allowance
from kagglerun.kaggle_api.records import SubmissionRecord, SubmissionState
from kagglerun.kaggle_api.standing import Standing, read_standing
from kagglerun.kaggle_api.submit import (
    READ_BACK_SECONDS,
    SCORE_TIMEOUT_SECONDS,
    describe,
    require_scored,
    send,
    wait_for_score,
)
from kagglerun.submission.attempts import Waiting, look_for_attempts, refuse_if_sent
from kagglerun.submission.eligibility import check_allowance, check_open
from kagglerun.submission.guard import CheckedFile, check_file
from kagglerun.submission.ledger import LedgerEntry, add_entry
from kagglerun.submission.scores_back import track, write_down
from kagglerun.submission.write import write_submission
from kagglerun.workspace import CompetitionPaths, RunPaths, Workspace


@dataclass(frozen=True)
class Prepared:
    """A submission that passed every check and only waits to be sent.

    Attributes:
        card: its competition.
        facts: what the server says about it.
        file: the file.
        run: the run it comes from; None for a file of the user's.
        description: what will be shown beside it.
        allowance: what is left today.
        listed: submissions that the server's list holds now.
        team: name of the team that it counts for; empty before its first submission.
        taken_up: the submission that an earlier attempt made, which was cut off; then nothing is sent again.
    """

    card: Card
    facts: CompetitionFacts
    file: CheckedFile
    run: RunPaths | None
    description: str
    allowance: Allowance
    listed: int = 0
    team: str = ""
    taken_up: SubmissionRecord | None = None

    @property
    def team_text(self) -> str:
        """The team for people: `, team NAME`."""
        return f", team {self.team}" if self.team else ""


@dataclass(frozen=True)
class Scored:
    """What came back.

    Attributes:
        record: the submission; still pending when the time was over.
        standing: where its score stands on the leaderboard; None without a score or a leaderboard.
    """

    record: SubmissionRecord
    standing: Standing | None = None


def file_of_run(run: RunPaths, paths: CompetitionPaths, card: Card) -> Path:
    """Write the submission file of a finished run, of its predictions after their post-processing.

    Raises:
        ConfigError: the run is not finished; says how it ended.
        DataError: its predictions do not fit the sample submission.
    """
    if not run.metrics.is_file():
        raise _unfinished(run)
    predictions, postprocess = read_predictions(run.test), read_postprocess(run)
    if postprocess is not None:
        predictions = replace(predictions, values=postprocess.apply(predictions.values))
    return write_submission(paths, card, predictions, run.submission)


def _unfinished(run: RunPaths) -> ConfigError:
    summary = summarise(run)
    how, hint = f"is not finished ({summary.state.lower()})", "kagglerun runs"
    if summary.state == "PRUNED":
        how = f"was stopped early ({summary.stopped or 'it was not going to be the best'})"
        hint = f"kagglerun submit best    or train it to its end: kagglerun train {shlex.quote(str(run.config))}"
    elif summary.state == "FAILED":
        how = f"failed ({summary.error})" if summary.error else "failed"
    return ConfigError(f"the run {run.run_id} {how}, so it has no test predictions", hint=hint)


def read_facts(client: KaggleClient, card: Card, late: bool = False, notebook: bool = False) -> CompetitionFacts:
    """Ask the server first of all whether it takes a submission: the cheapest reason to stop.

    Args:
        client: where the competition is.
        card: the competition.
        late: send although the deadline is over.
        notebook: a notebook is to be submitted, not a file.

    Raises:
        SubmissionRefused: it is not entered, takes none, only notebooks, or the deadline is over.
        KaggleError: the server could not be asked.
    """
    facts = client.facts(card.slug, brief=True)
    check_open(facts, card.ref, late, notebook)
    return facts


def prepare(
    workspace: Workspace,
    client: KaggleClient,
    card: Card,
    facts: CompetitionFacts,
    file: Path,
    *,
    run: RunPaths | None = None,
    message: str = "",
    waiting: Waiting | None = None,
) -> Prepared:
    """Check everything that can be checked before a slot is spent.

    Args:
        workspace: whose ledger.
        client: where the competition is.
        card: what is known of it.
        facts: from `read_facts`.
        file: the submission file.
        run: the run it comes from.
        message: the user's words for the description.
        waiting: told the seconds still to wait until it is known what became of an attempt that was cut off.

    Raises:
        SubmissionRefused: SubmissionInvalid, AllowanceUsedUp or AlreadySubmitted.
        OutcomeUnknown: an attempt was cut off, and it cannot be told yet whether it arrived.
        KaggleError: the server could not be asked.
    """
    allowance = read_allowance(client, facts)
    checked = check_file(file, workspace.competition(card.slug), card, run=run, workspace=workspace)
    earlier = look_for_attempts(workspace, client, card, checked, waiting)
    words = message or ("kagglerun" if run is None else "")
    description = describe(words, checked.sha256, run.run_id if run else None)
    prepared = Prepared(
        card, facts, checked, run, description, allowance, earlier.listed, earlier.team, earlier.taken_up
    )
    if earlier.taken_up is not None:
        return replace(prepared, description=earlier.taken_up.description)
    check_allowance(allowance, card.ref)
    return prepared


def send_prepared(workspace: Workspace, client: KaggleClient, prepared: Prepared) -> SubmissionRecord:
    """Spend a slot, unless an earlier attempt has done it. The ledger is written before and after.

    Returns:
        The submission, which was seen on the server.

    Raises:
        UploadFailed, AlreadySubmitted, KaggleError: no submission was made.
        OutcomeUnknown: it could not be found out whether one was made; the next command looks.
        DiskFull: nothing was sent, or what was sent could not be written down, which the message tells.
    """
    if prepared.taken_up is not None:
        _tell_ledger(workspace, prepared, prepared.taken_up)
        return prepared.taken_up
    card, file, entry = prepared.card, prepared.file, _entry(prepared)
    add_entry(workspace.ledger, entry)

    def before_entering() -> None:
        refuse_if_sent(client, card, file)
        add_entry(workspace.ledger, replace(entry, state="sending"))

    try:
        record = send(client, card.slug, file.path, prepared.description, READ_BACK_SECONDS, before_entering)
    except ConnectionFailed:
        raise  # the ledger keeps saying how far it came: whether it arrived is not known
    except KagglerunError as error:
        with suppress(DiskFull):
            add_entry(workspace.ledger, replace(entry, state="failed", error=error.message))
        raise
    _tell_ledger(workspace, prepared, record)
    return record


def await_score(
    workspace: Workspace,
    client: KaggleClient,
    prepared: Prepared,
    sent: SubmissionRecord,
    timeout_seconds: float = SCORE_TIMEOUT_SECONDS,
    waiting: Callable[[float], None] | None = None,
) -> Scored:
    """Wait for the score and write it to the ledger, the run and its tracking, with where it stands.

    Raises:
        KaggleError: it could not be scored, or the server could not be asked.
        DiskFull: it could not be written down.
    """
    card = prepared.card
    record = wait_for_score(client, card.slug, sent.ref, timeout_seconds, waiting)
    if record.state is SubmissionState.PENDING:
        return Scored(record)
    standing = _standing(client, prepared, record)
    write_down(workspace, prepared.run, _entry(prepared), record, standing)
    require_scored(record, card.ref)
    if prepared.run is not None:
        track(workspace, prepared.run, record, standing)
    return Scored(record, standing)


def _standing(client: KaggleClient, prepared: Prepared, record: SubmissionRecord) -> Standing | None:
    """Where it stands; None when the leaderboard is not to be had, which is no reason to fail."""
    try:
        up, awarded = bool(prepared.card.greater_is_better), prepared.facts.awards_points
        return read_standing(client, prepared.card.slug, record, up, awarded)
    except KaggleError:
        return None


def _entry(prepared: Prepared) -> LedgerEntry:
    return LedgerEntry(
        competition=prepared.card.ref,
        sha256=prepared.file.sha256,
        file=str(prepared.file.path),
        run_id=prepared.run.run_id if prepared.run else None,
        description=prepared.description,
        state="uploading",
        listed=prepared.listed,
        counted=prepared.allowance.total,
    )


def _tell_ledger(workspace: Workspace, prepared: Prepared, record: SubmissionRecord) -> None:
    try:
        write_down(workspace, prepared.run, _entry(prepared), record)
    except DiskFull as error:
        raise DiskFull(
            f"submission {record.ref} to {prepared.card.ref} was made, but could not be written down: {error.message}",
            hint="free some space, then run the same command again: it finds the submission and sends nothing",
        ) from None

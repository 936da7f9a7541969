"""Sending a submission so that no slot is spent twice and no failure looks like a success.

Every submission carries two marks in its description: the start of the file's SHA-256, by which the same file is
known again, and one of the attempt, for which the list of submissions is searched after a lost reply.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from kagglerun.errors import ConnectionFailed, KaggleError, UploadFailed
from kagglerun.kaggle_api.client import KaggleClient
from kagglerun.kaggle_api.records import SubmissionRecord, SubmissionState

READ_BACK_SECONDS = (0.0, 2.0, 5.0, 10.0)
"""Waits before each look at the list of submissions after a lost reply."""
SCORE_TIMEOUT_SECONDS = 1200.0
_FIRST_POLL_SECONDS = 1.0
_LONGEST_POLL_SECONDS = 30.0
_LONGEST_MESSAGE = 200


def mark_of(sha256: str) -> str:
    """What the description of a submission with this file contains."""
    return f"sha256:{sha256[:16]}"


def describe(message: str, sha256: str, run_id: str | None = None) -> str:
    """The description of one attempt: the user's words, then the run, the file's mark and the attempt's own."""
    run = f"run:{run_id} " if run_id else ""
    words = " ".join(message.split())[:_LONGEST_MESSAGE]
    return f"{words} [{run}{mark_of(sha256)} try:{uuid.uuid4().hex[:8]}]".strip()


def find_sent(client: KaggleClient, slug: str, sha256: str) -> SubmissionRecord | None:
    """The submission with this very file, if the server has one. One that could not be scored does not count.

    Raises:
        KaggleError: the list could not be read.
    """
    mark = mark_of(sha256)
    scored = (item for item in client.submissions(slug) if item.state is not SubmissionState.ERROR)
    return next((item for item in scored if mark in item.description), None)


def send(
    client: KaggleClient,
    slug: str,
    file: Path,
    description: str,
    read_back_seconds: Sequence[float] = READ_BACK_SECONDS,
) -> SubmissionRecord:
    """Upload a file and create a submission from it. Nothing is repeated that could spend a second slot.

    Args:
        client: where the competition is.
        slug: the competition.
        file: the submission file.
        description: from `describe`, afresh for each attempt.
        read_back_seconds: waits before each look at the list after a lost reply.

    Returns:
        The submission as the server has it.

    Raises:
        UploadFailed: no submission was made.
        ConnectionFailed: it could not be found out whether one was made.
        AllowanceUsedUp, RulesNotAccepted, KaggleError: the server refused; none was made.
    """
    try:
        ref = client.submit(slug, file, description)
    except ConnectionFailed as error:
        return _after_lost_reply(client, slug, file, description, read_back_seconds, error)
    if ref:
        return _by_ref(client, slug, ref, file, description)
    return _read_back(client, slug, file, description, read_back_seconds)


def wait_for_score(
    client: KaggleClient,
    slug: str,
    ref: int,
    timeout_seconds: float = SCORE_TIMEOUT_SECONDS,
    waiting: Callable[[float], None] | None = None,
) -> SubmissionRecord:
    """Wait until a submission is scored.

    Args:
        client: where the competition is.
        slug: the competition.
        ref: the submission's number.
        timeout_seconds: how long to wait at most.
        waiting: told the seconds waited so far, before each further wait.

    Returns:
        The submission: complete, or in error when the file could not be scored; pending when the time is over.

    Raises:
        ConnectionFailed: the server could not be asked until the time was over.
    """
    begin, pause = time.monotonic(), _FIRST_POLL_SECONDS
    while True:
        waited = time.monotonic() - begin
        try:
            record = client.submission(slug, ref)
            if record.state is not SubmissionState.PENDING or waited >= timeout_seconds:
                return record
        except ConnectionFailed:
            if waited >= timeout_seconds:
                raise
        if waiting:
            waiting(waited)
        time.sleep(min(pause, max(0.0, timeout_seconds - waited)))
        pause = min(pause * 1.6, _LONGEST_POLL_SECONDS)


def require_scored(record: SubmissionRecord, slug: str) -> SubmissionRecord:
    """The record itself, unless the server could not score the file.

    Raises:
        KaggleError: it could not; the message carries its reason.
    """
    if record.state is SubmissionState.ERROR:
        raise KaggleError(
            f"submission {record.ref} to {slug} could not be scored: {record.error or 'no reason given'}",
            hint="correct the file and submit again; on Kaggle this one does not count against the allowance",
        )
    return record


def _after_lost_reply(
    client: KaggleClient, slug: str, file: Path, description: str, waits: Sequence[float], lost: ConnectionFailed
) -> SubmissionRecord:
    try:
        return _read_back(client, slug, file, description, waits)
    except ConnectionFailed:
        raise ConnectionFailed(
            f"{lost.message}; it is not known whether {file.name} became a submission to {slug}",
            hint="run the same command again: it looks at the list of submissions before it sends anything",
        ) from None


def _read_back(
    client: KaggleClient, slug: str, file: Path, description: str, waits: Sequence[float]
) -> SubmissionRecord:
    """Look for the submission in the server's list, a few times, since a list may lag behind."""
    attempt = description[description.rindex("try:") :]
    for wait in waits:
        time.sleep(wait)
        found = [item for item in client.submissions(slug) if attempt in item.description]
        if found:
            return found[0]
    raise UploadFailed(
        f"{file.name} did not become a submission to {slug}: it is not in the list of submissions",
        hint="run the same command again: it looks at the list before it sends anything",
    )


def _by_ref(client: KaggleClient, slug: str, ref: int, file: Path, description: str) -> SubmissionRecord:
    """The submission the server gave a number; when it cannot be read right now, what is known of it."""
    try:
        return client.submission(slug, ref)
    except KaggleError:
        return SubmissionRecord(ref, file.name, description, None, SubmissionState.PENDING)

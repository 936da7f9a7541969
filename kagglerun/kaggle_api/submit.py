"""Sending a submission so that no slot is spent twice and no failure looks like a success.

Every submission carries two marks in its description: the start of the file's SHA-256, by which the same file is
known again, and one of the attempt, for which the list of submissions is searched after a lost reply. What the server
calls a success is believed when the submission is seen there.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from kagglerun.errors import (
    CompetitionNotFound,
    ConnectionFailed,
    KaggleError,
    OutcomeUnknown,
    RateLimited,
)
from kagglerun.kaggle_api.client import KaggleClient
from kagglerun.kaggle_api.records import SubmissionRecord, SubmissionState
from kagglerun.kaggle_api.usual_meanings import usual_meaning

READ_BACK_SECONDS = (0.0, 2.0, 5.0, 10.0)
"""Waits before each look at the list of submissions after a lost reply."""
SCORE_TIMEOUT_SECONDS = 1200.0
_FIRST_POLL_SECONDS = 1.0
_LONGEST_POLL_SECONDS = 30.0
_MOST_MISSED = 10
"""A submission that was there may be missing for so many polls."""
_LONGEST_MESSAGE = 200
_ATTEMPT = re.compile(r"\btry:([0-9a-f]{8})\b")
_RUN = re.compile(r"\[run:(\S+) ")
_AGAIN = "run the same command again: it looks at the list of submissions before it sends anything"


def mark_of(sha256: str) -> str:
    """What the description of a submission with this file contains."""
    return f"sha256:{sha256[:16]}"


def describe(message: str, sha256: str, run_id: str | None = None) -> str:
    """The description of one attempt: the user's words, then the run, the file's mark and the attempt's own."""
    run = f"run:{run_id} " if run_id else ""
    words = " ".join(message.split())[:_LONGEST_MESSAGE]
    return f"{words} [{run}{mark_of(sha256)} try:{uuid.uuid4().hex[:8]}]".strip()


def attempt_of(description: str) -> str | None:
    """The mark of the attempt in a description; None when it is none of kagglerun's."""
    found = _ATTEMPT.findall(description)
    return found[-1] if found else None


def run_of(description: str) -> str | None:
    """The run that a submission came from, by its description; None when that names none."""
    found = _RUN.findall(description)
    return found[-1] if found else None


def find_sent(client: KaggleClient, slug: str, sha256: str) -> SubmissionRecord | None:
    """The submission with this very file, if the server has one. One that could not be scored does not count.

    Raises:
        KaggleError: the list could not be read.
    """
    return sent_among(client.submissions(slug), sha256)


def sent_among(submissions: Iterable[SubmissionRecord], sha256: str) -> SubmissionRecord | None:
    """The first of these with this very file. One that could not be scored does not count."""
    mark = mark_of(sha256)
    scored = (item for item in submissions if item.state is not SubmissionState.ERROR)
    return next((item for item in scored if mark in item.description), None)


def send(
    client: KaggleClient,
    slug: str,
    file: Path,
    description: str,
    read_back_seconds: Sequence[float] = READ_BACK_SECONDS,
    before_entering: Callable[[], None] | None = None,
) -> SubmissionRecord:
    """Upload a file and create a submission from it. Nothing is repeated that could spend a second slot.

    Args:
        client: where the competition is.
        slug: the competition.
        file: the submission file.
        description: from `describe`, afresh for each attempt.
        read_back_seconds: waits before each look at the list after a lost reply.
        before_entering: called when the file has arrived and nothing is spent yet; an error of it stops all.

    Returns:
        The submission as the server has it: it was seen there.

    Raises:
        UploadFailed: no submission was made.
        OutcomeUnknown: none was seen, and it could not be excluded that one was made.
        AllowanceUsedUp, RulesNotAccepted, KaggleError: the server refused; none was made.
    """
    ref, lost = None, None
    try:
        ref = client.submit(slug, file, description, before_entering) or None
    except ConnectionFailed as error:
        lost = error
    try:
        record = look_for(client, slug, description, ref, read_back_seconds)
    except KaggleError as error:
        known = f"{lost.message}; it" if lost else f"{error.message}; it"
        raise OutcomeUnknown(
            f"{known} is not known whether {file.name} became a submission to {slug}", hint=_AGAIN
        ) from None
    if record is None:
        raise OutcomeUnknown(_not_there(slug, file, ref, lost), hint=_AGAIN)
    return record


def look_for(
    client: KaggleClient,
    slug: str,
    description: str,
    ref: int | None = None,
    waits_seconds: Sequence[float] = READ_BACK_SECONDS,
) -> SubmissionRecord | None:
    """Look for the submission of one attempt, a few times, since a list may lag behind.

    Args:
        client: where the competition is.
        slug: the competition.
        description: what was sent with it.
        ref: the number that the server told, if it told one.
        waits_seconds: waits before each look.

    Returns:
        The submission; None when it was not there at the last look.

    Raises:
        KaggleError: the last look failed.
    """
    failed: KaggleError | None = None
    for wait in waits_seconds:
        time.sleep(wait)
        try:
            found = _by_ref(client, slug, ref, description) or _in_list(client, slug, description)
        except (ConnectionFailed, RateLimited) as error:
            failed = error
            continue
        if found is not None:
            return found
        failed = None
    if failed is not None:
        raise failed
    return None


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
        ConnectionFailed, RateLimited: the server could not be asked until the time was over.
        CompetitionNotFound: the submission is gone.
    """
    begin, pause, missed = time.monotonic(), _FIRST_POLL_SECONDS, 0
    while True:
        waited = time.monotonic() - begin
        try:
            record = client.submission(slug, ref)
            if record.state is not SubmissionState.PENDING or waited >= timeout_seconds:
                return record
            missed = 0
        except (ConnectionFailed, RateLimited, CompetitionNotFound) as error:
            missed += isinstance(error, CompetitionNotFound)  # it was there before: one of its servers lags behind
            if waited >= timeout_seconds or missed > _MOST_MISSED:
                raise
        if waiting:
            waiting(waited)
        time.sleep(min(pause, max(0.0, timeout_seconds - waited)))
        pause = min(pause * 1.6, _LONGEST_POLL_SECONDS)


def require_scored(record: SubmissionRecord, slug: str) -> SubmissionRecord:
    """The record itself, unless the server could not score the file.

    Raises:
        KaggleError: it could not; the message carries its reason, the hint what that usually means.
    """
    if record.state is SubmissionState.ERROR:
        means = usual_meaning(record.error or "")
        raise KaggleError(
            f"submission {record.ref} to {slug} could not be scored: {record.error or 'no reason given'}",
            hint=f"{means or 'correct the file'}; submit again: on Kaggle this one does not count for the allowance",
        )
    return record


def _by_ref(client: KaggleClient, slug: str, ref: int | None, description: str) -> SubmissionRecord | None:
    """The submission of this number, unless it is another attempt's, or there is none."""
    if ref is None:
        return None
    try:
        found = client.submission(slug, ref)
    except CompetitionNotFound:  # of a call that names no competition: there is no such submission
        return None
    return found if attempt_of(found.description) in (None, attempt_of(description)) else None


def _in_list(client: KaggleClient, slug: str, description: str) -> SubmissionRecord | None:
    attempt = attempt_of(description)
    return next((item for item in client.submissions(slug) if attempt_of(item.description) == attempt), None)


def _not_there(slug: str, file: Path, ref: int | None, lost: ConnectionFailed | None) -> str:
    if ref is not None:
        return f"the server says that {file.name} is submission {ref} to {slug}, but it has no such submission"
    if lost is None:
        said = "the server speaks of success, but"
        return f"{said} {file.name} did not become a submission to {slug}: it is not in the list of submissions"
    return f"{lost.message}; {file.name} did not become a submission to {slug}: it is not in the list of submissions"

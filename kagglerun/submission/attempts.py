"""What became of earlier attempts to send the same file, found out before a slot is spent on it.

An attempt that was cut off (a lost reply, `kill -9`, a full disk) may have arrived. Its mark is looked for in the
server's list; a list may lag behind, so that an attempt counts as not arrived only when it is old enough, and when the
server does not count more new submissions than its list shows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from kagglerun.config.card import Card
from kagglerun.errors import AlreadySubmitted, CompetitionNotFound, OutcomeUnknown
from kagglerun.kaggle_api.client import KaggleClient
from kagglerun.kaggle_api.records import SubmissionRecord, SubmissionState
from kagglerun.kaggle_api.submit import attempt_of, sent_among
from kagglerun.submission.guard import CheckedFile
from kagglerun.submission.ledger import LedgerEntry, entries_of
from kagglerun.workspace import Workspace

SETTLED_SECONDS = 60.0
"""An attempt that is not in the list so long after it was entered did not arrive."""
_LOOK_SECONDS = (2.0, 3.0, 5.0, 10.0)
_COUNT_SECONDS = 3600.0
"""The server's own count is believed against its list for so long; it may count in another way."""

Waiting = Callable[[float], None]


@dataclass(frozen=True)
class Attempts:
    """What is known of earlier attempts with this file.

    Attributes:
        taken_up: a submission that an attempt from here made, whose outcome was open or whose score had not come
            back; None when the file was not sent, and may be.
        listed: submissions that the server's list holds now.
        team: name of the team that they count for; empty where there are none.
    """

    taken_up: SubmissionRecord | None
    listed: int
    team: str = ""


def look_for_attempts(
    workspace: Workspace, client: KaggleClient, card: Card, file: CheckedFile, waiting: Waiting | None = None
) -> Attempts:
    """Find out whether this file was sent before: from this workspace, or from anywhere by kagglerun.

    A practice server that was made anew has forgotten it, and then it may be sent again.

    Args:
        workspace: whose ledger.
        client: where the competition is.
        card: the competition.
        file: the file.
        waiting: told the seconds still to wait, before each further look at a list that may lag behind.

    Raises:
        AlreadySubmitted: it was sent, and its score is known; tells when and what came back.
        OutcomeUnknown: an attempt was cut off, and it cannot be told yet whether it arrived.
        KaggleError: the list could not be read.
    """
    entries = entries_of(workspace.ledger, card.ref, file.sha256)
    listed = client.submissions(card.slug)
    found, last = sent_among(listed, file.sha256), entries[-1] if entries else None
    if found is None and last is not None and last.state == "sending":
        listed = _settled(client, card, file, last, listed, waiting)
        found = sent_among(listed, file.sha256)
    if found is not None:
        if _is_open(entries, found):
            return Attempts(found, len(listed), found.team)
        raise _already_listed(card, file, found)
    if last is not None and last.state == "sent" and client.source == "kaggle" and not _failed(listed, last):
        raise _already(card, file, last.ref, last.time, last.public_score)
    return Attempts(None, len(listed), listed[0].team if listed else "")


def refuse_if_sent(client: KaggleClient, card: Card, file: CheckedFile) -> None:
    """The last look, when the file has arrived and is about to be entered: it may have been sent from elsewhere.

    Raises:
        AlreadySubmitted: it was.
        KaggleError: the list could not be read.
    """
    found = sent_among(client.submissions(card.slug), file.sha256)
    if found is not None:
        raise _already_listed(card, file, found)


def _settled(
    client: KaggleClient,
    card: Card,
    file: CheckedFile,
    last: LedgerEntry,
    listed: tuple[SubmissionRecord, ...],
    waiting: Waiting | None,
) -> tuple[SubmissionRecord, ...]:
    """The list, once it can be believed about an attempt that was cut off."""
    age = (datetime.now(UTC) - datetime.fromisoformat(last.time)).total_seconds()
    for wait, left in _looks(SETTLED_SECONDS - age):
        if waiting:
            waiting(left)
        time.sleep(wait)
        listed = client.submissions(card.slug)
        if sent_among(listed, file.sha256):
            return listed
    if age < _COUNT_SECONDS and _counts_more(client, card, last, len(listed)):
        raise OutcomeUnknown(
            f"an earlier try to send {file.path.name} to {card.ref} was cut off, and the server counts a submission "
            "that its list does not show yet",
            hint="run the same command again in a minute: nothing is sent before that is known",
        )
    return listed


def _looks(seconds: float) -> Iterator[tuple[float, float]]:
    """Waits that fill the time, each with what is left then."""
    number = 0
    while seconds > 0:
        wait = min(_LOOK_SECONDS[min(number, len(_LOOK_SECONDS) - 1)], seconds)
        yield wait, seconds
        seconds, number = seconds - wait, number + 1


def _counts_more(client: KaggleClient, card: Card, last: LedgerEntry, listed: int) -> bool:
    """Whether the server's own count has grown by more than its list since before the attempt."""
    if last.counted is None or last.listed is None:
        return False
    try:
        now = client.limits(card.slug).total
    except CompetitionNotFound:
        return False
    return now - last.counted > listed - last.listed


def _is_open(entries: Sequence[LedgerEntry], found: SubmissionRecord) -> bool:
    """Whether a submission is an attempt from here whose score has not come back yet."""
    attempt = attempt_of(found.description)
    ours = [entry for entry in entries if attempt is not None and entry.attempt == attempt]
    return bool(ours) and not any(entry.is_scored for entry in ours)


def _failed(listed: Sequence[SubmissionRecord], entry: LedgerEntry) -> bool:
    """Whether the list says that an attempt could not be scored."""
    return any(item.state is SubmissionState.ERROR and attempt_of(item.description) == entry.attempt for item in listed)


def _already_listed(card: Card, file: CheckedFile, found: SubmissionRecord) -> AlreadySubmitted:
    when = found.date.isoformat(timespec="seconds") if found.date else None
    return _already(card, file, found.ref, when, found.public_score)


def _already(card: Card, file: CheckedFile, ref: int | None, when: str | None, score: float | None) -> AlreadySubmitted:
    at = f" on {when}" if when else ""
    came = f"; its public score is {score:g}" if score is not None else ""
    return AlreadySubmitted(
        f"{file.path.name} was sent to {card.ref} before{at} (submission {ref}){came}",
        hint="kagglerun runs    (the same file would get the same score, so no slot is spent on it)",
    )

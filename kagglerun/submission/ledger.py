"""The ledger: every submission sent from this workspace, one JSON object a line, written before and after.

Its last line about a file tells how far it came. "uploading": nothing was spent yet. "sending": it was being entered
and the outcome is open; whether it arrived, the server's list tells.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from kagglerun.errors import DataError, SubmissionRefused
from kagglerun.files import disk_full_named, write_text
from kagglerun.kaggle_api.records import SubmissionRecord, SubmissionState
from kagglerun.kaggle_api.submit import attempt_of


@dataclass(frozen=True)
class LedgerEntry:
    """One line of the ledger.

    Attributes:
        competition: as the user names it: `titanic` or `practice/digits`.
        sha256: hex digest of the file.
        file: where it was.
        run_id: the run it came from; None for a file of the user's.
        description: the message sent with it.
        state: uploading: about to be sent; sending: the file has arrived and is being entered as a submission; sent:
            the server has it; failed: no submission was made, or it could not be scored.
        time: ISO 8601, UTC.
        ref: the server's number for it.
        public_score: score on the public part.
        private_score: score on the private part, where shown.
        error: why it failed.
        listed: submissions in the server's list before it was sent.
        counted: submissions by the server's own count before it was sent; None where it has none.
        rank: the place that its score took on the leaderboard.
        teams: number of teams there.
        medal: what that place would get: gold, silver or bronze.
    """

    competition: str
    sha256: str
    file: str
    run_id: str | None
    description: str
    state: Literal["uploading", "sending", "sent", "failed"]
    time: str = ""
    ref: int | None = None
    public_score: float | None = None
    private_score: float | None = None
    error: str | None = None
    listed: int | None = None
    counted: int | None = None
    rank: int | None = None
    teams: int | None = None
    medal: str | None = None

    @property
    def attempt(self) -> str | None:
        """The mark of the attempt in its description."""
        return attempt_of(self.description)

    @property
    def is_scored(self) -> bool:
        """Whether a score came back."""
        return self.public_score is not None or self.private_score is not None

    def after(self, record: SubmissionRecord) -> LedgerEntry:
        """The entry once the server has the submission, or has scored it."""
        return replace(
            self,
            state="failed" if record.state is SubmissionState.ERROR else "sent",
            ref=record.ref,
            public_score=record.public_score,
            private_score=record.private_score,
            error=record.error,
        )


def read_ledger(path: Path) -> list[LedgerEntry]:
    """All entries, oldest first.

    Raises:
        DataError: a line cannot be read.
    """
    if not path.exists():
        return []
    lines = path.read_text("utf-8").splitlines()
    try:
        return [_entry(json.loads(line)) for line in lines if line.strip()]
    except (json.JSONDecodeError, TypeError) as error:
        raise DataError(
            f"{path} is damaged: {error}", hint=f"look at its lines; remove the broken one from {path}"
        ) from None


def add_entry(path: Path, entry: LedgerEntry) -> LedgerEntry:
    """Add a line in one step. Returns the entry with its time."""
    timed = replace(entry, time=datetime.now(UTC).isoformat(timespec="seconds"))
    before = path.read_text("utf-8") if path.exists() else ""
    write_text(path, before + json.dumps(asdict(timed), sort_keys=True) + "\n")
    return timed


def entries_of(path: Path, competition: str, sha256: str) -> list[LedgerEntry]:
    """All lines about this file and competition, the oldest first."""
    return [entry for entry in read_ledger(path) if (entry.competition, entry.sha256) == (competition, sha256)]


def last_entry(path: Path, competition: str, sha256: str) -> LedgerEntry | None:
    """The last line about this file and competition."""
    found = entries_of(path, competition, sha256)
    return found[-1] if found else None


@contextmanager
def only_one_at_a_time(path: Path) -> Iterator[None]:
    """Hold the ledger while a submission is checked and sent, so that two commands cannot send the same file.

    Raises:
        SubmissionRefused: another command holds it.
    """
    lock = path.with_suffix(".lock")
    with disk_full_named(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        held = lock.open("a")
    with held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SubmissionRefused(
                "another submission is being sent from this workspace right now", hint="wait until it is done"
            ) from None
        yield


def _entry(values: dict[str, Any]) -> LedgerEntry:
    """Keys of later versions are passed over."""
    known = {field.name for field in fields(LedgerEntry)}
    return LedgerEntry(**{key: value for key, value in values.items() if key in known})

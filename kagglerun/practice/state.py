"""What changes while the server runs: accepted rules, uploads, submissions. One SQLite database.

Every call opens its own connection, so that any thread and any process (the server, `kagglerun practice list`)
may use it at once.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from kagglerun.practice.database import Database
from kagglerun.practice.paths import PracticePaths

_SCHEMA = """
CREATE TABLE IF NOT EXISTS accepted (slug TEXT PRIMARY KEY, time TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS uploads (
    token TEXT PRIMARY KEY, slug TEXT NOT NULL, file_name TEXT NOT NULL, bytes INTEGER NOT NULL, time TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS submissions (
    ref INTEGER PRIMARY KEY AUTOINCREMENT, slug TEXT NOT NULL, token TEXT NOT NULL UNIQUE, time TEXT NOT NULL,
    file_name TEXT NOT NULL, description TEXT NOT NULL, bytes INTEGER NOT NULL, status TEXT NOT NULL,
    error TEXT, public_score REAL, private_score REAL
);
CREATE INDEX IF NOT EXISTS submissions_of_slug ON submissions (slug, time);
"""


class Status(StrEnum):
    """What became of a submission; Kaggle's names."""

    PENDING = "PENDING"
    COMPLETE = "COMPLETE"
    ERROR = "ERROR"


@dataclass(frozen=True)
class Upload:
    """A submission file that was announced.

    Attributes:
        token: stands for the file in later calls.
        slug: the competition it was announced for.
        file_name: its name on the user's machine.
        bytes: its announced size.
    """

    token: str
    slug: str
    file_name: str
    bytes: int


@dataclass(frozen=True)
class Submission:
    """A submission and what became of it. Scores are None until it is scored, and where there are no such rows."""

    ref: int
    slug: str
    token: str
    time: datetime
    file_name: str
    description: str
    bytes: int
    status: Status
    error: str | None
    public_score: float | None
    private_score: float | None


class Store(Database):
    """The database.

    Args:
        path: its file; made with its folder when missing.
    """

    schema = _SCHEMA

    def accept_rules(self, slug: str, now: datetime) -> None:
        """Note that the rules of a competition are accepted."""
        with self.transaction() as database:
            database.execute("INSERT OR IGNORE INTO accepted VALUES (?, ?)", (slug, _text(now)))

    def rules_accepted(self, slug: str) -> bool:
        """Whether the rules of a competition are accepted."""
        with self.connection() as database:
            return database.execute("SELECT 1 FROM accepted WHERE slug = ?", (slug,)).fetchone() is not None

    def add_upload(self, upload: Upload, now: datetime) -> None:
        """Note an announced file."""
        values = (upload.token, upload.slug, upload.file_name, upload.bytes, _text(now))
        with self.transaction() as database:
            database.execute("INSERT INTO uploads VALUES (?, ?, ?, ?, ?)", values)

    def upload(self, token: str) -> Upload | None:
        """The announced file with this token."""
        with self.connection() as database:
            row = database.execute(
                "SELECT token, slug, file_name, bytes FROM uploads WHERE token = ?", (token,)
            ).fetchone()
        return None if row is None else Upload(**dict(row))

    def submission_of_token(self, token: str) -> Submission | None:
        """The submission that used up this upload."""
        found = self._select("token = ?", (token,))
        return found[0] if found else None

    def add_submission(self, upload: Upload, description: str, now: datetime, daily: int) -> Submission | None:
        """Enter an upload as a submission, unless the day's allowance is used up.

        Counting and entering are one transaction, so two at once cannot share the last slot.

        Args:
            upload: the file.
            description: the user's message.
            now: the time; its UTC day is the day that counts.
            daily: the day's allowance.

        Returns:
            The submission, or None when the allowance is used up.
        """
        with self.transaction() as database:
            if _used_today(database, upload.slug, now) >= daily:
                return None
            cursor = database.execute(
                "INSERT INTO submissions (slug, token, time, file_name, description, bytes, status) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (upload.slug, upload.token, _text(now), upload.file_name, description, upload.bytes, Status.PENDING),
            )
            ref = cursor.lastrowid
        found = self.submission(int(ref or 0))
        assert found is not None
        return found

    def finish(
        self, ref: int, public_score: float | None = None, private_score: float | None = None, error: str | None = None
    ) -> None:
        """Write what became of a submission: its scores, or the error."""
        status = Status.COMPLETE if error is None else Status.ERROR
        with self.transaction() as database:
            database.execute(
                "UPDATE submissions SET status = ?, error = ?, public_score = ?, private_score = ? WHERE ref = ?",
                (status, error, public_score, private_score, ref),
            )

    def submission(self, ref: int) -> Submission | None:
        """The submission with this number."""
        found = self._select("ref = ?", (ref,))
        return found[0] if found else None

    def submissions(self, slug: str) -> list[Submission]:
        """All submissions to a competition, the latest first."""
        return self._select("slug = ? ORDER BY time DESC, ref DESC", (slug,))

    def pending(self) -> list[Submission]:
        """Submissions that wait for their score, the oldest first."""
        return self._select("status = ? ORDER BY ref", (Status.PENDING,))

    def used_today(self, slug: str, now: datetime) -> int:
        """Submissions of this UTC day that count: as on Kaggle, one that could not be scored does not."""
        with self.connection() as database:
            return _used_today(database, slug, now)

    def forget(self, slug: str) -> tuple[int, list[str]]:
        """Remove a competition's uploads and submissions.

        Returns:
            The number of submissions removed, and the tokens of the uploads, whose files are now nobody's.
        """
        with self.transaction() as database:
            tokens = [row[0] for row in database.execute("SELECT token FROM uploads WHERE slug = ?", (slug,))]
            database.execute("DELETE FROM uploads WHERE slug = ?", (slug,))
            return database.execute("DELETE FROM submissions WHERE slug = ?", (slug,)).rowcount, tokens

    def _select(self, where: str, values: tuple[object, ...]) -> list[Submission]:
        with self.connection() as database:
            rows = database.execute(f"SELECT * FROM submissions WHERE {where}", values).fetchall()  # noqa: S608
        return [_submission(row) for row in rows]


def forget_submissions(paths: PracticePaths, slug: str) -> int:
    """Remove a competition's submissions and their files.

    Returns:
        The number of submissions removed.
    """
    count, tokens = Store(paths.database).forget(slug)
    for token in tokens:
        paths.upload(token).unlink(missing_ok=True)
    return count


def _used_today(database: sqlite3.Connection, slug: str, now: datetime) -> int:
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    row = database.execute(
        "SELECT COUNT(*) FROM submissions WHERE slug = ? AND time >= ? AND status != ?",
        (slug, _text(midnight), Status.ERROR),
    ).fetchone()
    return int(row[0])


def _submission(row: sqlite3.Row) -> Submission:
    values = dict(row)
    return Submission(**{**values, "time": datetime.fromisoformat(values["time"]), "status": Status(values["status"])})


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")

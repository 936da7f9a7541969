"""Places on a competition's leaderboards: other teams' scores where it came with them, and our own best."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kagglerun.errors import PracticeError
from kagglerun.practice.competitions import Hosted
from kagglerun.practice.state import Status, Submission

TEAM = "practice"
TEAM_ID = 1


@dataclass(frozen=True)
class Place:
    """A team and its best score."""

    team_id: int
    team: str
    score: float
    time: datetime
    submissions: int = 1


def read_leaderboard(path: Path) -> tuple[Place, ...]:
    """Read a leaderboard as Kaggle gives it to download: a column Score, and TeamName, TeamId where known.

    Raises:
        PracticeError: there is no such file, no column Score, or a score that is no number.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        raise PracticeError(f"the leaderboard {path} cannot be read: {error}") from error
    reader = csv.DictReader(io.StringIO(text))
    names = {name.casefold(): name for name in reader.fieldnames or ()}
    if "score" not in names:
        raise PracticeError(f"the leaderboard {path} has no column 'Score'; it has: {', '.join(names.values())}")
    return tuple(_place(row, names, number) for number, row in enumerate(reader, start=1))


def _place(row: dict[str, str], names: dict[str, str], number: int) -> Place:
    def value(name: str) -> str:
        return row.get(names.get(name, ""), "") or ""

    try:
        score = float(value("score"))
    except ValueError:
        raise PracticeError(f"the leaderboard's row {number} has the score {value('score')!r}, no number") from None
    team_id = value("teamid")
    return Place(
        team_id=int(team_id) if team_id.isdigit() else TEAM_ID + number,
        team=value("teamname") or f"team {number}",
        score=score,
        time=_date(value("lastsubmissiondate")),
    )


def _date(text: str) -> datetime:
    """A date of Kaggle's; the year 2000 where there is none that can be read, so that its team counts as earlier."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        return datetime(2000, 1, 1, tzinfo=UTC)


def leaderboard(hosted: Hosted, submissions: Iterable[Submission], public: bool = False) -> list[Place]:
    """All places, the best first; of equal scores the earlier one first.

    Args:
        hosted: the competition.
        submissions: our submissions to it.
        public: by public scores; else by private ones.
    """
    others = hosted.paths.public_leaderboard if public else hosted.paths.leaderboard
    places = list(read_leaderboard(others)) if others.is_file() else []
    ours = [s for s in submissions if s.status is Status.COMPLETE and _score(s, public) is not None]
    sign = -1.0 if hosted.definition.greater_is_better else 1.0
    if ours:
        best = min(ours, key=lambda s: (sign * (_score(s, public) or 0.0), s.time))
        # Other teams' scores are known as shown, so ours must be compared as shown.
        places.append(Place(TEAM_ID, TEAM, float(shown(_score(best, public) or 0.0)), best.time, len(ours)))
    return sorted(places, key=lambda place: (sign * place.score, place.team_id == TEAM_ID, place.time))


def _score(submission: Submission, public: bool) -> float | None:
    return submission.public_score if public else submission.private_score


def rank_of(hosted: Hosted, score: float) -> tuple[int, int]:
    """The place that a private score would take among the other teams, and the number of teams with ours."""
    others = read_leaderboard(hosted.paths.leaderboard) if hosted.paths.leaderboard.is_file() else ()
    better = hosted.definition.greater_is_better
    ours = float(shown(score))
    ahead = sum(1 for place in others if (place.score >= ours if better else place.score <= ours))
    return ahead + 1, len(others) + 1


def our_rank(places: Iterable[Place]) -> int | None:
    """Our place, counted from 1; None without a scored submission."""
    return next((rank for rank, place in enumerate(places, start=1) if place.team_id == TEAM_ID), None)


def is_downloaded_public(hosted: Hosted) -> bool:
    """Whether the leaderboard to download is the public one, as on Kaggle; not where only final scores are known."""
    return hosted.paths.public_leaderboard.is_file() or not hosted.paths.leaderboard.is_file()


def leaderboard_zip(slug: str, places: Iterable[Place], public: bool = True) -> bytes:
    """The leaderboard as Kaggle gives it to download: a zip with one CSV, whose name says which one it is."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["Rank", "TeamId", "TeamName", "LastSubmissionDate", "Score", "SubmissionCount", "TeamMemberUserNames"]
    )
    for rank, place in enumerate(places, start=1):
        date = place.time.strftime("%Y-%m-%d %H:%M:%S")
        writer.writerow([rank, place.team_id, place.team, date, shown(place.score), place.submissions, place.team])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{slug}-{'public' if public else 'private'}leaderboard.csv", text.getvalue())
    return buffer.getvalue()


def shown(score: float) -> str:
    """A score as Kaggle shows it: five decimals."""
    return f"{score:.5f}"

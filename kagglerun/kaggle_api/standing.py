"""Where a score stands on a competition's leaderboard, and how far it is to the medals.

Kaggle gives the whole public leaderboard to download, also when the private one is out. Thresholds of the medals by
number of teams are Kaggle's (https://www.kaggle.com/progression): percentages are rounded down, and a gold medal is
added to ten for every 500 teams.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from kagglerun.errors import KaggleError
from kagglerun.kaggle_api.client import KaggleClient
from kagglerun.kaggle_api.records import SubmissionRecord

Medal = Literal["gold", "silver", "bronze"]
Board = Literal["public", "private"]
_FEW_TEAMS, _SOME_TEAMS, _MANY_TEAMS = 100, 250, 1000
_LARGEST_BYTES = 1 << 28


@dataclass(frozen=True)
class Place:
    """A team on the leaderboard and its score."""

    team: str
    score: float


@dataclass(frozen=True)
class Leaderboard:
    """A competition's leaderboard.

    Attributes:
        board: of which part of the test rows the scores are.
        places: the best first.
    """

    board: Board
    places: tuple[Place, ...]


@dataclass(frozen=True)
class MedalLine:
    """The last place that gets a medal.

    Attributes:
        medal: which.
        rank: the place.
        score: what stands there now; None where the leaderboard is shorter.
    """

    medal: Medal
    rank: int
    score: float | None


@dataclass(frozen=True)
class Standing:
    """Where a score stands. An estimate: the final places follow from the private scores of all teams.

    Attributes:
        board: the leaderboard that it was compared on.
        rank: the place that the score takes, behind teams that had it before.
        teams: number of teams, with ours.
        medal: what that place would get; None for none.
        lines: the last places that get medals; empty where there are too few teams.
        awarded: whether the competition gives medals at all.
    """

    board: Board
    rank: int
    teams: int
    medal: Medal | None
    lines: tuple[MedalLine, ...]
    awarded: bool = True

    @property
    def text(self) -> str:
        """For people, in one line."""
        share = f"top {100 * self.rank / self.teams:.3g} %"
        place = f"rank {self.rank:,} of {self.teams:,} ({share}) on the {self.board} leaderboard"
        if not self.awarded:
            return place
        medal = f"{self.medal} as it stands" if self.medal else "no medal as it stands"
        lines = (f"{line.medal} to rank {line.rank:,}{_from(line)}" for line in self.lines)
        return "; ".join([place, medal, *lines])


def _from(line: MedalLine) -> str:
    return "" if line.score is None else f" ({line.score:.5f})"


def medal_ranks(teams: int) -> dict[Medal, int]:
    """The last places that get gold, silver and bronze, by the number of teams; 0 where none gets it."""
    gold = teams // 10 if teams < _FEW_TEAMS else 10 if teams < _SOME_TEAMS else 10 + teams // 500
    silver = teams // 5 if teams < _SOME_TEAMS else 50 if teams < _MANY_TEAMS else teams // 20
    bronze = teams * 2 // 5 if teams < _SOME_TEAMS else 100 if teams < _MANY_TEAMS else teams // 10
    return {"gold": gold, "silver": silver, "bronze": bronze}


def read_leaderboard(archive: bytes) -> Leaderboard:
    """Read a leaderboard as the server gives it to download.

    Args:
        archive: a zip with one CSV with the columns TeamName and Score, or that CSV itself. Teams without a score
            are left out.

    Raises:
        KaggleError: it cannot be read.
    """
    try:
        name, text = _csv_of(archive)
        rows = csv.DictReader(io.StringIO(text.decode("utf-8-sig")))
        if not {"TeamName", "Score"} <= set(rows.fieldnames or ()):
            raise ValueError("other columns")
        places = tuple(Place(row["TeamName"] or "", float(row["Score"])) for row in rows if row["Score"])
    except (zipfile.BadZipFile, StopIteration, ValueError, csv.Error) as error:
        raise KaggleError(f"the leaderboard cannot be read ({type(error).__name__})", hint="try again later") from None
    return Leaderboard("private" if "private" in name.lower() else "public", places)


def _csv_of(archive: bytes) -> tuple[str, bytes]:
    if not zipfile.is_zipfile(io.BytesIO(archive)):
        return "", archive
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        first = next(item for item in opened.infolist() if item.filename.lower().endswith(".csv"))
        with opened.open(first) as content:
            return first.filename, content.read(_LARGEST_BYTES)


def standing_of(
    leaderboard: Leaderboard, record: SubmissionRecord, greater_is_better: bool, awarded: bool = True
) -> Standing | None:
    """Where a submission's score stands among the other teams.

    Args:
        leaderboard: all teams; our own, known by its name, is not counted among the others.
        record: the submission.
        greater_is_better: the metric's direction, which the order of the places overrules where they show one.
        awarded: whether the competition gives medals.

    Returns:
        None when the submission has no score on that leaderboard's part of the test rows.
    """
    score = record.public_score if leaderboard.board == "public" else record.private_score
    if score is None:
        return None
    others = [place.score for place in leaderboard.places if place.team != record.team or not record.team]
    up = _goes_down(others, greater_is_better)
    ahead = sum(1 for other in others if (other >= score if up else other <= score))
    rank, teams = ahead + 1, len(others) + 1
    scores = sorted([*others, score], reverse=up)
    last = medal_ranks(teams)
    lines = tuple(MedalLine(medal, at, scores[at - 1]) for medal, at in last.items() if at)
    medal = next((line.medal for line in lines if rank <= line.rank), None)
    return Standing(leaderboard.board, rank, teams, medal if awarded else None, lines if awarded else (), awarded)


def _goes_down(scores: Sequence[float], otherwise: bool) -> bool:
    """Whether greater scores come first. Only steps of one direction count as an answer."""
    steps = {first > second for first, second in pairwise(scores) if first != second}
    return steps.pop() if len(steps) == 1 else otherwise


def read_standing(
    client: KaggleClient, slug: str, record: SubmissionRecord, greater_is_better: bool, awarded: bool
) -> Standing | None:
    """Where a scored submission stands now; None when that is not known.

    Args:
        client: where the competition is.
        slug: the competition.
        record: the submission.
        greater_is_better: the metric's direction.
        awarded: whether the competition gives medals.

    Raises:
        KaggleError: the leaderboard could not be read.
    """
    leaderboard = read_leaderboard(client.leaderboard_archive(slug))
    return standing_of(leaderboard, record, greater_is_better, awarded)

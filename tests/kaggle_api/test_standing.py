"""Where a score stands, and what Kaggle's thresholds make of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from local_kaggle import Reply, ScriptedKaggle, zip_of

from kagglerun.errors import KaggleError
from kagglerun.kaggle_api.records import SubmissionRecord, SubmissionState
from kagglerun.kaggle_api.standing import (
    Leaderboard,
    Place,
    Standing,
    medal_ranks,
    read_leaderboard,
    read_standing,
    standing_of,
)

HEADER = "Rank,TeamId,TeamName,LastSubmissionDate,Score,SubmissionCount,TeamMemberUserNames\n"


def _record(public: float | None = None, private: float | None = None, team: str = "us") -> SubmissionRecord:
    date = datetime(2026, 1, 1, tzinfo=UTC)
    return SubmissionRecord(7, "s.csv", "", date, SubmissionState.COMPLETE, public, private, team=team)


def _board(*scores: float, board: str = "public") -> Leaderboard:
    return Leaderboard(board, tuple(Place(f"team {number}", score) for number, score in enumerate(scores)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("teams", "gold", "silver", "bronze"),
    [
        (1, 0, 0, 0),
        (9, 0, 1, 3),
        (99, 9, 19, 39),
        (100, 10, 20, 40),
        (249, 10, 49, 99),
        (250, 10, 50, 100),
        (500, 11, 50, 100),
        (999, 11, 50, 100),
        (1000, 12, 50, 100),
        (2345, 14, 117, 234),
        (5000, 20, 250, 500),
    ],
)
def test_medals_go_to_the_places_that_kaggle_publishes(teams: int, gold: int, silver: int, bronze: int) -> None:
    assert medal_ranks(teams) == {"gold": gold, "silver": silver, "bronze": bronze}


@pytest.mark.parametrize("up", [True, False])
def test_a_score_stands_behind_those_that_had_it_before(up: bool) -> None:
    sign = 1.0 if up else -1.0
    board = _board(*(sign * score for score in (0.9, 0.8, 0.8, 0.7)))
    found = standing_of(board, _record(sign * 0.8), greater_is_better=up)
    assert found is not None
    assert (found.rank, found.teams, found.board) == (4, 5, "public")


def test_the_order_of_the_places_overrules_a_direction_that_was_got_wrong() -> None:
    found = standing_of(_board(0.1, 0.2, 0.3), _record(0.15), greater_is_better=True)
    assert found is not None and found.rank == 2


def test_our_own_earlier_place_is_not_one_of_the_others() -> None:
    board = Leaderboard("public", (Place("first", 0.9), Place("us", 0.85), Place("third", 0.5)))
    found = standing_of(board, _record(0.8), greater_is_better=True)
    assert found is not None and (found.rank, found.teams) == (2, 3)


def test_scores_are_compared_with_those_of_their_own_part() -> None:
    board = _board(0.9, 0.5, board="private")
    assert standing_of(board, _record(public=0.95), greater_is_better=True) is None
    found = standing_of(board, _record(public=0.95, private=0.6), greater_is_better=True)
    assert found is not None and (found.rank, found.board) == (2, "private")


def test_the_medal_lines_are_told_with_the_scores_that_stand_there() -> None:
    board = _board(*(1 - number / 1000 for number in range(999)))
    found = standing_of(board, _record(0.9295), greater_is_better=True)
    assert found is not None
    assert (found.rank, found.teams, found.medal) == (72, 1000, "bronze")
    assert [(line.medal, line.rank) for line in found.lines] == [("gold", 12), ("silver", 50), ("bronze", 100)]
    assert found.text == (
        "rank 72 of 1,000 (top 7.2 %) on the public leaderboard; bronze as it stands; gold to rank 12 (0.98900); "
        "silver to rank 50 (0.95100); bronze to rank 100 (0.90200)"
    )


def test_a_competition_without_medals_names_none() -> None:
    found = standing_of(_board(0.9, 0.5, 0.4, 0.3, 0.2), _record(0.95), greater_is_better=True, awarded=False)
    assert found == Standing("public", 1, 6, None, (), awarded=False)
    assert found.text == "rank 1 of 6 (top 16.7 %) on the public leaderboard"


def test_a_leaderboard_is_read_as_kaggle_gives_it() -> None:
    rows = "1,5,\u201cBest\u201d,2026-01-01,0.9,3,a\n2,6,\u7d20\u6750,2026-01-01,0.8,3,b\n3,7,none,,,0,c\n"
    packed = zip_of({"coins-publicleaderboard-2026-01-02.csv": "\ufeff" + HEADER + rows})
    board = read_leaderboard(packed)
    assert board == Leaderboard("public", (Place("\u201cBest\u201d", 0.9), Place("\u7d20\u6750", 0.8)))
    assert read_leaderboard(zip_of({"coins-privateleaderboard.csv": HEADER + rows})).board == "private"
    assert read_leaderboard((HEADER + rows).encode()).places == board.places


@pytest.mark.parametrize("content", [b"<html>", zip_of({"readme.txt": "no"}), b"Rank,Team\n1,x\n", b"\xff\xfe"])
def test_what_is_no_leaderboard_is_an_error(content: bytes) -> None:
    with pytest.raises(KaggleError, match="leaderboard cannot be read"):
        read_leaderboard(content)


def test_the_standing_comes_over_http(scripted: ScriptedKaggle) -> None:
    scripted.answers["DownloadLeaderboard"] = Reply(200, zip_of({"l.csv": HEADER + "1,5,first,,0.9,3,a\n"}))
    found = read_standing(scripted.client(), "coins", _record(0.8), greater_is_better=True, awarded=True)
    assert found is not None and (found.rank, found.teams) == (2, 2)

"""A public leaderboard with other teams, as Kaggle gives it to download, and where we stand on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kagglerun import metrics
from kagglerun.kaggle_api.client import KaggleClient
from kagglerun.kaggle_api.credentials import Credentials
from kagglerun.kaggle_api.standing import read_leaderboard, standing_of
from kagglerun.practice.hosted import BundleCompetition, add
from kagglerun.practice.paths import PracticePaths
from kagglerun.practice.server import ensure_running, stop
from kagglerun.workspace import Workspace
from tests.practice.small import Client, small_competition

FINAL = "TeamName,Score\nfirst,0.95\nsecond,0.5\n"
PUBLIC = "TeamName,Score\nsecond,0.99\nfirst,0.97\nthird,0.2\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    workspace = Workspace(tmp_path_factory.mktemp("boards"))
    paths = PracticePaths(workspace.practice)
    small_competition(paths, "small")
    yield Client(ensure_running(workspace), paths)
    stop(workspace)


def _hosted(client: Client, folder: Path, slug: str, public: bool) -> KaggleClient:
    """Host the small competition's bundle with the teams' scores, and send a perfect file to it."""
    (folder / "truth.csv").write_text(client.truth("small").to_csv(index=False))
    (folder / "final.csv").write_text(FINAL)
    (folder / "public.csv").write_text(PUBLIC)
    source = BundleCompetition(
        slug,
        "x",
        "",
        client.paths.competition("small").bundle,
        folder / "truth.csv",
        metrics.get("accuracy"),
        leaderboard=folder / "final.csv",
        public_leaderboard=folder / "public.csv" if public else None,
    )
    add(client.paths, source)
    client.submit(slug, client.perfect("small"))
    key = Credentials("a test", username="practice", key=client.server.token)
    return KaggleClient(client.server.url, key)


@pytest.mark.parametrize(("public", "teams", "board"), [(True, 4, "public"), (False, 3, "private")])
def test_we_stand_among_the_teams_whose_scores_are_known(
    served: Client, tmp_path: Path, public: bool, teams: int, board: str
) -> None:
    slug = f"boards-{board}"
    client = _hosted(served, tmp_path, slug, public)
    (record,) = client.submissions(slug)
    found = standing_of(read_leaderboard(client.leaderboard_archive(slug)), record, greater_is_better=True)
    assert found is not None
    assert (found.rank, found.teams, found.board) == (1, teams, board)
    shown = served.ask("GetLeaderboard", competitionName=slug, overridePublic=True)["submissions"]
    assert [place["teamName"] for place in shown] == ["practice", *(["second", "first", "third"] if public else [])]

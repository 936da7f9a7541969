"""`kagglerun fetch` and `kagglerun inspect` as a user types them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from local_kaggle import FACTS, TABLES, Reply, ScriptedKaggle, host_coins, zip_of

from kagglerun.cli import connect
from kagglerun.cli.main import run
from kagglerun.config.load import load_card
from kagglerun.practice.server import stop
from kagglerun.workspace import Workspace

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def practice(workspace: Workspace) -> Iterator[Workspace]:
    """A workspace whose practice server hosts `coins`."""
    host_coins(workspace)
    yield workspace
    stop(workspace)


@pytest.fixture
def scripted(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedKaggle]:
    """Takes the place of Kaggle and of the practice server."""
    server = ScriptedKaggle()
    server.answers["GetCompetition"] = Reply(200, FACTS)
    server.serve_bundle(zip_of(TABLES))
    monkeypatch.setattr(connect, "client_for", lambda *_: server.client())
    yield server
    server.close()


def test_fetch_downloads_understands_and_makes_it_the_current_competition(practice: Workspace, capsys: Capture) -> None:
    assert run(["fetch", "practice/coins"]) == 0
    said = capsys.readouterr().out
    assert "practice/coins: 3 files" in said and "fetched and verified" in said
    assert "predicts face" in said and "metric accuracy (greater is better)" in said
    assert "next: kagglerun sweep baseline.yaml" in said
    card = load_card(practice.competition("coins").card)
    assert (card.source, card.ids, card.targets, card.task) == ("practice", ("id",), ("face",), "binary")
    assert practice.current() == "coins"
    assert run(["fetch", "coins"]) == 0, "the card remembers where it came from"
    assert "was there already" in capsys.readouterr().out


def test_a_wrong_slug_leaves_nothing(practice: Workspace, capsys: Capture) -> None:
    assert run(["fetch", "practice/coin"]) == 1
    assert "no competition 'coin'\n  → kagglerun practice list" in capsys.readouterr().err
    assert list(practice.competitions.iterdir()) == []


def test_no_credentials_tell_the_ways_in_three_lines(workspace: Workspace, capsys: Capture) -> None:
    assert run(["fetch", "titanic"]) == 1
    said = capsys.readouterr().err
    assert "no Kaggle credentials were found" in said
    assert "KAGGLE_API_TOKEN" in said and "kaggle.json" in said and "KAGGLE_USERNAME" in said
    assert len(said.splitlines()) == 3


def test_rules_are_accepted_and_then_it_works(workspace: Workspace, capsys: Capture) -> None:
    host_coins(workspace, rules=True)
    try:
        assert run(["fetch", "practice/coins"]) == 1
        assert "kagglerun practice accept coins" in capsys.readouterr().err
        assert run(["practice", "accept", "coins"]) == 0
        assert run(["fetch", "practice/coins"]) == 0
    finally:
        stop(workspace)


def test_a_truncated_zip_is_an_error_of_two_lines_and_nothing_is_left(
    scripted: ScriptedKaggle, workspace: Workspace, capsys: Capture
) -> None:
    scripted.serve_bundle(zip_of(TABLES)[:200])
    assert run(["fetch", "coins"]) == 1
    said = capsys.readouterr().err
    assert "the archive of coins cannot be used: it is not a whole zip archive" in said
    assert "→ run the same command again" in said
    assert list(workspace.competitions.iterdir()) == []


def test_what_the_user_wrote_into_the_card_is_kept(scripted: ScriptedKaggle, workspace: Workspace) -> None:
    paths = workspace.competition("coins")
    paths.folder.mkdir()
    paths.card.write_text("slug: coins\nmetric: log_loss\nclasses: [tails, heads]\ngroup: weight\n")
    assert run(["fetch", "coins"]) == 0
    card = load_card(paths.card)
    assert (card.metric, card.group, card.classes) == ("log_loss", "weight", ("tails", "heads"))
    assert card.targets == ("face",)


def test_data_of_another_source_is_not_replaced_in_silence(
    scripted: ScriptedKaggle, workspace: Workspace, capsys: Capture
) -> None:
    assert run(["fetch", "practice/coins"]) == 0
    before = workspace.competition("coins").card.read_text()
    assert run(["fetch", "kaggle/coins"]) == 2
    said = capsys.readouterr().err
    assert "came from practice/coins, not from kaggle/coins" in said
    assert "kagglerun fetch kaggle/coins --force" in said
    assert workspace.competition("coins").card.read_text() == before


def test_what_cannot_be_understood_is_asked(scripted: ScriptedKaggle, workspace: Workspace, capsys: Capture) -> None:
    scripted.answers["GetCompetition"] = Reply(200, {**FACTS, "evaluationMetric": "Best Effort"})
    assert run(["fetch", "coins"]) == 2
    asked = capsys.readouterr()
    assert "metric" in asked.err and "write `metric:" in asked.err
    assert workspace.competition("coins").card.is_file()
    assert run(["inspect", "coins"]) == 2
    assert "metric" in capsys.readouterr().out


def test_inspect_shows_each_fact_with_its_evidence(scripted: ScriptedKaggle, capsys: Capture) -> None:
    assert run(["fetch", "coins"]) == 0
    capsys.readouterr()
    assert run(["inspect"]) == 0
    said = capsys.readouterr().out
    assert "coins: Coins" in said
    assert "limits.max_daily_submissions" in said
    (task,) = [line for line in said.splitlines() if line.startswith("task ")]
    assert "binary" in task and "face" in task, "the reason stands beside the value"
    assert run(["inspect", "coins", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["task"] == "binary"


def test_inspect_before_fetch_names_the_next_command(workspace: Workspace, capsys: Capture) -> None:
    assert run(["inspect", "coins"]) == 2
    assert "→ kagglerun fetch coins" in capsys.readouterr().err

"""Scores that come back later, or to another machine, reach the ledger, the run and its journal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from local_kaggle import Reply, ScriptedKaggle, zip_of

from kagglerun.config.card import Card
from kagglerun.files import write_text
from kagglerun.kaggle_api.records import SubmissionRecord, SubmissionState
from kagglerun.kaggle_api.submit import describe
from kagglerun.submission.ledger import LedgerEntry, add_entry, read_ledger
from kagglerun.submission.scores_back import sync_scores, write_down
from kagglerun.workspace import RunPaths, Workspace

SHA = "cd" * 32
CARD = Card(slug="coins", source="practice", greater_is_better=True)
MINE = describe("", SHA, "run-1")
BOARD = "Rank,TeamName,Score\n1,first,0.9\n2,last,0.1\n"


@pytest.fixture(autouse=True)
def without_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLERUN_MLFLOW_URI", "none")


@pytest.fixture
def run(workspace: Workspace) -> RunPaths:
    paths = workspace.run("coins", "run-1")
    write_text(paths.config, "competition: coins\n")
    return paths


def _lists(scripted: ScriptedKaggle, *items: dict[str, object]) -> None:
    scripted.answers["GetCompetition"] = Reply(200, {"awardsPoints": True})
    scripted.answers["ListSubmissions"] = Reply(200, {"submissions": list(items)})
    scripted.answers["DownloadLeaderboard"] = Reply(200, zip_of({"coins-publicleaderboard.csv": BOARD}))


def _item(ref: int = 7, description: str = MINE, score: str | None = "0.5") -> dict[str, object]:
    status = "COMPLETE" if score else "PENDING"
    return {"ref": ref, "description": description, "status": status, "publicScore": score, "fileName": "s.csv"}


def _lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_score_that_came_later_reaches_ledger_run_and_journal(
    workspace: Workspace, scripted: ScriptedKaggle, run: RunPaths
) -> None:
    entry = LedgerEntry(CARD.ref, SHA, "/x/s.csv", "run-1", MINE, "sending")
    add_entry(workspace.ledger, entry)
    _lists(scripted, _item())
    (news,) = sync_scores(workspace, scripted.client(), CARD)
    assert (news.record.ref, news.run_id, news.from_elsewhere) == (7, "run-1", False)
    assert news.standing is not None and (news.standing.rank, news.standing.teams) == (2, 3)
    last = read_ledger(workspace.ledger)[-1]
    assert (last.state, last.ref, last.public_score, last.rank, last.teams) == ("sent", 7, 0.5, 2, 3)
    assert _lines(run.submissions)[-1]["public_score"] == 0.5
    journal = run.journal.read_text()
    assert '"public_score"' in journal and '"public_rank"' in journal and '"teams"' in journal


def test_nothing_is_written_twice(workspace: Workspace, scripted: ScriptedKaggle, run: RunPaths) -> None:
    _lists(scripted, _item(), _item(6, describe("", "ef" * 32), "0.4"))
    assert len(sync_scores(workspace, scripted.client(), CARD)) == 2
    before = workspace.ledger.read_bytes(), run.submissions.read_bytes(), run.journal.read_bytes()
    board = BOARD.replace("2,last,0.1", "2,second,0.8\n3,last,0.1")
    scripted.answers["DownloadLeaderboard"] = Reply(200, zip_of({"coins-publicleaderboard.csv": board}))
    assert sync_scores(workspace, scripted.client(), CARD) == (), "places that moved are no news"
    assert before == (workspace.ledger.read_bytes(), run.submissions.read_bytes(), run.journal.read_bytes())


def test_what_was_sent_from_elsewhere_is_told_to_its_run(
    workspace: Workspace, scripted: ScriptedKaggle, run: RunPaths
) -> None:
    _lists(scripted, _item(8, "by hand"), _item(), _item(6, describe("", "ef" * 32, "unknown-run")))
    found = sync_scores(workspace, scripted.client(), CARD)
    assert [(one.record.ref, one.run_id, one.from_elsewhere) for one in found] == [
        (6, "unknown-run", True),
        (7, "run-1", True),
    ]
    assert _lines(run.submissions)[-1]["ref"] == 7
    assert not workspace.run("coins", "unknown-run").folder.exists()


def test_a_private_score_after_the_deadline_is_news(
    workspace: Workspace, scripted: ScriptedKaggle, run: RunPaths
) -> None:
    _lists(scripted, _item())
    sync_scores(workspace, scripted.client(), CARD)
    _lists(scripted, {**_item(), "privateScore": "0.25"})
    (news,) = sync_scores(workspace, scripted.client(), CARD)
    assert news.record.private_score == 0.25
    assert _lines(run.submissions)[-1]["private_score"] == 0.25
    assert sync_scores(workspace, scripted.client(), CARD) == ()


def test_a_leaderboard_that_is_not_given_leaves_the_scores(
    workspace: Workspace, scripted: ScriptedKaggle, run: RunPaths
) -> None:
    _lists(scripted, _item())
    scripted.answers["DownloadLeaderboard"] = Reply(403, {"code": 403, "message": "no"})
    (news,) = sync_scores(workspace, scripted.client(), CARD)
    assert news.standing is None
    assert read_ledger(workspace.ledger)[-1].public_score == 0.5
    _lists(scripted, _item())
    (ranked,) = sync_scores(workspace, scripted.client(), CARD)
    assert ranked.standing is not None, "the place is added once it can be had"


def test_a_submission_that_could_not_be_scored_is_noted_as_failed(
    workspace: Workspace, scripted: ScriptedKaggle, run: RunPaths
) -> None:
    _lists(scripted, {**_item(score=None), "status": "ERROR", "errorDescription": "odd"})
    sync_scores(workspace, scripted.client(), CARD)
    last = read_ledger(workspace.ledger)[-1]
    assert (last.state, last.error) == ("failed", "odd")


def test_a_line_is_added_only_when_it_tells_something_new(workspace: Workspace, run: RunPaths) -> None:
    entry = LedgerEntry(CARD.ref, SHA, "/x/s.csv", "run-1", MINE, "sending")
    pending = SubmissionRecord(7, "s.csv", MINE, None, SubmissionState.PENDING)
    for _ in range(3):
        write_down(workspace, run, entry, pending)
    assert len(read_ledger(workspace.ledger)) == len(read_ledger(run.submissions)) == 1

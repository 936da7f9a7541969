"""The submissions of a competition, each with its run."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kagglerun.config.card import Card
from kagglerun.errors import ConfigError
from kagglerun.files import write_json, write_text
from kagglerun.kaggle_api.records import SubmissionRecord, SubmissionState
from kagglerun.submission.ledger import LedgerEntry, add_entry
from kagglerun.submission.public_share import public_rows
from kagglerun.submission.scoreboard import read_board
from kagglerun.workspace import Workspace

_CARD = Card(slug="coins", source="practice", metric="accuracy", greater_is_better=True)


def _run(workspace: Workspace, name: str, score: float, comparable: str = "same") -> None:
    paths = workspace.run("coins", name)
    write_text(paths.config, "competition: coins\n")
    write_json(paths.status, {"state": "FINISHED", "started": "2026-01-01T00:00:00+00:00"})
    write_json(paths.fingerprint, {"comparable": comparable})
    write_json(paths.metrics, {"score": score, "fold_scores": [score], "metric": "accuracy", "greater_is_better": True})


def _record(ref: int, description: str, public: float | None = 0.7, state: str = "complete") -> SubmissionRecord:
    date = datetime(2026, 1, 1, 0, ref, tzinfo=UTC)
    return SubmissionRecord(ref, "submission.csv", description, date, SubmissionState(state), public)


def test_a_submission_finds_its_run_by_its_description_or_by_the_ledger(workspace: Workspace) -> None:
    for name in ("one", "a two"):
        _run(workspace, name, 0.8)
    entry = LedgerEntry("practice/coins", "f" * 64, "s.csv", "one", "", "sent", ref=2, public_score=0.7)
    add_entry(workspace.ledger, entry)
    listed = [
        _record(1, "words [run:a two sha256:0123456789abcdef try:01234567]"),
        _record(2, "edited on the site"),
        _record(3, "by hand"),
        _record(4, "[run:one sha256:0123456789abcdef try:01234567]", None, "pending"),
    ]
    board = read_board(workspace, _CARD, listed)
    assert [one.name for one in board.submissions] == ["a two", "one", "submission.csv"]
    assert [one.name for one in board.compared] == ["a two", "one"]
    assert board.left_out == ("1 of no run of this workspace",)


def test_of_a_run_that_was_sent_twice_the_last_one_counts_and_other_folds_are_left_out(workspace: Workspace) -> None:
    for name in ("one", "two"):
        _run(workspace, name, 0.8)
    _run(workspace, "other", 0.9, comparable="other folds")
    names = ("one", "other", "two", "one")
    listed = [_record(ref, f"[run:{name} sha256:0 try:1]", 0.5 + ref / 10) for ref, name in enumerate(names)]
    board = read_board(workspace, _CARD, listed)
    assert [(one.name, one.public) for one in board.compared] == [("two", 0.7), ("one", 0.8)]
    assert set(board.left_out) == {
        "1 sent again later from the same run",
        "1 of runs with other data, folds or metric",
    }


def test_without_a_server_the_ledger_tells_what_was_sent(workspace: Workspace) -> None:
    _run(workspace, "one", 0.8)
    entry = LedgerEntry("practice/coins", "f" * 64, "/somewhere/s.csv", "one", "", "sending")
    add_entry(workspace.ledger, entry)
    assert read_board(workspace, _CARD, None).submissions == ()
    add_entry(workspace.ledger, LedgerEntry(**{**entry.__dict__, "state": "sent", "ref": 5, "public_score": 0.6}))
    add_entry(workspace.ledger, LedgerEntry("coins", "f" * 64, "s.csv", "one", "", "sent", ref=6, public_score=0.1))
    (one,) = read_board(workspace, _CARD, None).submissions
    assert (one.ref, one.name, one.cv, one.public) == (5, "one", 0.8, 0.6)


@pytest.mark.parametrize(
    ("page", "public"),
    [
        ("1560 training rows and 1040 test rows; 312 of them are public.", 300),
        ("This leaderboard is calculated with approximately 21% of the test data.", 210),
        ("The public leaderboard is computed on roughly 7.5% of the test set.", 75),
        ("Train on 80% of the test bench.", 300),
    ],
)
def test_the_pages_tell_the_public_share(page: str, public: int) -> None:
    found = public_rows(1000, None, {"evaluation": page})
    assert (found.public, found.private) == (public, 1000 - public)
    assert ("a guess" in found.because) == page.startswith("Train")


def test_the_users_share_counts_before_the_pages_and_must_be_one() -> None:
    pages = {"data": "1,000 test rows; 500 of them are public."}
    assert public_rows(1000, 0.25, pages).public == 250 and public_rows(1000, None, pages).public == 500
    with pytest.raises(ConfigError, match="a public share of 30 is not between 0 and 1"):
        public_rows(1000, 30, pages)

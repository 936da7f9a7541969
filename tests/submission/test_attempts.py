"""What became of earlier attempts, from a ledger and a server that says this or that."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from local_kaggle import Reply, ScriptedKaggle, Seen

from kagglerun.config.card import Card
from kagglerun.errors import AlreadySubmitted, OutcomeUnknown
from kagglerun.kaggle_api.client import KaggleClient
from kagglerun.kaggle_api.submit import describe
from kagglerun.submission.attempts import look_for_attempts, refuse_if_sent
from kagglerun.submission.guard import CheckedFile
from kagglerun.submission.ledger import LedgerEntry, add_entry
from kagglerun.workspace import Workspace

SHA = "ab" * 32
CARD = Card(slug="coins", source="practice")
FILE = CheckedFile(Path("/x/s.csv"), 3, ("id", "face"), SHA)
MINE, THEIRS = describe("", SHA, "run-1"), describe("", SHA, "run-1")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits are noted instead of waited."""
    found: list[float] = []
    monkeypatch.setattr(time, "sleep", found.append)
    return found


@pytest.fixture
def client(scripted: ScriptedKaggle) -> KaggleClient:
    lists(scripted)
    scripted.answers["GetSubmissionLimits"] = Reply(200, {"numTotal": 4})
    return scripted.client()


def lists(scripted: ScriptedKaggle, *descriptions: str, status: str = "COMPLETE") -> None:
    items = [{"ref": ref, "description": text, "status": status} for ref, text in enumerate(descriptions, start=1)]
    scripted.answers["ListSubmissions"] = Reply(200, {"submissions": items})


def noted(workspace: Workspace, state: str, **values: Any) -> LedgerEntry:
    entry = LedgerEntry(CARD.ref, SHA, "/x/s.csv", "run-1", MINE, state, **values)  # type: ignore[arg-type]
    return add_entry(workspace.ledger, entry)


def test_a_file_that_was_never_sent_may_be(workspace: Workspace, client: KaggleClient, waits: list[float]) -> None:
    assert look_for_attempts(workspace, client, CARD, FILE).taken_up is None
    assert waits == []


def test_an_attempt_that_was_cut_off_is_taken_up(
    workspace: Workspace, client: KaggleClient, scripted: ScriptedKaggle
) -> None:
    noted(workspace, "sending")
    lists(scripted, MINE)
    found = look_for_attempts(workspace, client, CARD, FILE).taken_up
    assert found is not None and found.ref == 1


@pytest.mark.parametrize("state", ["uploading", "failed"])
def test_an_attempt_that_arrived_is_taken_up_whatever_the_ledger_says(
    workspace: Workspace, client: KaggleClient, scripted: ScriptedKaggle, state: str
) -> None:
    noted(workspace, state)
    lists(scripted, MINE)
    assert look_for_attempts(workspace, client, CARD, FILE).taken_up is not None


def test_an_upload_that_was_cut_off_is_not_waited_for(
    workspace: Workspace, client: KaggleClient, waits: list[float]
) -> None:
    noted(workspace, "uploading")
    assert look_for_attempts(workspace, client, CARD, FILE).taken_up is None
    assert waits == []


def test_a_list_that_lags_behind_is_waited_for(
    workspace: Workspace, client: KaggleClient, scripted: ScriptedKaggle, waits: list[float]
) -> None:
    noted(workspace, "sending")
    looks: list[Seen] = []

    def late(seen: Seen) -> Reply:
        looks.append(seen)
        items = [{"ref": 1, "description": MINE, "status": "COMPLETE"}] if len(looks) > 3 else []
        return Reply(200, {"submissions": items})

    scripted.answers["ListSubmissions"] = late
    told: list[float] = []
    assert look_for_attempts(workspace, client, CARD, FILE, told.append).taken_up is not None
    assert waits == [2.0, 3.0, 5.0]
    assert len(told) == 3


def test_an_attempt_that_is_old_enough_and_not_there_did_not_arrive(
    workspace: Workspace, client: KaggleClient, waits: list[float]
) -> None:
    noted(workspace, "sending", listed=0, counted=4)
    assert look_for_attempts(workspace, client, CARD, FILE).taken_up is None
    assert 55 < sum(waits) <= 60, "it was entered this moment, so the list is watched for so long"


def test_while_the_server_counts_more_than_it_lists_nothing_is_sent(
    workspace: Workspace, client: KaggleClient, scripted: ScriptedKaggle, waits: list[float]
) -> None:
    noted(workspace, "sending", listed=0, counted=3)
    with pytest.raises(OutcomeUnknown, match="counts a submission that its list does not show yet"):
        look_for_attempts(workspace, client, CARD, FILE)
    lists(scripted, "somebody else's of our team")
    assert look_for_attempts(workspace, client, CARD, FILE).taken_up is None


def test_what_is_scored_or_was_sent_from_elsewhere_is_refused(
    workspace: Workspace, client: KaggleClient, scripted: ScriptedKaggle
) -> None:
    lists(scripted, THEIRS)
    for _ in range(2):
        with pytest.raises(AlreadySubmitted, match="was sent to practice/coins before"):
            look_for_attempts(workspace, client, CARD, FILE)
        noted(workspace, "failed")
    with pytest.raises(AlreadySubmitted):
        refuse_if_sent(client, CARD, FILE)
    lists(scripted, MINE)
    noted(workspace, "sent", public_score=0.5)
    with pytest.raises(AlreadySubmitted):
        look_for_attempts(workspace, client, CARD, FILE)


def test_what_could_not_be_scored_may_be_sent_again(
    workspace: Workspace, client: KaggleClient, scripted: ScriptedKaggle
) -> None:
    noted(workspace, "sent")
    lists(scripted, MINE, status="ERROR")
    assert look_for_attempts(workspace, client, CARD, FILE).taken_up is None
    refuse_if_sent(client, CARD, FILE)

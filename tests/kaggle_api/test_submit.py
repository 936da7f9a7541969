"""Never two slots spent, never a failure that looks like a success."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from local_kaggle import HANG_UP, Reply, ScriptedKaggle, Seen

from kagglerun.errors import CompetitionNotFound, ConnectionFailed, KaggleError, OutcomeUnknown, UploadFailed
from kagglerun.kaggle_api.records import SubmissionState
from kagglerun.kaggle_api.submit import (
    attempt_of,
    describe,
    find_sent,
    look_for,
    mark_of,
    require_scored,
    run_of,
    send,
    wait_for_score,
)

SHA = "ab" * 32
NO_WAITS = (0.0, 0.0)


class Inbox:
    """Submissions that the scripted server has taken."""

    def __init__(self, scripted: ScriptedKaggle) -> None:
        self.scripted = scripted
        self.taken: list[dict[str, Any]] = []
        scripted.answers["StartSubmissionUpload"] = Reply(200, {"token": "t", "createUrl": f"{scripted.url}/blob"})
        scripted.answers["blob"] = Reply(200)
        scripted.answers["ListSubmissions"] = lambda _: Reply(200, {"submissions": self.taken})
        self.reply_with(None)

    def take(self, seen: Seen) -> dict[str, Any]:
        item = {"ref": 7, "description": seen.json["submissionDescription"], "fileName": "s.csv", "status": "PENDING"}
        self.taken.append(item)
        return item

    def reply_with(self, reply: Reply | None, take: bool = True) -> None:
        def create(seen: Seen) -> Reply:
            item = self.take(seen) if take else {"ref": 7}
            return reply or Reply(200, {"message": "Successfully submitted", "ref": item["ref"]})

        self.scripted.answers["CreateSubmission"] = create


@pytest.fixture
def inbox(scripted: ScriptedKaggle) -> Inbox:
    return Inbox(scripted)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "s.csv"
    path.write_text("id,face\n1,heads\n")
    return path


def _send(inbox: Inbox, file: Path) -> Any:
    return send(inbox.scripted.client(), "coins", file, describe("words", SHA, "run-1"), NO_WAITS)


def test_description_carries_words_run_and_mark() -> None:
    assert describe("  two\nwords ", SHA, "run-1").startswith(f"two words [run:run-1 sha256:{SHA[:16]} try:")
    assert describe("", SHA).startswith(f"[sha256:{SHA[:16]} try:")
    assert describe("", SHA) != describe("", SHA), "attempts can be told apart"
    assert mark_of(SHA) in describe("x" * 5000, SHA, "run-1")
    assert len(describe("x" * 5000, SHA, "run-1")) < 300


def test_a_submission_is_made_once(inbox: Inbox, file: Path) -> None:
    assert _send(inbox, file).ref == 7
    assert len(inbox.taken) == 1


@pytest.mark.parametrize("lost", [HANG_UP, Reply(502), Reply(200, b"<html>"), Reply(200, {"message": "ok"})])
def test_a_lost_reply_finds_the_submission_in_the_list(
    inbox: Inbox, file: Path, no_waiting: list[float], lost: Reply
) -> None:
    inbox.reply_with(lost)
    assert _send(inbox, file).ref == 7
    assert len(inbox.taken) == 1, "one slot, not two"


@pytest.mark.parametrize("lost", [HANG_UP, Reply(502), Reply(200, {"message": "Successfully submitted"})])
def test_a_reply_without_a_submission_is_no_success(
    inbox: Inbox, file: Path, no_waiting: list[float], lost: Reply
) -> None:
    inbox.reply_with(lost, take=False)
    with pytest.raises(OutcomeUnknown, match="not in the list of submissions"):
        _send(inbox, file)
    assert len(inbox.scripted.calls("CreateSubmission")) == 1


def test_an_earlier_attempt_with_the_same_file_is_not_taken_for_this_one(
    inbox: Inbox, file: Path, no_waiting: list[float]
) -> None:
    earlier = {"ref": 3, "description": describe("words", SHA, "run-1"), "status": "ERROR"}
    inbox.taken.append(earlier)
    inbox.reply_with(HANG_UP, take=False)
    with pytest.raises(OutcomeUnknown):
        _send(inbox, file)
    assert find_sent(inbox.scripted.client(), "coins", SHA) is None, "it could not be scored, so it may be sent again"


def test_a_list_that_lags_behind_is_read_again(inbox: Inbox, file: Path, no_waiting: list[float]) -> None:
    lists = [[], [], None]

    def listed(_: Seen) -> Reply:
        late = lists.pop(0)
        return Reply(200, {"submissions": inbox.taken if late is None else late})

    inbox.reply_with(HANG_UP)
    inbox.scripted.answers["ListSubmissions"] = listed
    record = send(inbox.scripted.client(), "coins", file, describe("", SHA), (0.0, 1.0, 1.0))
    assert record.ref == 7


def test_not_knowing_is_said(inbox: Inbox, file: Path, no_waiting: list[float]) -> None:
    inbox.reply_with(HANG_UP)
    inbox.scripted.answers["ListSubmissions"] = HANG_UP
    with pytest.raises(ConnectionFailed, match="not known whether") as caught:
        _send(inbox, file)
    assert "list of submissions before it sends" in str(caught.value.hint)


def test_a_broken_upload_spends_nothing_and_says_so(inbox: Inbox, file: Path, no_waiting: list[float]) -> None:
    inbox.scripted.answers["StartSubmissionUpload"] = HANG_UP
    with pytest.raises(UploadFailed, match="no submission was made"):
        _send(inbox, file)
    assert inbox.scripted.calls("ListSubmissions") == []


def test_only_the_mark_of_this_file_is_found(inbox: Inbox, file: Path) -> None:
    _send(inbox, file)
    assert find_sent(inbox.scripted.client(), "coins", SHA) is not None
    assert find_sent(inbox.scripted.client(), "coins", "cd" * 32) is None


def test_the_score_is_awaited_through_broken_connections(inbox: Inbox, no_waiting: list[float]) -> None:
    pending, done = {"ref": 7, "status": "PENDING"}, {"ref": 7, "status": "COMPLETE", "publicScore": "0.5"}
    replies = [Reply(200, pending), HANG_UP, HANG_UP, HANG_UP, Reply(200, pending), Reply(200, done)]
    inbox.scripted.answers["GetSubmission"] = lambda _: replies.pop(0)
    told: list[float] = []
    record = wait_for_score(inbox.scripted.client(), "coins", 7, waiting=told.append)
    assert (record.state, record.public_score) == (SubmissionState.COMPLETE, 0.5)
    assert len(told) == 3


def test_a_score_that_takes_too_long_is_still_pending(inbox: Inbox) -> None:
    inbox.scripted.answers["GetSubmission"] = Reply(200, {"ref": 7, "status": "PENDING"})
    assert wait_for_score(inbox.scripted.client(), "coins", 7, timeout_seconds=0).state is SubmissionState.PENDING


def test_a_file_that_cannot_be_scored_is_an_error_with_the_reason(inbox: Inbox) -> None:
    wrong = {"ref": 7, "status": "ERROR", "errorDescription": "Submission must have 3 rows"}
    inbox.scripted.answers["GetSubmission"] = Reply(200, wrong)
    record = wait_for_score(inbox.scripted.client(), "coins", 7)
    with pytest.raises(KaggleError, match="must have 3 rows"):
        require_scored(record, "coins")


def test_run_and_attempt_are_read_from_a_description() -> None:
    told = describe("[run:x try:ffffffff", SHA, "run-1")
    assert run_of(told) == "run-1"
    assert attempt_of(told) == told[-9:-1]
    assert (run_of("by hand"), attempt_of("by hand")) == (None, None)


@pytest.mark.parametrize("ref", [7, 8])
def test_a_success_is_believed_when_the_submission_is_seen(
    inbox: Inbox, file: Path, no_waiting: list[float], ref: int
) -> None:
    inbox.reply_with(Reply(200, {"message": "Successfully submitted", "ref": ref}), take=ref == 8)
    if ref == 8:  # the number is wrong and the submission is there
        assert _send(inbox, file).ref == 7
    else:
        with pytest.raises(OutcomeUnknown, match="is submission 7 to coins, but it has no such submission"):
            _send(inbox, file)


def test_the_number_of_another_attempt_is_not_ours(inbox: Inbox, file: Path, no_waiting: list[float]) -> None:
    theirs = {"ref": 7, "status": "COMPLETE", "description": describe("", SHA)}
    inbox.scripted.answers["GetSubmission"] = Reply(200, theirs)
    assert look_for(inbox.scripted.client(), "coins", describe("", SHA), 7, NO_WAITS) is None


def test_the_upload_is_tried_again_and_entering_is_not(inbox: Inbox, file: Path, no_waiting: list[float]) -> None:
    begins = [HANG_UP, Reply(503), inbox.scripted.answers["StartSubmissionUpload"]]
    inbox.scripted.answers["StartSubmissionUpload"] = lambda _: begins.pop(0)  # type: ignore[return-value]
    uploads = [HANG_UP, Reply(502), Reply(200)]
    inbox.scripted.answers["blob"] = lambda _: uploads.pop(0)
    inbox.reply_with(Reply(503))
    assert _send(inbox, file).ref == 7
    assert len(inbox.scripted.calls("CreateSubmission")) == 1


def test_what_stops_it_before_it_is_entered_spends_nothing(inbox: Inbox, file: Path) -> None:
    def stop() -> None:
        raise KaggleError("no")

    with pytest.raises(KaggleError, match="no"):
        send(inbox.scripted.client(), "coins", file, describe("", SHA), NO_WAITS, stop)
    assert inbox.scripted.calls("CreateSubmission") == []


def test_a_submission_that_is_gone_is_not_awaited_for_ever(inbox: Inbox, no_waiting: list[float]) -> None:
    with pytest.raises(CompetitionNotFound):
        wait_for_score(inbox.scripted.client(), "coins", 7)


def test_an_error_in_scoring_tells_what_it_usually_means(inbox: Inbox) -> None:
    wrong = {"ref": 7, "status": "ERROR", "errorDescription": "Evaluation Exception: Submission must have 418 rows"}
    inbox.scripted.answers["GetSubmission"] = Reply(200, wrong)
    record = wait_for_score(inbox.scripted.client(), "coins", 7)
    with pytest.raises(KaggleError) as caught:
        require_scored(record, "coins")
    assert "take the rows of the sample submission" in str(caught.value.hint)

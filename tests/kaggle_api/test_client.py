"""The official client behind our door: what it says, what it must not do, and every failure with its next step."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
from local_kaggle import HANG_UP, KEY, Reply, ScriptedKaggle, Seen, host_coins

from kagglerun.errors import (
    AllowanceUsedUp,
    CompetitionNotFound,
    ConnectionFailed,
    CredentialsMissing,
    CredentialsRejected,
    KagglerunError,
    RateLimited,
    RulesNotAccepted,
    UploadFailed,
)
from kagglerun.kaggle_api.client import KaggleClient
from kagglerun.kaggle_api.credentials import Credentials
from kagglerun.kaggle_api.failures import Asked, as_error
from kagglerun.kaggle_api.records import SubmissionState
from kagglerun.workspace import Workspace

COMPETITION = {
    "ref": "https://www.kaggle.com/competitions/coins",
    "title": "Coins",
    "deadline": "2030-01-31T23:59:00Z",
    "maxDailySubmissions": 7,
    "evaluationMetric": "Categorization Accuracy",
    "isKernelsSubmissionsOnly": True,
    "submissionsDisabled": True,
    "userHasEntered": True,
}


def _failed(status: int, message: str, **headers: str) -> Reply:
    return Reply(status, {"code": status, "message": message}, headers)


def test_facts_carry_what_the_server_says(scripted: ScriptedKaggle) -> None:
    scripted.answers["GetCompetition"] = Reply(200, COMPETITION)
    facts = scripted.client().facts("coins")
    assert (facts.slug, facts.title, facts.max_daily_submissions) == ("coins", "Coins", 7)
    assert facts.deadline == "2030-01-31T23:59:00Z"
    assert facts.evaluation_metric == "Categorization Accuracy"
    assert facts.notebooks_only and facts.submissions_disabled and facts.user_has_entered
    assert scripted.seen[0].path == "/api/v1/competitions.CompetitionApiService/GetCompetition"
    assert scripted.seen[0].json == {"competitionName": "coins"}


def test_facts_bring_the_pages_texts_and_the_leaderboards_ends(scripted: ScriptedKaggle) -> None:
    scripted.answers["GetCompetition"] = Reply(200, COMPETITION)
    pages = [{"name": "Evaluation", "content": "<p>Scored by <b>accuracy</b></p>"}, {"name": "rules", "content": ""}]
    scripted.answers["ListCompetitionPages"] = Reply(200, {"pages": pages})
    board = [{"teamName": "a", "score": "0.9"}, {"teamName": "b", "score": "-"}, {"teamName": "c", "score": "0.2"}]
    scripted.answers["GetLeaderboard"] = Reply(200, {"submissions": board, "nextPageToken": "more"})
    facts = scripted.client().facts("coins")
    assert facts.pages == {"evaluation": "Scored by accuracy"}
    assert (facts.leaderboard_first, facts.leaderboard_last) == (0.9, 0.2)
    assert len(scripted.calls("GetLeaderboard")) == 1


@pytest.mark.parametrize("status", [401, 403, 404])
def test_pages_and_leaderboard_may_be_refused(scripted: ScriptedKaggle, status: int) -> None:
    scripted.answers["GetCompetition"] = Reply(200, COMPETITION)
    for call in ("ListCompetitionPages", "GetLeaderboard"):
        scripted.answers[call] = _failed(status, "You must accept this competition's rules")
    facts = scripted.client().facts("coins")
    assert (facts.pages, facts.leaderboard_first, facts.leaderboard_last) == ({}, None, None)


def test_brief_facts_are_one_call(scripted: ScriptedKaggle) -> None:
    scripted.answers["GetCompetition"] = Reply(200, COMPETITION)
    assert scripted.client().facts("coins", brief=True).title == "Coins"
    assert [seen.call for seen in scripted.seen] == ["GetCompetition"]


def test_lists_are_read_page_after_page(scripted: ScriptedKaggle) -> None:
    def page(seen: Seen) -> Reply:
        start = int(seen.json.get("pageToken", 0))
        files = [{"name": f"{index}.csv", "totalBytes": index} for index in range(start, start + 3)]
        return Reply(200, {"files": files, "nextPageToken": str(start + 3) if start < 6 else ""})

    scripted.answers["ListDataFiles"] = page
    assert [file.name for file in scripted.client().files("coins")] == [f"{index}.csv" for index in range(9)]
    assert len(scripted.client().files("coins", at_most=2)) == 3


def test_submissions_are_read_with_scores_and_times_in_utc(scripted: ScriptedKaggle) -> None:
    listed = [
        {"ref": 2, "status": "PENDING", "date": "2026-03-04T05:06:07Z", "fileName": "a.csv", "description": "d"},
        {"ref": 1, "status": "COMPLETE", "publicScore": "0.875", "privateScore": "", "date": "2026-03-03T00:00:00Z"},
        {"ref": 0, "status": "ERROR", "errorDescription": "bad header"},
    ]
    scripted.answers["ListSubmissions"] = Reply(200, {"submissions": listed})
    pending, complete, wrong = scripted.client().submissions("coins")
    assert pending.date == datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    assert (pending.state, pending.public_score) == (SubmissionState.PENDING, None)
    assert (complete.public_score, complete.private_score) == (0.875, None)
    assert (wrong.state, wrong.error) == (SubmissionState.ERROR, "bad header")


def test_importing_the_official_client_does_nothing_else(tmp_path: Path) -> None:
    """It signs in on import, prints, makes folders, and its exit() closes standard input."""
    program = """
import os, sys
before = dict(os.environ)
from kagglerun.kaggle_api.client import _official_api_class
assert _official_api_class().__name__ == "KaggleApi"
assert _official_api_class() is _official_api_class()
assert dict(os.environ) == before
assert not sys.stdin.closed and sys.stdin.read() == "typed"
assert "kaggle" not in sys.modules
"""
    environment = {
        "HOME": str(tmp_path),
        "PATH": "/usr/bin:/bin",
        "KAGGLE_API_TOKEN": KEY,
        "http_proxy": "http://127.0.0.1:9",
    }
    done = subprocess.run(
        [sys.executable, "-c", program], input="typed", env=environment, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_the_users_credentials_never_go_to_the_practice_server(
    scripted: ScriptedKaggle, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"KAGGLE_API_TOKEN": "mine", "KAGGLE_USERNAME": "me", "KAGGLE_KEY": "mine"}.items():
        monkeypatch.setenv(name, value)
    (Path.home() / ".netrc").write_text("machine 127.0.0.1 login me password mine\n")
    scripted.answers["GetCompetition"] = Reply(200, COMPETITION)
    scripted.client().facts("coins")
    assert "mine" not in str(scripted.seen)
    with pytest.raises(CredentialsMissing):
        KaggleClient(scripted.url)


def test_a_proxy_is_not_asked_for_the_practice_server(
    scripted: ScriptedKaggle, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    scripted.answers["GetCompetition"] = Reply(200, COMPETITION)
    assert scripted.client().facts("coins").title == "Coins"


def test_kaggle_is_kaggle_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
    client = KaggleClient(credentials=Credentials("a test", token="t"))
    address = client.official().http_client()._get_request_url("competitions.CompetitionApiService", "GetCompetition")
    assert address == "https://api.kaggle.com/v1/competitions.CompetitionApiService/GetCompetition"


def test_a_kept_login_gives_its_token() -> None:
    kept = {"refresh_token": "r", "access_token": "t-kept", "access_token_expiration": "2999-01-01T00:00:00+00:00"}
    (Path.home() / ".kaggle").mkdir()
    (Path.home() / ".kaggle" / "credentials.json").write_text(json.dumps(kept))
    session = KaggleClient()._http()
    prepared = session.prepare_request(requests.Request("POST", "https://api.kaggle.com/v1"))
    assert prepared.headers["Authorization"] == "Bearer t-kept"


def test_no_credentials_for_kaggle_is_an_error_before_any_request() -> None:
    with pytest.raises(CredentialsMissing, match="no Kaggle credentials"):
        KaggleClient().facts("titanic")


@pytest.mark.parametrize(
    ("reply", "error", "says", "next_step"),
    [
        (_failed(401, "Unauthenticated"), CredentialsRejected, "does not accept", "practice"),
        (
            _failed(403, "You must accept this competition's rules before you'll be able to download files."),
            RulesNotAccepted,
            "rules of practice/coins",
            "kagglerun practice accept coins",
        ),
        (_failed(403, "Permission 'competitions.get' was denied"), CompetitionNotFound, "no competition", "list"),
        (_failed(404, "Not found"), CompetitionNotFound, "'coins'", "kagglerun practice list"),
        (_failed(429, "Too many", **{"Retry-After": "125"}), RateLimited, "too many requests", "wait 125 seconds"),
        (
            _failed(400, "Submission not allowed: Your team has used its daily Submission allowance (5) today"),
            AllowanceUsedUp,
            "allowance (5)",
            "midnight UTC",
        ),
        (_failed(500, "oops"), ConnectionFailed, "status 500", "try again"),
        (Reply(200, b"<html>log in to this wifi</html>"), ConnectionFailed, "not understood", "try again"),
        (HANG_UP, ConnectionFailed, "broke off", "practice start"),
    ],
)
def test_every_failure_has_its_next_step(
    scripted: ScriptedKaggle,
    no_waiting: list[float],
    reply: Reply,
    error: type[KagglerunError],
    says: str,
    next_step: str,
) -> None:
    scripted.answers["GetCompetition"] = reply
    with pytest.raises(error) as caught:
        scripted.client().facts("coins")
    assert says in caught.value.message
    assert next_step in str(caught.value.hint)
    assert len(caught.value.message.splitlines()) <= 2


def test_on_kaggle_the_rules_page_is_named() -> None:
    response = requests.Response()
    response.status_code = 403
    response._content = b'{"code": 403, "message": "You must accept this competition\'s rules"}'
    error = as_error(requests.HTTPError(response=response), Asked("titanic", None, None))
    assert isinstance(error, RulesNotAccepted)
    assert "https://www.kaggle.com/competitions/titanic/rules" in str(error.hint)


def test_no_server_and_no_name_are_told_apart(no_waiting: list[float]) -> None:
    key = Credentials("a test", username="practice", key=KEY)
    with pytest.raises(ConnectionFailed, match="failed or broke off"):
        KaggleClient("http://127.0.0.1:9", key).facts("coins")
    with pytest.raises(ConnectionFailed, match="cannot be found"):
        KaggleClient("http://no-such-host.invalid", key).facts("coins")


def test_a_server_that_does_not_answer_is_given_up(
    scripted: ScriptedKaggle, no_waiting: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()

    def sleep(_: Seen) -> Reply:
        released.wait(20)
        return HANG_UP

    scripted.answers["GetCompetition"] = sleep
    monkeypatch.setattr("kagglerun.kaggle_api.transport.READ_SECONDS", 0.1)
    with pytest.raises(ConnectionFailed, match="in time"):
        scripted.client().facts("coins")
    released.set()


def test_reads_are_repeated_when_the_server_asks_to_wait(scripted: ScriptedKaggle, no_waiting: list[float]) -> None:
    replies = [_failed(429, "wait", **{"Retry-After": "3"}), _failed(503, "busy"), Reply(200, COMPETITION)]
    scripted.answers["GetCompetition"] = lambda _: replies.pop(0)
    assert scripted.client().facts("coins").title == "Coins"
    assert no_waiting == [3.0, 1.0]


def test_a_secret_that_the_server_repeats_is_not_shown(scripted: ScriptedKaggle) -> None:
    scripted.answers["GetCompetition"] = _failed(418, f"key {KEY} at https://storage/x?signature=s3cret is odd")
    with pytest.raises(KagglerunError) as caught:
        scripted.client().facts("coins")
    assert KEY not in caught.value.message and "s3cret" not in caught.value.message


def _accept_upload(scripted: ScriptedKaggle) -> None:
    scripted.answers["StartSubmissionUpload"] = Reply(200, {"token": "t", "createUrl": f"{scripted.url}/put/blob"})
    scripted.answers["blob"] = Reply(200)


def test_submitting_uploads_and_creates(scripted: ScriptedKaggle, tmp_path: Path) -> None:
    file = tmp_path / "submission.csv"
    file.write_text("id,face\n1,heads\n")
    _accept_upload(scripted)
    scripted.answers["CreateSubmission"] = Reply(200, {"message": "Successfully submitted", "ref": 17})
    assert scripted.client().submit("coins", file, "words") == 17
    start, put, create = scripted.seen
    assert start.json["fileName"] == "submission.csv" and start.json["contentLength"] == 16
    assert put.body == file.read_bytes()
    assert "Authorization" not in put.headers and "Content-Type" not in put.headers
    assert create.json == {"competitionName": "coins", "blobFileTokens": "t", "submissionDescription": "words"}


@pytest.mark.parametrize("put", [Reply(500), Reply(403), Reply(308), HANG_UP])
def test_a_failed_upload_is_an_error_and_creates_nothing(
    scripted: ScriptedKaggle, tmp_path: Path, no_waiting: list[float], put: Reply, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "submission.csv"
    file.write_text("id,face\n")
    _accept_upload(scripted)
    scripted.answers["blob"] = put
    with pytest.raises(UploadFailed, match="no submission was made"):
        scripted.client().submit("coins", file, "words")
    assert scripted.calls("CreateSubmission") == []
    assert capsys.readouterr() == ("", "")


def test_a_lost_reply_to_a_submission_is_not_repeated(scripted: ScriptedKaggle, tmp_path: Path) -> None:
    file = tmp_path / "submission.csv"
    file.write_text("id,face\n")
    _accept_upload(scripted)
    scripted.answers["CreateSubmission"] = HANG_UP
    with pytest.raises(ConnectionFailed):
        scripted.client().submit("coins", file, "words")
    assert len(scripted.calls("CreateSubmission")) == 1


def test_the_practice_server_is_spoken_to_by_the_same_client(practice_workspace: Workspace, tmp_path: Path) -> None:
    client = host_coins(practice_workspace, "spoken")
    assert client.facts("spoken").evaluation_metric is not None
    assert {file.name for file in client.files("spoken")} == {"train.csv", "test.csv", "sample_submission.csv"}
    with client.open_file("spoken", "sample_submission.csv") as download:
        sample = b"".join(download.whole().pieces())
    assert len(sample) == download.identity.total
    assert download.file_name == "sample_submission.csv"
    file = tmp_path / "submission.csv"
    file.write_bytes(sample)
    ref = client.submit("spoken", file, "the sample")
    assert client.submission("spoken", ref).description == "the sample"
    assert client.limits("spoken").today == 1


def test_a_wrong_slug_is_not_found_on_the_practice_server(practice_workspace: Workspace) -> None:
    client = host_coins(practice_workspace, "right")
    with pytest.raises(CompetitionNotFound, match="'wrong'"):
        client.facts("wrong")

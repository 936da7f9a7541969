"""Each fault of uploads and submissions as a client sees it on the wire, and what the server did meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from kagglerun.errors import ConfigError
from kagglerun.practice.faults import read_fault
from kagglerun.practice.paths import PracticePaths
from kagglerun.practice.server import ensure_running, set_faults, stop
from kagglerun.workspace import Workspace
from tests.practice.small import SERVICE, Client, small_competition

_SLUG = "sent"


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server of this module's own, since faults hit whoever comes."""
    workspace = Workspace(tmp_path_factory.mktemp("faulty"))
    paths = PracticePaths(workspace.practice)
    small_competition(paths, _SLUG, daily=500)
    small_competition(paths, "scarce", daily=3)
    yield Client(ensure_running(workspace), paths)
    stop(workspace)


@pytest.fixture(autouse=True)
def no_faults_left(faulty: Client) -> Iterator[None]:
    yield
    set_faults(faulty.server, ())


def order(client: Client, *specs: str) -> None:
    set_faults(client.server, [read_fault(spec) for spec in specs])


def create(client: Client, slug: str = _SLUG, wait: float = 20.0) -> requests.Response:
    token = client.upload(slug, client.perfect(slug).encode())
    address = f"{client.server.url}/api/v1/{SERVICE}/CreateSubmission"
    body = {"competitionName": slug, "blobFileTokens": token}
    return client.session.post(address, json=body, timeout=wait)


def count(client: Client, slug: str = _SLUG) -> int:
    return len(client.ask("ListSubmissions", competitionName=slug, pageSize=200).get("submissions", []))


@pytest.mark.parametrize("spec", ["api-lost", "api-lost-half", "api-lost-stall"])
def test_an_answer_is_lost_after_the_call_was_carried_out(faulty: Client, spec: str) -> None:
    before = count(faulty)
    order(faulty, f"{spec}@CreateSubmission")
    with pytest.raises(requests.RequestException):
        create(faulty, wait=0.3)
    assert count(faulty) == before + 1


@pytest.mark.parametrize(
    ("spec", "status"), [("api-lost-error=504", 504), ("api-lost-error", 502), ("api-lost-html", 200)]
)
def test_another_answer_comes_after_the_call_was_carried_out(faulty: Client, spec: str, status: int) -> None:
    before = count(faulty)
    order(faulty, f"{spec}@CreateSubmission")
    answer = create(faulty)
    assert answer.status_code == status
    assert b"ref" not in answer.content
    assert count(faulty) == before + 1


def put(client: Client, slug: str = _SLUG, wait: float = 20.0) -> tuple[str, requests.Response | None]:
    """Announce and upload a file. Returns its token and the answer; None where none came."""
    content = client.perfect(slug).encode()
    begun = client.ask("StartSubmissionUpload", competitionName=slug, fileName="s.csv", contentLength=len(content))
    try:
        with requests.Session() as session:
            session.trust_env = False
            return begun["token"], session.put(begun["createUrl"], data=content, timeout=wait)
    except requests.RequestException:
        return begun["token"], None


@pytest.mark.parametrize(
    ("spec", "status", "arrives"),
    [
        ("upload-break=0", None, False),
        ("upload-break", None, False),
        ("upload-stall=10", None, False),
        ("upload-error=500", 500, False),
        ("upload-html", 200, False),
        ("upload-lost", None, True),
        ("upload-lost-stall", None, True),
        ("upload-lost-error=503", 503, True),
    ],
)
def test_an_upload_arrives_or_not_whatever_is_answered(
    faulty: Client, spec: str, status: int | None, arrives: bool
) -> None:
    order(faulty, spec)
    token, answer = put(faulty, wait=0.3 if "stall" in spec else 20)
    assert (None if answer is None else answer.status_code) == status
    assert faulty.paths.upload(token).is_file() == arrives
    created = faulty.call("CreateSubmission", competitionName=_SLUG, blobFileTokens=token)
    assert created.status_code == (200 if arrives else 400)


def test_an_upload_is_good_again_after_its_fault(faulty: Client) -> None:
    order(faulty, "upload-error")
    assert put(faulty)[1].status_code == 503  # type: ignore[union-attr]
    assert put(faulty)[1].status_code == 200  # type: ignore[union-attr]


def test_the_allowance_is_used_up_just_before_a_submission(faulty: Client) -> None:
    order(faulty, "used-up")
    refused = create(faulty, "scarce")
    assert refused.status_code == 400
    assert "has used its daily Submission allowance (3)" in refused.json()["message"]
    theirs = faulty.ask("ListSubmissions", competitionName="scarce")["submissions"]
    assert [one["description"] for one in theirs] == ["another client's"] * 3


@pytest.mark.parametrize(("spec", "ref"), [("hollow", 0), ("hollow=999", 999)])
def test_a_hollow_success_makes_no_submission(faulty: Client, spec: str, ref: int) -> None:
    before = count(faulty)
    order(faulty, spec)
    answer = create(faulty)
    assert (answer.status_code, answer.json()["ref"]) == (200, ref)
    assert answer.json()["message"] == "Successfully submitted to Small"
    assert count(faulty) == before


def test_answers_lag_behind_submissions_that_came_since(faulty: Client) -> None:
    before = count(faulty)
    total = faulty.ask("GetSubmissionLimits", competitionName=_SLUG)["numTotal"]
    order(faulty, "lag@ListSubmissions*2", "lag@GetSubmissionLimits", "lag@GetSubmission")
    ref = create(faulty).json()["ref"]
    assert [count(faulty) - before for _ in range(3)] == [0, 0, 1]
    totals = [faulty.ask("GetSubmissionLimits", competitionName=_SLUG)["numTotal"] for _ in range(2)]
    assert totals == [total, total + 1]
    assert faulty.call("GetSubmission", ref=ref).status_code == 404
    assert faulty.call("GetSubmission", ref=ref).status_code == 200


def test_which_upload_cannot_be_picked(faulty: Client) -> None:
    with pytest.raises(ConfigError, match="hits every upload"):
        read_fault("upload-break@whole")
    assert str(read_fault("api-lost-error=504@CreateSubmission*2")) == "api-lost-error=504@CreateSubmission*2"

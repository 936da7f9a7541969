"""`kagglerun submit` as a user types it: real files, a real server, real refusals."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from local_kaggle import FACTS, HANG_UP, TABLES, Reply, ScriptedKaggle, Seen, host_coins, practice_client, zip_of

from kagglerun.cli import connect
from kagglerun.cli.main import run
from kagglerun.errors import DiskFull
from kagglerun.experiment.predictions import Predictions, write_predictions
from kagglerun.experiment.runs import summarise
from kagglerun.files import write_json, write_text
from kagglerun.kaggle_api.submit import wait_for_score
from kagglerun.practice.paths import PracticePaths
from kagglerun.practice.server import stop
from kagglerun.submission.ledger import read_ledger
from kagglerun.workspace import RunPaths, Workspace

Capture = pytest.CaptureFixture[str]
MakeCoins = Callable[..., str]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """One workspace and practice server for all tests of this file."""
    found = Workspace(tmp_path_factory.mktemp("served"))
    found.competitions.mkdir()
    found.sweeps.mkdir()
    yield found
    stop(found)


@pytest.fixture
def make_coins(served: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> MakeCoins:
    """Host and fetch a competition of the test's own, which becomes the current one."""
    monkeypatch.setenv("KAGGLERUN_WORKSPACE", str(served.root))
    monkeypatch.setenv("KAGGLERUN_MLFLOW_URI", "none")

    def make(daily: int = 5) -> str:
        slug = f"coins-{len(list(served.competitions.iterdir()))}"
        host_coins(served, slug, daily=daily)
        assert run(["fetch", f"practice/{slug}"]) == 0
        capsys.readouterr()
        return slug

    return make


def _sample(workspace: Workspace, slug: str) -> pd.DataFrame:
    return pd.read_csv(workspace.competition(slug).data / "sample_submission.csv", dtype=str)


def _file(workspace: Workspace, slug: str, table: pd.DataFrame) -> str:
    path = workspace.root / f"{slug}.csv"
    table.to_csv(path, index=False)
    return str(path)


def _varied(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(face=["heads" if row % 2 else "tails" for row in range(len(table))])


def _finished_run(workspace: Workspace, slug: str, name: str, score: float) -> RunPaths:
    """A run as training leaves it."""
    paths = workspace.run(slug, name)
    ids = pd.read_csv(workspace.competition(slug).data / "test.csv")[["id"]]
    values = np.linspace(0, 1, len(ids))[:, None]
    write_text(paths.config, f"competition: {slug}\n")
    write_json(paths.fingerprint, {"comparable": "same"})
    write_json(paths.status, {"state": "FINISHED", "started": "2026-01-01T00:00:00+00:00"})
    write_json(paths.metrics, {"score": score, "fold_scores": [score], "metric": "accuracy", "greater_is_better": True})
    write_predictions(paths.test, Predictions(ids.iloc[::-1], values, ("face",)))
    return paths


def test_submit_best_sends_the_best_run_and_writes_the_score_everywhere(
    served: Workspace, make_coins: MakeCoins, capsys: Capture
) -> None:
    slug = make_coins()
    _finished_run(served, slug, f"worse-{slug}", 0.6)
    best = _finished_run(served, slug, f"better-{slug}", 0.9)
    assert run(["submit", "best", "--yes", "-m", "a try"]) == 0
    said = capsys.readouterr().out
    assert f"best of 2: run better-{slug}" in said and "OOF accuracy 0.90000" in said
    assert "5 of 5 left today (UTC)" in said and "public score" in said and "private score" in said
    (remote,) = practice_client(served).submissions(slug)
    assert remote.description.startswith(f"a try [run:better-{slug} sha256:")
    assert list(pd.read_csv(best.submission, dtype=str)["id"]) == list(_sample(served, slug)["id"])
    lines = [json.loads(line) for line in best.submissions.read_text().splitlines()]
    assert lines[-1]["public_score"] == remote.public_score is not None
    assert summarise(best).public_score == remote.public_score
    assert "public_score" in best.journal.read_text()
    states = [entry.state for entry in read_ledger(served.ledger) if entry.competition == f"practice/{slug}"]
    assert states == ["uploading", "sending", "sent", "sent"]


def test_the_same_file_is_never_sent_twice(served: Workspace, make_coins: MakeCoins, capsys: Capture) -> None:
    slug = make_coins()
    file = _file(served, slug, _varied(_sample(served, slug)))
    assert run(["submit", file, "--yes"]) == 0
    assert run(["submit", file, "--yes"]) == 3
    assert "was sent to practice/" in capsys.readouterr().err
    served.ledger.rename(served.ledger.with_suffix(".gone"))
    try:
        assert run(["submit", file, "--yes"]) == 3, "the server's list knows it too"
    finally:
        served.ledger.with_suffix(".gone").rename(served.ledger)
    assert len(practice_client(served).submissions(slug)) == 1


def test_a_wrong_row_count_is_refused(served: Workspace, make_coins: MakeCoins, capsys: Capture) -> None:
    slug = make_coins()
    assert run(["submit", _file(served, slug, _sample(served, slug).iloc[:-1]), "--yes"]) == 3
    said = capsys.readouterr().err
    assert "is missing" in said and "the file has 23 rows, the sample submission 24" in said
    assert len(said.splitlines()) <= 3
    assert practice_client(served).submissions(slug) == ()


def test_a_used_up_allowance_is_refused(served: Workspace, make_coins: MakeCoins, capsys: Capture) -> None:
    slug = make_coins(daily=1)
    sample = _sample(served, slug)
    assert run(["submit", _file(served, slug, _varied(sample)), "--yes"]) == 0
    assert run(["submit", _file(served, slug, sample), "--yes"]) == 3
    said = capsys.readouterr().err
    assert "no submission is left today (1 of 1 used today); the count starts again at" in said
    assert len(practice_client(served).submissions(slug)) == 1


def test_without_a_terminal_and_without_yes_nothing_is_sent(
    served: Workspace, make_coins: MakeCoins, capsys: Capture
) -> None:
    slug = make_coins()
    assert run(["submit", _file(served, slug, _varied(_sample(served, slug)))]) == 3
    assert "add --yes" in capsys.readouterr().err
    assert practice_client(served).submissions(slug) == ()


def test_no_wait_returns_with_the_number_and_submissions_lists_it(
    served: Workspace, make_coins: MakeCoins, capsys: Capture
) -> None:
    slug = make_coins()
    assert run(["submit", _file(served, slug, _varied(_sample(served, slug))), "--yes", "--no-wait"]) == 0
    said = capsys.readouterr().out
    assert "submitted: practice/" in said and "score later with: kagglerun submissions" in said
    assert run(["submissions", slug]) == 0
    assert f"{slug}.csv" in (listed := capsys.readouterr().out)
    assert "1 submission; 4 of 5 left today (UTC)" in listed


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nope.csv"], 2, "there is no file 'nope.csv'"),
        (["no-such-run"], 2, "there is no run 'no-such-run'"),
        (["best"], 2, "has no finished run"),
    ],
)
def test_what_does_not_exist_is_named(
    make_coins: MakeCoins, capsys: Capture, arguments: list[str], code: int, says: str
) -> None:
    make_coins()
    assert run(["submit", *arguments, "--yes"]) == code
    assert says in capsys.readouterr().err


def test_a_submission_goes_to_where_the_data_came_from(
    served: Workspace, make_coins: MakeCoins, capsys: Capture
) -> None:
    slug = make_coins()
    file = _file(served, slug, _varied(_sample(served, slug)))
    assert run(["submit", file, "--yes", "--competition", f"kaggle/{slug}"]) == 2
    assert "submissions go there, not to kaggle" in capsys.readouterr().err


@pytest.fixture
def scripted(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedKaggle]:
    """Takes the place of Kaggle; `coins` is fetched from it."""
    server = ScriptedKaggle()
    server.answers["GetCompetition"] = Reply(200, FACTS)
    server.serve_bundle(zip_of(TABLES))
    server.answers["ListSubmissions"] = Reply(200, {})
    server.answers["GetSubmissionLimits"] = Reply(200, {"numToday": 1, "numTotal": 1, "numAllowedNow": 4})
    server.answers["StartSubmissionUpload"] = Reply(200, {"token": "t", "createUrl": f"{server.url}/blob"})
    server.answers["blob"] = Reply(200)
    monkeypatch.setattr(connect, "client_for", lambda *_: server.client())
    assert run(["fetch", "coins"]) == 0
    (workspace.root / "mine.csv").write_text("id,face\n41,heads\n42,tails\n")
    yield server
    server.close()


def test_a_cut_network_is_no_success_and_the_next_try_sends_once(
    scripted: ScriptedKaggle, workspace: Workspace, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kagglerun.kaggle_api.submit.time.sleep", lambda _: None)
    scripted.answers["CreateSubmission"] = HANG_UP
    assert run(["submit", "mine.csv", "--yes"]) == 1
    assert "did not become a submission" in capsys.readouterr().err
    assert [entry.state for entry in read_ledger(workspace.ledger)] == ["uploading", "sending"]
    done = {"ref": 9, "status": "COMPLETE", "publicScore": "0.5", "description": ""}
    scripted.answers["CreateSubmission"] = Reply(200, {"message": "Successfully submitted", "ref": 9})
    scripted.answers["GetSubmission"] = Reply(200, done)
    assert run(["submit", "mine.csv", "--yes"]) == 0
    assert "public score 0.50000   (accuracy)" in capsys.readouterr().out
    assert len(scripted.calls("CreateSubmission")) == 2


def test_an_unknown_outcome_is_looked_up_before_anything_is_sent_again(
    scripted: ScriptedKaggle, workspace: Workspace, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kagglerun.kaggle_api.submit.time.sleep", lambda _: None)
    taken: list[str] = []

    def take(seen: Seen) -> Reply:
        taken.append(seen.json["submissionDescription"])
        scripted.answers["ListSubmissions"] = HANG_UP
        return HANG_UP

    scripted.answers["CreateSubmission"] = take
    assert run(["submit", "mine.csv", "--yes"]) == 1
    assert "it is not known whether mine.csv became a submission" in capsys.readouterr().err
    listed = [{"ref": 9, "status": "COMPLETE", "publicScore": "0.5", "description": taken[0]}]
    scripted.answers["ListSubmissions"] = Reply(200, {"submissions": listed})
    scripted.answers["GetSubmission"] = Reply(200, listed[0])
    assert run(["submit", "mine.csv", "--yes"]) == 0
    said = capsys.readouterr().out
    assert "an earlier try had arrived, nothing was sent again: coins, submission 9" in said
    assert "public score 0.50000" in said
    assert run(["submit", "mine.csv", "--yes"]) == 3
    assert "was sent to coins before" in capsys.readouterr().err
    assert len(taken) == 1


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"isKernelsSubmissionsOnly": True}, "takes notebooks only"),
        ({"submissionsDisabled": True}, "takes no submissions any more"),
        ({"deadline": "2020-01-01T00:00:00Z"}, "the deadline of coins was"),
        ({"userHasEntered": False}, "coins is not entered with this account: its rules are not accepted"),
    ],
)
def test_a_competition_that_takes_no_files_is_refused_before_anything_is_sent(
    scripted: ScriptedKaggle, capsys: Capture, facts: dict[str, object], says: str
) -> None:
    scripted.answers["GetCompetition"] = Reply(200, {**FACTS, **facts})
    assert run(["submit", "mine.csv", "--yes"]) == 3
    assert says in capsys.readouterr().err
    assert scripted.calls("StartSubmissionUpload") == []


def test_a_file_that_cannot_be_scored_is_an_error_with_the_servers_reason(
    scripted: ScriptedKaggle, workspace: Workspace, capsys: Capture
) -> None:
    scripted.answers["CreateSubmission"] = Reply(200, {"message": "Successfully submitted", "ref": 9})
    wrong = {"ref": 9, "status": "ERROR", "errorDescription": "odd values"}
    scripted.answers["GetSubmission"] = Reply(200, wrong)
    assert run(["submit", "mine.csv", "--yes"]) == 1
    assert "submission 9 to coins could not be scored: odd values" in capsys.readouterr().err
    assert read_ledger(workspace.ledger)[-1].state == "failed"


def test_the_ledger_is_written_before_anything_is_sent(scripted: ScriptedKaggle, workspace: Workspace) -> None:
    known: list[list[str]] = []

    def note(_: Seen) -> Reply:
        known.append([entry.state for entry in read_ledger(workspace.ledger)])
        return Reply(400, {"code": 400, "message": "no"})

    scripted.answers["StartSubmissionUpload"] = note
    assert run(["submit", str(Path("mine.csv").resolve()), "--yes"]) == 1
    assert known == [["uploading"]]


def test_a_score_that_was_not_waited_for_comes_with_sync(
    served: Workspace, make_coins: MakeCoins, capsys: Capture
) -> None:
    slug = make_coins()
    best = _finished_run(served, slug, f"only-{slug}", 0.9)
    assert run(["submit", "best", "--yes", "--no-wait"]) == 0
    (sent,) = practice_client(served).submissions(slug)
    wait_for_score(practice_client(served), slug, sent.ref)
    capsys.readouterr()
    assert run(["submissions", slug, "--sync"]) == 0
    said = capsys.readouterr().out
    assert f"submission {sent.ref} (run only-{slug}): public score" in said
    assert "rank 1 of 1 (top 100 %) on the public leaderboard" in said and "1 of them brought up to date" in said
    assert summarise(best).public_score is not None
    assert "public_rank" in best.journal.read_text()
    assert run(["submissions", slug, "--sync"]) == 0
    assert "all scores were known" in capsys.readouterr().out
    assert run(["submit", "best", "--yes"]) == 3, "its score is known by now"


def test_the_same_file_from_another_workspace_is_refused(
    served: Workspace, make_coins: MakeCoins, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slug = make_coins()
    file = _file(served, slug, _varied(_sample(served, slug)))
    elsewhere = Workspace(tmp_path / "elsewhere")
    elsewhere.competitions.mkdir(parents=True)
    elsewhere.sweeps.mkdir()
    elsewhere.practice.parent.mkdir(parents=True, exist_ok=True)
    elsewhere.practice.symlink_to(served.practice)
    monkeypatch.setenv("KAGGLERUN_WORKSPACE", str(elsewhere.root))
    assert run(["fetch", f"practice/{slug}"]) == 0
    assert run(["submit", file, "--yes"]) == 0
    monkeypatch.setenv("KAGGLERUN_WORKSPACE", str(served.root))
    assert run(["submit", file, "--yes"]) == 3
    assert f"{slug}.csv was sent to practice/{slug} before on" in capsys.readouterr().err
    assert len(practice_client(served).submissions(slug)) == 1


def test_check_says_all_and_sends_nothing(served: Workspace, make_coins: MakeCoins, capsys: Capture) -> None:
    slug = make_coins()
    good = _file(served, slug, _varied(_sample(served, slug)))
    assert run(["submit", good, "--check"]) == 0
    assert "nothing is sent" in capsys.readouterr().out
    wrong = _sample(served, slug).assign(face="edge").iloc[:-1]
    assert run(["submit", _file(served, slug, wrong), "--check"]) == 3
    said = capsys.readouterr().out
    assert "error:" in said and "no class" in said and "missing" in said
    assert practice_client(served).submissions(slug) == ()


def test_rules_that_are_not_accepted_are_refused_before_anything_else(
    served: Workspace, make_coins: MakeCoins, capsys: Capture
) -> None:
    slug = make_coins()
    definition = PracticePaths(served.practice).competition(slug).definition
    definition.write_text(definition.read_text().replace('"rules_required": false', '"rules_required": true'))
    stop(served)
    file = _file(served, slug, _varied(_sample(served, slug)))
    assert run(["submit", file, "--yes"]) == 3
    assert f"kagglerun practice accept {slug}" in capsys.readouterr().err
    assert run(["practice", "accept", slug]) == 0
    assert run(["submit", file, "--yes"]) == 0


def test_best_of_what_is_not_there_is_named(make_coins: MakeCoins, capsys: Capture) -> None:
    make_coins()
    for arguments, says in (
        (["x.csv", "--of", "ensemble"], "--of is for `best`"),
        (["best", "--of", "study"], "--of study needs the study's name"),
        (["best", "word"], "'word' is one word too many"),
        (["best", "--of", "study", "nope"], "nope"),
        (["best", "--of", "ensemble"], "has no finished ensemble"),
    ):
        assert run(["submit", *arguments, "--yes"]) == 2
        assert says in capsys.readouterr().err


def test_a_full_disk_after_the_submission_says_that_it_was_made(
    served: Workspace, make_coins: MakeCoins, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    slug = make_coins()
    file = _file(served, slug, _varied(_sample(served, slug)))

    def full(*_: object) -> None:
        raise DiskFull("the disk is full: submissions.jsonl was not written")

    with monkeypatch.context() as patch:
        patch.setattr("kagglerun.submission.send.write_down", full)
        assert run(["submit", file, "--yes"]) == 1
    said = capsys.readouterr().err
    assert "was made, but could not be written down: the disk is full" in said
    assert "it finds the submission and sends nothing" in said
    assert run(["submit", file, "--yes"]) == 0
    assert "an earlier try had arrived, nothing was sent again" in capsys.readouterr().out
    assert len(practice_client(served).submissions(slug)) == 1

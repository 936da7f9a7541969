from __future__ import annotations

from pathlib import Path

import pytest

from kagglerun.cli.main import run
from kagglerun.files import write_text
from kagglerun.workspace import Workspace
from tests.experiment.sync.made_runs import SLUG, content, make_run, make_study, make_workspace


@pytest.fixture(autouse=True)
def without_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLERUN_MLFLOW_URI", "none")


def test_push_and_pull_say_what_they_carried(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(workspace, "one")
    make_run(workspace, "in-work", state="RUNNING")
    make_study(workspace)
    target = str(tmp_path / "target")
    assert run(["sync", "push", target]) == 0
    told = capsys.readouterr()
    assert "1 run, 1 study, 1 run's weights pushed" in told.out
    assert "not pushed before they are finished: in-work" in told.err
    there = make_workspace(tmp_path / "there")
    monkeypatch.setenv("KAGGLERUN_WORKSPACE", str(there.root))
    assert run(["sync", "pull", target, "--weights", "none"]) == 0
    told = capsys.readouterr()
    assert "1 run, 1 study pulled" in told.out
    assert f"kagglerun fetch {SLUG}" in told.out
    assert run(["sync", "pull", target]) == 0
    assert "1 run's weights pulled" in capsys.readouterr().out
    assert content(there.run(SLUG, "one").folder) == content(workspace.run(SLUG, "one").folder)


def test_what_differs_is_an_error_that_names_the_way_out(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = str(tmp_path / "target")
    make_run(workspace, "one", score=0.5)
    assert run(["sync", "push", target]) == 0
    there = make_workspace(tmp_path / "there")
    make_run(there, "one", score=0.6)
    monkeypatch.setenv("KAGGLERUN_WORKSPACE", str(there.root))
    assert run(["sync", "pull", target]) == 1
    told = capsys.readouterr().err
    assert "neither side was changed" in told
    assert f"kagglerun sync pull {target} --replace --only one" in told
    assert run(["sync", "pull", target, "--replace"]) == 2
    assert run(["sync", "pull", target, "--replace", "--only", "one"]) == 0
    assert content(there.run(SLUG, "one").folder) == content(workspace.run(SLUG, "one").folder)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["push"], "no target was named"),
        (["push", "x://y"], "no kind of target"),
        (["push", "/tmp/x", "--weights", "bset"], "did you mean 'best'"),
        (["status"], "no target was named"),
    ],
)
def test_wrong_usage_has_code_2(
    arguments: list[str], message: str, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["sync", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_status_says_what_is_owed(workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_text(workspace.settings, f"sync: {tmp_path / 'target'}\n")
    make_run(workspace, "one")
    assert run(["sync", "status"]) == 0
    assert "2 items are owed" in capsys.readouterr().out
    assert run(["sync", "push"]) == 0
    assert run(["sync", "status"]) == 0
    assert "nothing is owed" in capsys.readouterr().out


def test_a_dry_run_says_what_would_be_done(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(workspace, "one")
    assert run(["sync", "push", str(tmp_path / "target"), "--dry-run"]) == 0
    assert "would be pushed" in capsys.readouterr().out
    assert not (tmp_path / "target").exists()


def test_a_folder_is_meant_from_where_one_is(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(workspace, "one")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run(["sync", "push", "target"]) == 0
    assert (tmp_path / "elsewhere/target/kagglerun-sync.json").is_file()


def test_a_secret_in_a_target_is_not_repeated(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    from kagglerun.experiment.sync import behind

    write_text(workspace.settings, "sync: s3://key:hushhush@bucket/x\n")
    assert run(["sync", "status"]) == 2
    assert run(["sync", "push"]) == 2
    told = capsys.readouterr()
    assert "hushhush" not in told.out + told.err
    behind._push(workspace)
    assert "hushhush" not in "".join(path.read_text() for path in workspace.syncs.iterdir() if path.is_file())

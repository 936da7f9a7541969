"""`kagglerun runs`, `show`, `track sync` and `ui` on runs whose files are there."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from kagglerun.cli.main import run
from kagglerun.files import write_json, write_text
from kagglerun.workspace import RunPaths, Workspace


@pytest.fixture(autouse=True)
def _without_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLERUN_MLFLOW_URI", "none")


def _make(
    workspace: Workspace, run_id: str, score: float | None, comparable: str = "a", slug: str = "titanic", **status: Any
) -> RunPaths:
    """A run's folder as an experiment leaves it; a run without a score is not finished."""
    paths = workspace.run(slug, run_id)
    write_text(paths.config, "seed: 7\nmodel: {kind: image, name: resnet18}\noptimizer: {lr: 0.002}\n")
    number = len(list(workspace.all_runs()))
    state = "FINISHED" if score is not None else "FAILED"
    started = f"2026-01-01T00:00:{number:02}+00:00"
    write_json(paths.status, {"state": state, "started": started, "study": "baseline", "error": None, **status})
    write_json(paths.fingerprint, {"comparable": comparable, "data": "0123456789abcdef"})
    if score is not None:
        scores = {"score": score, "fold_scores": [score - 0.01, score + 0.01], "metric": "accuracy"}
        spread = {"fold_score_mean": score, "fold_score_std": 0.01, "notes": ["two rows were dropped"]}
        write_json(paths.metrics, {**scores, **spread, "greater_is_better": True, "seconds": 12.5})
    return paths


def test_runs_lists_the_best_first_and_marks_it(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    for run_id, score in (("one", 0.8), ("two", 0.9), ("three", 0.7), ("four", None)):
        _make(workspace, run_id, score)
    assert run(["runs", "titanic"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["★", "one", "three", "four", "★"]
    assert "with 95 % at least" in lines[-1]
    assert "0.90000" in lines[2]
    assert "0.01000" in lines[2]
    assert "failed" in lines[5]


def test_runs_that_cannot_be_compared_are_left_out_and_counted(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    _make(workspace, "old", 0.99, comparable="old data")
    _make(workspace, "new", 0.8)
    run(["runs"])
    said = capsys.readouterr().out
    assert "0.99" not in said
    assert "left out, with other data, folds or metric than the newest run: 1 finished" in said
    run(["runs", "--all"])
    assert "0.99" in capsys.readouterr().out


def test_runs_as_json_are_all_runs(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    _make(workspace, "old", 0.99, comparable="old data")
    _make(workspace, "new", 0.8, slug="digits")
    run(["runs", "--json"])
    assert {item["run_id"] for item in json.loads(capsys.readouterr().out)} == {"old", "new"}


def test_a_run_whose_process_is_gone_is_shown_as_killed(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    _make(workspace, "gone", None, state="RUNNING")
    code = """
        import os
        from kagglerun import tracking
        from kagglerun.workspace import Workspace
        workspace = Workspace.find()
        tracking.open_tracker(workspace, workspace.find_run("gone"), name="gone", params={}, tags={})
        os._exit(9)
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False).returncode == 9
    run(["runs"])
    assert "killed" in capsys.readouterr().out
    run(["show", "gone"])
    assert "its process is gone" in capsys.readouterr().out


def test_show_says_what_differs_from_the_defaults(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    paths = _make(workspace, "baseline-1", 0.9)
    write_text(paths.submissions, json.dumps({"time": "2026-01-02", "public_score": 0.75}) + "\n")
    assert run(["show", "base"]) == 0
    said = capsys.readouterr().out
    for text in ("optimizer.lr", "0.002", "model.name", "0.89000  0.91000", "public 0.75", "two rows were dropped"):
        assert text in said
    assert "training.epochs" not in said
    run(["show", "baseline-1", "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert facts["config"] == {"seed": 7, "model.kind": "image", "model.name": "resnet18", "optimizer.lr": 0.002}


def test_an_unknown_run_is_an_error_with_the_next_step(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["show", "nothing"]) == 2
    assert "kagglerun runs" in capsys.readouterr().err


def test_sync_wants_a_run_or_all(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["track", "sync"]) == 2
    assert run(["track", "sync", "--all"]) == 1
    assert "MLflow is switched off" in capsys.readouterr().err


def test_ui_on_a_taken_port_says_so(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAGGLERUN_MLFLOW_URI")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run(["ui", "--port", str(port)]) == 1
    said = capsys.readouterr().err
    assert f"port {port}" in said
    assert f"kagglerun ui --port {port + 1}" in said


def test_ui_of_a_server_elsewhere_is_its_address(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLERUN_MLFLOW_URI", "http://me:secret@127.0.0.1:9")
    assert run(["ui"]) == 0
    assert capsys.readouterr().out.strip() == "MLflow: http://127.0.0.1:9"


def test_an_empty_workspace_has_no_runs(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs"]) == 0
    assert "no runs yet" in capsys.readouterr().out
    assert list(Path(workspace.root).rglob("*.db")) == []

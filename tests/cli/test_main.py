from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import kagglerun
from kagglerun.cli.main import run
from kagglerun.workspace import Workspace


def test_version_and_help_end_with_zero(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert kagglerun.__version__ in capsys.readouterr().out
    assert run(["--help"]) == 0


@pytest.mark.parametrize("arguments", [["nothing"], ["fetch"], ["fetch", "--nothing", "x"], ["sweep"]])
def test_wrong_usage_ends_with_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    said = capsys.readouterr().err
    assert "error:" in said and "Traceback" not in said


def test_an_error_is_one_to_three_lines_with_the_next_step(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "nothing.yaml"]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) <= 3 and lines[0].startswith("error:") and "→" in lines[-1]


def test_brackets_in_an_error_are_shown_as_they_are(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "[bold]x[/bold].yaml"]) == 2
    assert "[bold]x[/bold].yaml" in capsys.readouterr().err


def test_debug_shows_the_traceback(workspace: Workspace) -> None:
    command = [sys.executable, "-m", "kagglerun", "--debug", "train", "nothing.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=workspace.root)
    assert "Traceback" in done.stderr


def test_the_workspace_option_wins_over_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = Workspace(tmp_path / "other")
    other.competitions.mkdir(parents=True)
    other.sweeps.mkdir()
    assert run(["-w", str(other.root), "train", "nothing"]) == 2
    assert str(other.sweeps) in capsys.readouterr().err


def test_a_closed_pipe_shows_no_traceback(workspace: Workspace) -> None:
    command = f"{sys.executable} -m kagglerun --help | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=workspace.root)
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr

"""`kagglerun init`: a workspace anywhere, nothing overwritten, also from a built wheel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from package_sources import ROOT

from kagglerun.cli.main import run
from kagglerun.workspace import Workspace


def test_init_makes_a_workspace_with_the_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a new 'folder'"
    assert run(["init", str(folder)]) == 0
    monkeypatch.chdir(folder)
    assert Workspace.find().root == folder
    assert (folder / "sweeps/baseline.yaml").read_bytes() == (ROOT / "sweeps/baseline.yaml").read_bytes()
    assert (folder / "competitions/titanic/competition.yaml").is_file()
    assert "/runs/" in (folder / ".gitignore").read_text()


def test_init_overwrites_nothing_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps/baseline.yaml").write_text("seed: 7\n")
    assert run(["init", str(tmp_path)]) == 0
    assert (tmp_path / "sweeps/baseline.yaml").read_text() == "seed: 7\n"
    said = capsys.readouterr().out
    assert "1 files were there already" in said
    assert "made sweeps/titanic.yaml" in said


def test_init_copies_no_competition_data(tmp_path: Path) -> None:
    assert run(["init", str(tmp_path)]) == 0
    names = {path.name for path in (tmp_path / "competitions").rglob("*") if path.is_file()}
    assert names == {"competition.yaml", "hooks.py"}


def test_init_where_a_file_stands_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").write_text("")
    assert run(["init", str(tmp_path / "taken")]) == 2
    assert "cannot be a workspace" in capsys.readouterr().err


@pytest.mark.slow
def test_built_wheel_works_outside_the_checkout(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    installed = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(installed)]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-m", "kagglerun", "init", "new"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    made = {path.relative_to(tmp_path / "new").as_posix() for path in (tmp_path / "new").rglob("*") if path.is_file()}
    shipped = {path.relative_to(ROOT).as_posix() for path in (ROOT / "sweeps").glob("*.yaml")}
    assert shipped <= made
    assert "competitions/digits/competition.yaml" in made
    assert (installed / "kagglerun/environment/requirements.lock").is_file()
    where = "import kagglerun; print(kagglerun.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", where], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    assert found.stdout.startswith(str(installed))

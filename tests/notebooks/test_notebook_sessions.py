"""Notebooks as they are executed: on Colab and on Kaggle, killed, out of time, and run again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest

from kagglerun.cli.main import run
from kagglerun.files import write_text
from kagglerun.notebooks.plan import PlanFiles
from kagglerun.notebooks.session import End, Session
from kagglerun.workspace import Workspace
from tests.notebooks.session_platform import (
    FakePlatform,
    kept_names,
    kill_all,
    session_processes,
    wait_until,
)

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

_TRAINED_PART = "runs/{slug}/{run}/folds/0/result.json"


@pytest.fixture
def machine(tmp_path: Path, platform_python: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePlatform]:
    found = FakePlatform(tmp_path / "a machine", platform_python).make()
    monkeypatch.setenv("KAGGLERUN_PLATFORM_ROOT", str(found.root))  # notebooks name their folder when they are made
    yield found
    kill_all(found.root)


def _train_here(workspace: Workspace, config: str) -> Path:
    """The uninterrupted run at home; its folder."""
    command = [sys.executable, "-m", "kagglerun", "train", config, "--run", "at-home"]
    subprocess.run(command, check=True, capture_output=True, cwd=workspace.root)
    return workspace.find_run("at-home").folder


def _make(workspace: Workspace, *arguments: str) -> tuple[Path, str]:
    """The notebook, and the id of its run."""
    usual = ["--gpu", "none", "--save-minutes", "0.01", "--packages", "platform"]
    assert run(["notebook", *usual, *arguments]) == 0
    notebook = next(workspace.root.rglob("*.ipynb"))
    return notebook, notebook.stem


def _mount(machine: FakePlatform, notebook: Path) -> None:
    """Attach the data set beside a notebook, as its user does on Kaggle."""
    described = notebook.parent / "data-set"
    if described.is_dir():
        title = json.loads((described / "dataset-metadata.json").read_text())["title"]
        shutil.copytree(described, machine.root / "kaggle/input" / title)


def _same_predictions(run_folder: Path, reference: Path) -> bool:
    return all(
        (run_folder / name).read_bytes() == (reference / name).read_bytes() for name in ("oof.parquet", "test.parquet")
    )


def test_colab_notebook_goes_on_after_its_kernel_and_its_machine_are_lost(
    workspace: Workspace, machine: FakePlatform, tmp_path: Path
) -> None:
    config = (
        "competition: practice/breast-cancer\ncv: {scheme: stratified, n_splits: 3}\n"
        "model: {kind: tabular_neural, width: 8, depth: 1}\n"
        "training: {epochs: 60, batch_size: 8, cpu_threads: 1, checkpoint_seconds: 0.2}\n"
    )
    write_text(workspace.sweeps / "net.yaml", config)
    try:
        assert run(["fetch", "practice/breast-cancer"]) == 0
        reference = _train_here(workspace, "net.yaml")
    finally:
        run(["practice", "stop"])
    notebook, run_id = _make(workspace, "net.yaml", "--for", "colab", "--train")
    drive = machine.root / "content/drive/MyDrive/kagglerun"
    first_fold = _TRAINED_PART.format(slug="breast-cancer", run=run_id)

    _kill_when(machine, notebook, lambda: first_fold in kept_names(drive / run_id), whole_machine=False)
    wait_until(lambda: not _sessions(machine))  # its training saves and ends by itself
    assert not (machine.root / f"content/kagglerun/workspace/runs/breast-cancer/{run_id}/oof.parquet").exists()

    second_fold = first_fold.replace("/0/", "/1/")
    _kill_when(machine, notebook, lambda: second_fold in kept_names(drive / run_id), whole_machine=True)

    lost = machine.root.rename(tmp_path / "lost")
    machine.make()
    shutil.move(lost / "content/drive", machine.root / "content/drive")
    code, said = machine.execute(notebook).finish()
    assert code == 0, said
    assert "goes on from state" in said
    assert "done" in said
    assert _same_predictions(machine.root / f"content/kagglerun/workspace/runs/breast-cancer/{run_id}", reference)
    assert not list((machine.root / "content").rglob("mlflow.db"))


def test_kaggle_notebook_stops_in_time_and_goes_on_from_its_own_output(
    made: Workspace, machine: FakePlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = _train_here(made, "net.yaml")
    notebook, run_id = _make(made, "net.yaml", "--for", "kaggle")
    _mount(machine, notebook)
    shutil.copytree(made.competition("made").data, machine.root / "kaggle/input/competitions/made")
    working = machine.root / "kaggle/working"

    said = _session_that_runs_out_of_time(machine, notebook, run_id, monkeypatch)
    assert "the session's time is up" in said[-2]
    assert "Add Input" in said[-1]
    shutil.copytree(working, machine.root / "kaggle/input/notebooks/somebody" / run_id)
    for folder in (working, machine.root / "tmp"):
        shutil.rmtree(folder)
        folder.mkdir()

    code, text = machine.execute(notebook).finish()
    assert code == 0, text
    assert "goes on from state" in text
    assert "data: linked from" in text
    finished = machine.root / f"tmp/kagglerun/workspace/runs/made/{run_id}"
    assert _same_predictions(finished, reference)
    there, here = (json.loads((folder / "fingerprint.json").read_text()) for folder in (finished, reference))
    assert there["comparable"] == here["comparable"]
    assert there["environment"] == here["environment"]
    assert run(["sync", "pull", str(working / "kagglerun/results")]) == 0
    assert _same_predictions(made.find_run(run_id).folder, reference)


def test_interrupted_cell_saves_and_the_same_cell_goes_on(made: Workspace, machine: FakePlatform) -> None:
    notebook, run_id = _make(made, "net.yaml", "--for", "kaggle")
    _mount(machine, notebook)
    shutil.copytree(made.competition("made").data, machine.root / "kaggle/input/made")
    content = nbformat.read(notebook, as_version=4)
    content.cells.append(nbformat.v4.new_code_cell("session.work()"))
    nbformat.write(content, notebook)
    store = machine.root / "kaggle/working/kagglerun" / run_id
    execution = machine.execute(notebook)
    wait_until(lambda: _TRAINED_PART.format(slug="made", run=run_id) in kept_names(store))
    os.kill(execution.kernel, signal.SIGINT)
    code, said = execution.finish()
    assert code == 0, said
    first, _, second = said.partition("to go on, run this cell again")
    assert "OOF score" not in first
    assert "OOF score" in second


def _kill_when(machine: FakePlatform, notebook: Path, seen: Callable[[], bool], *, whole_machine: bool) -> None:
    """Execute the notebook until something is seen, then kill the kernel, or all processes of the machine at once."""
    execution = machine.execute(notebook)
    wait_until(seen)
    if whole_machine:
        kill_all(machine.root)
        execution.finish()
    else:
        os.kill(execution.kernel, signal.SIGKILL)
        code, said = execution.finish()
        assert code == 3, said


def _sessions(machine: FakePlatform) -> list[int]:
    """Its sessions' processes, without its practice server."""
    found = []
    for pid in session_processes(machine.root):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"practice" not in command:
            found.append(pid)
    return found


def _session_that_runs_out_of_time(
    machine: FakePlatform, notebook: Path, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """A session whose clock jumps to the end of its time once the first fold is kept."""
    folder = machine.root / "tmp/kagglerun/plan"
    content = nbformat.read(notebook, as_version=4)
    names: dict[str, object] = {}
    exec(content.cells[1].source, names)
    exec(content.cells[2].source.rpartition("\ninstall(")[0], names)
    names["unpack"](names["PAYLOAD"], str(folder))  # type: ignore[operator]
    said: list[str] = []
    store = machine.root / "kaggle/working/kagglerun" / run_id
    first_fold = _TRAINED_PART.format(slug="made", run=run_id)

    def clock() -> float:
        return time.time() + (20 * 3600 if first_fold in kept_names(store) else 0)

    assert Session(PlanFiles(folder), said.append, threading.Event(), clock).run() is End.TIME_UP
    assert not (machine.root / f"tmp/kagglerun/workspace/runs/made/{run_id}/oof.parquet").exists()
    return said

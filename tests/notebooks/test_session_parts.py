"""Parts of a session: what it refuses, what it survives, and what it says."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kagglerun.errors import DiskFull, NotebookError
from kagglerun.jobs.process import identity
from kagglerun.notebooks import session as module
from kagglerun.notebooks.children import Command, end_leftover
from kagglerun.notebooks.keep import Keeper
from kagglerun.notebooks.plan import NotebookPlan, PlanFiles
from kagglerun.notebooks.progress import RunProgress
from kagglerun.notebooks.session import End, Session
from kagglerun.tracking.journal import Journal, Start, Values


class _Parts:
    """A session that runs no commands."""

    def __init__(self, root: Path, **changes: object) -> None:
        folder = root / "content/kagglerun/plan"
        folder.mkdir(parents=True)
        usual = NotebookPlan("it-1", "colab", "train", "titanic", None, None, 1, 12, 60, "locked").to_dict()
        (folder / "plan.json").write_text(json.dumps({**usual, **changes}))
        self.said: list[str] = []
        self.stop = threading.Event()
        self.session = Session(PlanFiles(folder), self.said.append, self.stop)


@pytest.fixture(autouse=True)
def platform_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLERUN_PLATFORM_ROOT", str(tmp_path))


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    monkeypatch.setattr(module, "gpu_names", lambda: names)
    return names


def test_session_without_the_gpu_it_was_made_for_does_not_train_for_hours_on_a_cpu(
    tmp_path: Path, gpus: list[str]
) -> None:
    with pytest.raises(NotebookError, match=r"no GPU; the notebook was made for one \(T4\)") as raised:
        _Parts(tmp_path, gpu="T4").session.run()
    assert "--gpu none" in str(raised.value.hint)


@pytest.mark.long
@pytest.mark.skipif(bool(module.gpu_names()), reason="a GPU is here")
def test_torch_that_cannot_use_the_gpu_is_told_before_anything_is_fetched(tmp_path: Path, gpus: list[str]) -> None:
    """Here torch has no GPU at all; a driver that is too old and a GPU that is too old fail at the same place."""
    gpus += ["Tesla T4, 15360 MiB"]
    with pytest.raises(NotebookError, match=r"cannot use this GPU: .*(CUDA|NVIDIA)") as raised:
        _Parts(tmp_path, gpu="T4").session.run()
    assert "keep-torch" in str(raised.value.hint)


def test_both_gpus_of_a_session_are_used_a_fold_each(tmp_path: Path, gpus: list[str]) -> None:
    gpus += ["Tesla T4, 15360 MiB", "Tesla T4, 15360 MiB"]
    command = _Parts(tmp_path, gpu="T4").session._command()
    assert command[0] == "train"
    assert command[-1] == "--folds-parallel"


def test_one_gpu_trains_one_fold_after_another(tmp_path: Path, gpus: list[str]) -> None:
    gpus += ["Tesla T4, 15360 MiB"]
    assert "--folds-parallel" not in _Parts(tmp_path, gpu="T4").session._command()


@pytest.mark.parametrize("error", [OSError(107, "Transport endpoint is not connected"), DiskFull("the disk is full")])
def test_storage_that_fails_is_told_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def failing(_: Keeper) -> None:
        raise error

    monkeypatch.setattr(Keeper, "save", failing)
    parts = _Parts(tmp_path)
    parts.session._save()
    assert parts.said[0].startswith("warning: not kept this time")


def test_time_up_before_anything_was_done_says_how_to_go_on(
    tmp_path: Path, gpus: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[str] = []

    def run(self: Session, arguments: list[str], each_time) -> int:
        commands.append(arguments[0])
        return 130 if each_time() else 0

    monkeypatch.setenv("KAGGLERUN_SESSION_STARTED", "1000")
    monkeypatch.setattr(Session, "_run", run)
    parts = _Parts(tmp_path)
    assert parts.session.run() is End.TIME_UP
    assert commands == ["fetch", "train", "sync"]
    assert "Run all" in parts.said[-1]


def test_half_of_what_was_taken_up_is_not_taken_for_all(
    tmp_path: Path, gpus: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session was killed while it brought back what was kept."""
    monkeypatch.setattr(Session, "_run", lambda *_: 0)
    first = _Parts(tmp_path)
    run = first.session.workspace.run("titanic", "it-1").folder
    run.mkdir(parents=True)
    (run / "journal.jsonl").write_text("kept")
    first.session._save()
    (run / "journal.jsonl").write_text("half")
    first.session.run()
    assert (run / "journal.jsonl").read_text() == "kept"
    assert any("goes on from state 1" in line for line in first.said)


def test_command_that_a_killed_session_left_is_ended(tmp_path: Path) -> None:
    mark = tmp_path / "process.json"
    assert not end_leftover(mark)
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    mark.write_text(json.dumps({"pid": left.pid, "started": identity(left.pid)}))
    waiting = threading.Thread(target=left.wait)
    waiting.start()
    assert end_leftover(mark)
    waiting.join()
    assert left.returncode == -signal.SIGINT or left.returncode == 1
    assert not mark.exists()


def test_number_of_a_process_that_is_another_ones_now_is_left_alone(tmp_path: Path) -> None:
    mark = tmp_path / "process.json"
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        mark.write_text(json.dumps({"pid": other.pid, "started": "another boot:1"}))
        assert not end_leftover(mark)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_command_is_asked_to_end_and_its_mark_goes(tmp_path: Path) -> None:
    mark = tmp_path / "process.json"
    command = Command(["--help"], {"PATH": "/usr/bin:/bin"}, mark)
    assert mark.exists()
    command.wait(lambda: True)
    assert not mark.exists()


def test_news_are_the_last_epoch_since_the_last_news(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    progress = RunProgress(tmp_path / "journal.jsonl")
    assert progress.news() is None
    journal.append(Start("it"), Values({"fold0/lr": 0.1, "fold0/valid_score": 0.5}, 0))
    journal.append(Values({"fold0/valid_loss": 0.25, "fold0/valid_score": 0.75}, 1), Values({"fold_score": 1.0}, 0))
    assert progress.news() == "fold 0, epoch 2: valid_loss 0.25000  valid_score 0.75000"
    assert progress.news() is None

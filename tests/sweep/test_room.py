"""A full disk pauses and fails nobody; on a real file system of one MB."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import safetensors.numpy

from kagglerun.config.schema import Config
from kagglerun.errors import DiskFull, TrainingError
from kagglerun.files import write_bytes
from kagglerun.jobs.control import job_info
from kagglerun.jobs.launch import launch
from kagglerun.jobs.log import tail
from kagglerun.jobs.records import JobState
from kagglerun.sweep import room
from kagglerun.sweep.coordinator import run_study
from kagglerun.sweep.dispatch import End
from kagglerun.sweep.objective import TrialObserver, TrialScore, TrialStopped, TrialTask
from kagglerun.sweep.room import StoppedWaiting, is_disk_full, run_with_room, wait_for_room, with_room
from kagglerun.sweep.study import coordinator_argv, prepare_study
from kagglerun.sweep.trials import Trial, TrialState, read_trials, write_trial
from kagglerun.workspace import StudyPaths, Workspace
from tests.sweep.conftest import toy_config
from tests.sweep.test_sweep_coordinator import Listener as SweepListener
from tests.sweep.toy import Toy


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that holds a file system of one MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system can be mounted as root only")
    monkeypatch.setattr(room, "_POLL_SECONDS", 0.05)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


class Listener:
    """A waiter; `text` and `stop_requested` are what it was told and asked."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.stop_requested = False

    def say(self, text: str) -> None:
        self.lines.append(text)


def fill(disk: Path) -> Path:
    """Leave no byte."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as stream:
        try:
            while stream.write(b"x" * 4096):
                pass
        except OSError as error:
            assert error.errno == errno.ENOSPC
    return filler


def when(condition: Callable[[], object], action: Callable[[], object]) -> threading.Thread:
    """Do something from another thread once something is so."""

    def run() -> None:
        deadline = time.monotonic() + 60
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.02)
        action()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def _sqlite(folder: Path) -> None:
    connection = sqlite3.connect(folder / "db")
    try:
        connection.execute("create table t (x)")
        connection.executemany("insert into t values (?)", [(os.urandom(4096),)] * 500)
        connection.commit()
    finally:
        connection.close()


WRITERS: dict[str, Callable[[Path], object]] = {
    "files": lambda folder: write_bytes(folder / "x", os.urandom(2 << 20)),
    "open": lambda folder: (folder / "x").write_bytes(os.urandom(2 << 20)),
    "safetensors": lambda folder: safetensors.numpy.save_file({"x": np.ones(1 << 19)}, folder / "x"),
    "parquet": lambda folder: pyarrow.parquet.write_table(
        pyarrow.table({"x": np.random.default_rng(0).random(1 << 19)}), folder / "x"
    ),
    "sqlite": _sqlite,
}


@pytest.mark.parametrize("writer", WRITERS)
def test_every_writers_error_of_a_full_disk_is_known(disk: Path, writer: str) -> None:
    with pytest.raises(Exception) as error:
        WRITERS[writer](disk)
    assert is_disk_full(error.value)


def test_other_errors_are_not_taken_for_a_full_disk() -> None:
    for other in (
        OSError(errno.EACCES, "no"),
        TrainingError("the loss is not finite"),
        sqlite3.OperationalError("locked"),
    ):
        assert not is_disk_full(other)


def test_an_error_that_came_from_a_full_disk_is_one_unless_it_is_said_not_to() -> None:
    def raised(hide: bool) -> BaseException:
        try:
            try:
                raise OSError(errno.EDQUOT, "quota")
            except OSError as error:
                if hide:
                    raise TrainingError("another thing") from None
                raise TrainingError("not written") from error
        except TrainingError as error:
            return error

    assert is_disk_full(raised(hide=False))
    assert not is_disk_full(raised(hide=True))


def test_a_trial_is_recorded_when_there_is_room_again(disk: Path) -> None:
    paths, listener = StudyPaths(disk / "study"), Listener()
    write_trial(paths, Trial(0, {}))
    filler = fill(disk)
    helper = when(lambda: listener.lines, filler.unlink)
    params = {"optimizer.lr": list(range(1000))}
    with_room(lambda: write_trial(paths, Trial(1, params)), [paths.folder], listener)
    helper.join()
    assert [trial.params for trial in read_trials(paths)] == [{}, params]
    assert "paused: the disk of" in listener.lines[0] and "is full (0.0 MB free)" in listener.lines[0]
    assert listener.lines[-1] == "there is room again: it goes on"


def test_waiting_ends_when_somebody_asks_for_it(disk: Path) -> None:
    listener = Listener()
    fill(disk)
    helper = when(lambda: listener.lines, lambda: setattr(listener, "stop_requested", True))
    with pytest.raises(StoppedWaiting):
        wait_for_room([disk], listener)
    helper.join()


def test_a_disk_with_room_is_not_waited_for_and_nothing_is_left_on_it(disk: Path) -> None:
    listener = Listener()
    assert wait_for_room([disk], listener) is False
    assert listener.lines == [] and list(disk.iterdir()) == []


def test_more_room_is_waited_for_when_it_was_not_enough(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LEAST_BYTES", 8 << 10)
    listener, fillers = Listener(), [disk / f"filler{number}" for number in range(16)]
    for filler in fillers:
        filler.write_bytes(b"x" * (60 << 10))
    rest = fill(disk)
    rest.write_bytes(rest.read_bytes()[: -(12 << 10)])  # there are 12 kB; the action needs 100

    def free_some() -> None:
        for filler in fillers[:4]:
            filler.unlink()

    helper = when(lambda: listener.lines, free_some)
    with_room(lambda: write_bytes(disk / "x", os.urandom(100 << 10)), [disk], listener)
    helper.join()
    assert (disk / "x").stat().st_size == 100 << 10


def test_another_place_that_is_full_does_not_make_it_try_for_ever(tmp_path: Path) -> None:
    tries = []

    def shared_memory() -> None:
        tries.append(1)
        raise RuntimeError("unable to write to file </torch_1>: No space left on device (28)")

    with pytest.raises(RuntimeError, match="unable to write"):
        with_room(shared_memory, [tmp_path], Listener())
    assert len(tries) == 4


def test_each_of_several_disks_is_waited_for(disk: Path, tmp_path: Path) -> None:
    listener, filler = Listener(), fill(disk)
    helper = when(lambda: listener.lines, filler.unlink)
    with_room(lambda: (disk / "x").write_bytes(b"x" * 9000), [tmp_path, tmp_path / "nothing", disk], listener)
    helper.join()
    assert f"the disk of {disk} is full" in listener.lines[0]


class Writes:
    """An objective that writes a checkpoint a fold, and counts the folds that it trained."""

    is_tracked = False

    def __init__(self, folder: Path) -> None:
        self.folder, self.trained, self.fills = folder, 0, True

    def resolve(self, workspace: Workspace, config: Config) -> Config:
        return config

    def greater_is_better(self, workspace: Workspace, config: Config) -> bool:
        return True

    def run(self, workspace: Workspace, task: TrialTask, observer: TrialObserver) -> TrialScore:
        for fold in range(3):
            done = self.folder / str(fold)
            if not done.exists():
                self.trained += 1
                write_bytes(done, b"x" * 30_000)
            if fold == 0 and self.fills:
                fill(self.folder)
        return TrialScore(0.5, (0.5,) * 3, 1.0)


class Observer:
    """Asks for an end when told to."""

    stops = False

    def epoch(self, *_: object) -> None:
        pass

    def fold(self, *_: object) -> None:
        pass

    def should_stop(self) -> bool:
        return self.stops


def task() -> TrialTask:
    return TrialTask(7, "toy-0007", toy_config(), None, {})


def test_a_trial_waits_for_room_and_goes_on_where_it_was(disk: Path) -> None:
    objective, lines = Writes(disk), list[str]()

    def free() -> None:
        objective.fills = False
        (disk / "filler").unlink()

    helper = when(lambda: lines, free)
    score = run_with_room(objective, Workspace(disk), task(), Observer(), lines.append)
    helper.join()
    assert score.value == 0.5
    assert lines[0].startswith("trial 7 paused: the disk of") and lines[-1].startswith("trial 7 there is room")
    assert objective.trained == 4  # the fold that did not fit was trained again, the first was not


def test_a_trial_that_waits_can_be_stopped(disk: Path) -> None:
    observer, lines = Observer(), list[str]()
    helper = when(lambda: lines, lambda: setattr(observer, "stops", True))
    with pytest.raises(TrialStopped):
        run_with_room(Writes(disk), Workspace(disk), task(), observer, lines.append)
    helper.join()


def test_other_failures_of_a_trial_are_failures(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objective = Writes(disk)
    monkeypatch.setattr(objective, "run", lambda *_: (_ for _ in ()).throw(TrainingError("the loss is not finite")))
    with pytest.raises(TrainingError, match="not finite"):
        run_with_room(objective, Workspace(disk), task(), Observer(), pytest.fail)


def test_the_result_of_what_is_done_again_comes_back(disk: Path) -> None:
    listener, filler, tries = Listener(), fill(disk), []

    def action() -> int:
        tries.append(1)
        if filler.exists():
            raise DiskFull("no room")
        return len(tries)

    helper = when(lambda: listener.lines, filler.unlink)
    assert with_room(action, [disk], listener) == 2
    helper.join()


class Hungry(Toy):
    """A toy whose trials need 400 kB while they run."""

    def run(self, workspace: Workspace, task: TrialTask, observer: TrialObserver) -> TrialScore:
        checkpoint = workspace.run("digits", task.run_id).folder / "checkpoint"
        write_bytes(checkpoint, os.urandom(400 << 10), durable=False)
        score = super().run(workspace, task, observer)
        checkpoint.unlink()
        return score


def test_a_sweep_on_a_full_disk_pauses_and_ends_as_if_there_had_been_room(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
    workspace = Workspace(disk / "workspace")
    workspace.competitions.mkdir(parents=True)
    workspace.sweeps.mkdir()
    config = toy_config(6, hooks={"delay": 0.2})
    paths, _ = prepare_study(workspace, config, objective="tests.sweep.test_room:Hungry")
    job = launch(workspace, "sweep", coordinator_argv(paths), what="toy sweep")
    when(lambda: sum(trial.is_finished for trial in read_trials(paths)) >= 2, lambda: fill(disk)).join()
    when(lambda: "paused: the disk of" in "\n".join(tail(job, 100)), (disk / "filler").unlink).join()
    when(lambda: not job_info(job).state.is_alive, lambda: None).join()
    assert job_info(job).state is JobState.DONE, "\n".join(tail(job, 50))
    assert [trial.state for trial in read_trials(paths)] == [TrialState.COMPLETE] * 6


def is_pause(line: str) -> bool:
    """Whether a worker says that it waits; the coordinator's own lines begin otherwise."""
    return line.startswith("trial ") and "paused: the disk of" in line


@pytest.mark.long
def test_a_worker_that_prints_into_a_file_on_the_full_disk_waits_and_its_coordinator_says_so(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
    workspace = Workspace(disk / "workspace")
    workspace.competitions.mkdir(parents=True)
    config = toy_config(4, hooks={"delay": 0.2})
    paths, _ = prepare_study(workspace, config, objective="tests.sweep.test_room:Hungry")
    listener = SweepListener()
    emptied = when(lambda: any(map(is_pause, listener.lines)), (disk / "filler").unlink)
    filled = when(lambda: any("trial 0: " in line for line in listener.lines), lambda: fill(disk))
    assert run_study(workspace, paths, listener) is End.DONE
    filled.join()
    emptied.join()
    assert any(map(is_pause, listener.lines)), listener.lines
    assert [trial.state for trial in read_trials(paths)] == [TrialState.COMPLETE] * 4

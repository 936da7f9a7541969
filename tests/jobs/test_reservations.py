"""GPUs that somebody keeps: who may use them, when that ends, and that work keeps away from others'."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kagglerun.cli.main import run
from kagglerun.errors import ConfigError, JobError
from kagglerun.jobs.process import identity
from kagglerun.jobs.records import JobProcess, JobSpec, JobState, JobStatus, write_process, write_spec, write_status
from kagglerun.jobs.reservations import held_by_others, keep_to_free_gpus, release, reservations, reserve
from kagglerun.nvml import Gpu, Nvml
from kagglerun.workspace import JobPaths, Workspace
from tests import fake_nvml

pytestmark = pytest.mark.usefixtures("machine")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Two GPUs, and one that is cut into two slices."""
    cut = fake_nvml.Gpu("GPU-cut", slices=[fake_nvml.Gpu("MIG-1"), fake_nvml.Gpu("MIG-2")])
    fake = fake_nvml.fake_nvml(fake_nvml.Gpu("GPU-aaaa"), fake_nvml.Gpu("GPU-bbbb"), cut)
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    folder = tmp_path / "reserved"
    monkeypatch.setenv("KAGGLERUN_RESERVATIONS", str(folder))
    monkeypatch.setenv("KAGGLERUN_OWNER", "anna")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return folder


@pytest.fixture
def somebody(machine: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """GPU 0 is kept by somebody else."""
    assert not machine.exists()
    monkeypatch.setenv("KAGGLERUN_OWNER", "bert")
    reserve([gpu("0")], 1, "a paper\nfor tomorrow")
    monkeypatch.setenv("KAGGLERUN_OWNER", "anna")
    yield


def gpu(index: str) -> Gpu:
    with Nvml.open() as nvml:
        return next(each for each in nvml.gpus() if each.index == index)


def numbers() -> list[tuple[str, str]]:
    return [(held.index, held.owner) for held in reservations()]


def test_a_reservation_is_seen_by_all_and_binds_the_others(monkeypatch: pytest.MonkeyPatch, machine: Path) -> None:
    reserve([gpu("0"), gpu("2.1")], 2, "the final sweep")
    assert numbers() == [("0", "anna"), ("2.1", "anna")]
    assert held_by_others() == {}
    monkeypatch.setenv("KAGGLERUN_OWNER", "bert")
    assert set(held_by_others()) == {"GPU-aaaa", "MIG-2"}
    assert "GPU 0 by anna (the final sweep) until" in str(held_by_others()["GPU-aaaa"])
    assert machine.stat().st_mode & 0o7777 == 0o1777, "everybody may reserve, nobody remove another's"


@pytest.mark.usefixtures("somebody")
def test_what_another_keeps_cannot_be_taken_nor_given_back() -> None:
    with pytest.raises(JobError, match="reserved already: GPU 0 by bert"):
        reserve([gpu("1"), gpu("0")], 1)
    assert numbers() == [("0", "bert")], "all or none"
    with pytest.raises(JobError, match="not yours"):
        release([gpu("0")])
    assert release([gpu("1")]) == ()


def test_it_ends_with_its_time_and_when_it_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    reserve([gpu("0"), gpu("1")], 1)
    assert [held.index for held in release([gpu("0")])] == ["0"]
    assert numbers() == [("1", "anna")]
    later = time.time() + 3601
    monkeypatch.setattr("kagglerun.jobs.reservations.time.time", lambda: later)
    assert numbers() == []
    monkeypatch.setenv("KAGGLERUN_OWNER", "bert")
    reserve([gpu("1")], 1)
    assert numbers() == [("1", "bert")], "what is over is replaced"


@pytest.mark.parametrize("hours", [0, -1, float("nan"), 1e9])
def test_hours_that_make_no_sense_are_refused(hours: float) -> None:
    with pytest.raises(ConfigError, match="hours"):
        reserve([gpu("0")], hours)


def a_job(workspace: Workspace, pid: int) -> JobPaths:
    paths, now = workspace.job("sweep-1"), time.time()
    write_spec(paths, JobSpec(("-m", "x"), ".", (), "sweep", now))
    write_process(paths, JobProcess(pid, identity(pid) or "", os.uname().nodename, 1, now))
    write_status(paths, JobStatus(JobState.RUNNING, 1, now), durable=False)
    return paths


def test_a_gpu_kept_for_a_job_is_that_jobs_alone_until_it_dies(workspace: Workspace) -> None:
    with subprocess.Popen(["sleep", "600"]) as other:
        reserve([gpu("0")], 1, job=a_job(workspace, other.pid))
        assert set(held_by_others()) == {"GPU-aaaa"}, "not even its owner's other work takes it"
        other.kill()
        other.wait()
    assert reservations() == (), "a stale owner is recognised"
    with pytest.raises(JobError, match="does not run"):
        reserve([gpu("0")], 1, job=workspace.job("sweep-1"))
    reserve([gpu("0")], 1, job=a_job(workspace, os.getpid()))
    assert held_by_others() == {}, "this process is the job"


def test_files_that_are_none_or_pretend_to_be_anothers_are_passed_over(machine: Path, tmp_path: Path) -> None:
    (held,) = reserve([gpu("0")], 1)
    good = next(machine.glob("*.json"))
    values = json.loads(good.read_text())
    (machine / "torn.json").write_text(good.read_text()[:20])
    (machine / "list.json").write_text("[1]")
    (machine / "other.json").write_text(json.dumps({**values, "uid": 12345, "uuid": "GPU-bbbb"}))
    (machine / "more.json").write_text(json.dumps({**values, "surprise": 1}))
    (machine / "text.json").write_text(json.dumps({**values, "expires": "never"}))
    (tmp_path / "elsewhere").write_text(json.dumps({**values, "uuid": "GPU-bbbb"}))
    (machine / "link.json").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(machine / "pipe.json")
    assert reservations() == (held,)


def test_two_who_ask_at_once_do_not_both_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    names = iter(range(8))
    monkeypatch.setattr("kagglerun.jobs.reservations.owner_here", lambda: threading.current_thread().name)
    wanted, got = gpu("0"), []

    def ask() -> None:
        try:
            reserve([wanted], 1)
            got.append(threading.current_thread().name)
        except JobError:
            pass

    threads = [threading.Thread(target=ask, name=f"person {number}") for number in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1 and [owner for _, owner in numbers()] == got


def test_a_slice_is_in_the_way_of_its_gpu_and_the_other_way_round(monkeypatch: pytest.MonkeyPatch) -> None:
    reserve([gpu("2.0")], 1)
    monkeypatch.setenv("KAGGLERUN_OWNER", "bert")
    with Nvml.open() as nvml:
        whole = nvml.whole_gpus()[2]
    with pytest.raises(JobError, match=r"GPU 2\.0 by anna"):
        reserve([whole], 1)
    reserve([gpu("2.1")], 1)


@pytest.mark.usefixtures("somebody")
def test_work_keeps_to_the_gpus_that_are_left() -> None:
    keep_to_free_gpus()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-bbbb,MIG-1,MIG-2"


def test_without_reservations_nothing_is_set() -> None:
    keep_to_free_gpus()
    reserve([gpu("0")], 1)
    keep_to_free_gpus()
    assert "CUDA_VISIBLE_DEVICES" not in os.environ, "what is ours is no reason"


@pytest.mark.usefixtures("somebody")
@pytest.mark.parametrize("named", ["0", "1,0", "GPU-aaaa", "GPU-aa"])
def test_naming_what_another_keeps_is_refused(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    with pytest.raises(JobError, match=r"somebody keeps that: GPU 0 by bert \(a paper for tomorrow\)"):
        keep_to_free_gpus()


@pytest.mark.parametrize("named", ["1", "GPU-bbbb", "MIG-1", ""])
@pytest.mark.usefixtures("somebody")
def test_naming_another_one_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    keep_to_free_gpus()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == named


def test_where_all_are_kept_work_says_by_whom(monkeypatch: pytest.MonkeyPatch) -> None:
    with Nvml.open() as nvml:
        reserve(nvml.gpus(), 1)
    monkeypatch.setenv("KAGGLERUN_OWNER", "bert")
    with pytest.raises(JobError, match="every GPU is reserved: GPU 0 by anna until"):
        keep_to_free_gpus()


def test_a_folder_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KAGGLERUN_RESERVATIONS", str(tmp_path / "file" / "folder"))
    assert reservations() == ()
    with pytest.raises(JobError, match="cannot be reserved"):
        reserve([gpu("0")], 1)
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.setenv("KAGGLERUN_RESERVATIONS", str(tmp_path / "link"))
    with pytest.raises(JobError, match="is a link"):
        reserve([gpu("0")], 1)


def test_the_command_lists_reserves_and_releases(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["gpus", "reserve", "0,1", "--hours", "3", "--note", "[bold]final"]) == 0
    assert run(["gpus"]) == 0
    shown = capsys.readouterr().out
    assert "reserved: GPU 1 by anna ([bold]final) until" in shown
    assert [line.split()[0] for line in shown.splitlines()[-5:]] == ["GPU", "0", "1", "2.0", "2.1"]
    assert run(["gpus", "list", "--json"]) == 0
    assert [held["uuid"] for held in json.loads(capsys.readouterr().out)] == ["GPU-aaaa", "GPU-bbbb"]
    assert run(["gpus", "release", "all"]) == 0
    assert capsys.readouterr().out.splitlines() == ["released: GPU 0", "released: GPU 1"]
    assert run(["gpus", "release", "GPU-bb"]) == 0
    assert "none of them was reserved" in capsys.readouterr().out
    assert run(["gpus", "reserve", "2"]) == 0
    assert [index for index, _ in numbers()] == ["2.0", "2.1"], "a cut GPU stands for its slices"
    assert run(["gpus", "reserve", "7"]) == 2
    assert "there are: 0, 1, 2.0, 2.1" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml.fake_nvml(works=False))
    assert run(["gpus"]) == 0
    assert "no GPUs: NVIDIA's driver is installed and not loaded" in capsys.readouterr().out
    assert run(["gpus", "reserve", "0"]) == 2


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """Act as another user of the system."""
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to act as two users")
def test_two_users_of_the_system_cannot_remove_what_is_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as base:
        Path(base).chmod(0o755)
        folder = Path(base) / "shared"
        monkeypatch.setenv("KAGGLERUN_RESERVATIONS", str(folder))
        reserve([gpu("0")], 1)
        with nobody():
            with pytest.raises(JobError, match="reserved already"):
                reserve([gpu("0")], 1)
            monkeypatch.setenv("KAGGLERUN_OWNER", "bert")
            reserve([gpu("1")], 1)
            (mine,) = folder.glob("GPU-aaaa.*.json")
            with pytest.raises(PermissionError):
                mine.unlink()
            with pytest.raises(JobError, match="not yours"):
                release([gpu("0")])
        later = time.time() + 3601
        monkeypatch.setattr("kagglerun.jobs.reservations.time.time", lambda: later)
        with nobody():
            (again,) = reserve([gpu("0")], 1)
        assert again.uid == 65534 and [held.uid for held in reservations()] == [65534], (
            "what is over is in nobody's way"
        )

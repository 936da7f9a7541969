"""The GPUs of a job, against an NVML that is made up."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

from kagglerun.cli.main import run
from kagglerun.files import write_json
from kagglerun.jobs.control import job_info
from kagglerun.jobs.gpus import JobGpu, gpus_of
from kagglerun.jobs.process import identity
from kagglerun.jobs.records import JobProcess, JobSpec, JobState, JobStatus, write_process, write_spec, write_status
from kagglerun.workspace import JobPaths, Workspace


class NVMLError(Exception):
    pass


class Nvml(types.ModuleType):
    """GPUs as lists of processes; a dict instead is a GPU cut into slices."""

    NVMLError = NVMLError

    def __init__(self, *gpus: Any) -> None:
        super().__init__("pynvml")
        self._gpus = gpus

    def nvmlDeviceGetCount(self) -> int:
        return len(self._gpus)

    def nvmlDeviceGetHandleByIndex(self, number: int) -> Any:
        return self._gpus[number]

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: Any) -> int:
        if not isinstance(handle, dict):
            raise NVMLError("not supported")
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Any, part: int) -> Any:
        if part not in handle:
            raise NVMLError("not found")
        return handle[part]

    def nvmlDeviceGetComputeRunningProcesses(self, handle: Any) -> Any:
        return [types.SimpleNamespace(pid=pid, usedGpuMemory=size) for pid, size in handle]

    def nvmlDeviceGetUtilizationRates(self, handle: Any) -> Any:
        if not isinstance(handle, list):
            raise NVMLError("slices do not tell")
        return types.SimpleNamespace(gpu=87)


@pytest.fixture
def child() -> Iterator[int]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process.pid
        process.kill()


def with_gpus(monkeypatch: pytest.MonkeyPatch, *gpus: Any) -> tuple[JobGpu, ...]:
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(*gpus))
    return gpus_of(os.getpid())


def test_a_job_has_the_gpus_that_it_or_its_children_compute_on(monkeypatch: pytest.MonkeyPatch, child: int) -> None:
    found = with_gpus(monkeypatch, [], [(1, 10)], [(os.getpid(), 5), (child, 6), (1, 100)])
    assert found == (JobGpu("2", 11, 0.87),)


def test_slices_are_gpus_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = (os.getpid(), 7)
    assert with_gpus(monkeypatch, {0: ((1, 1),), 3: (mine,)}) == (JobGpu("0.3", 7, None),)


def test_memory_that_the_system_does_not_tell_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert with_gpus(monkeypatch, [(os.getpid(), None)]) == (JobGpu("0", None, 0.87),)


def test_numbers_of_processes_that_mean_nothing_here_leave_the_busy_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    assert with_gpus(monkeypatch, [], [(2**22 + 7, 10)]) == (JobGpu("1", None, 0.87),)


def test_other_peoples_gpus_are_not_a_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert with_gpus(monkeypatch, [(1, 10)]) == ()


def running(workspace: Workspace, gpus: tuple[JobGpu, ...], numbers: dict[str, Any]) -> JobPaths:
    """The files of a job that this process is."""
    import time

    paths, now = workspace.job("sweep-1"), time.time()
    write_spec(paths, JobSpec(("-m", "x"), ".", (), "sweep of\ndigits", now))
    write_process(paths, JobProcess(os.getpid(), identity(os.getpid()) or "", os.uname().nodename, 1, now))
    write_status(paths, JobStatus(JobState.RUNNING, 1, now, "3/20 trials", numbers, gpus=gpus), durable=False)
    return paths


def test_jobs_shows_gpus_and_the_time_left(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    job = running(workspace, (JobGpu("0", 3_100_000_000, 0.87), JobGpu("1.2", None, None)), {"eta_seconds": 7200.0})
    assert run(["jobs"]) == 0
    head, line = capsys.readouterr().out.splitlines()
    assert all(name in head for name in ("job", "what", "state", "progress", "GPU", "left", "started", "heartbeat"))
    assert all(text in line for text in ("sweep of digits", "3/20 trials", "0: 3.1 GB 87 %  1.2", "2.0 h", "s ago"))
    assert job_info(job).eta_seconds == pytest.approx(7200, abs=60)


def test_jobs_on_a_machine_without_gpus_has_no_column_for_them(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    running(workspace, (), {})
    assert run(["jobs"]) == 0
    assert "GPU" not in capsys.readouterr().out


def test_a_status_from_before_gpus_were_noted_is_read(workspace: Workspace) -> None:
    job = running(workspace, (), {})
    values = {"state": "running", "attempt": 1, "heartbeat": 0.0, "progress": "", "numbers": {}, "exit_code": None}
    write_json(job.status, {**values, "error": None})
    assert job_info(job).state is JobState.STALE
    assert job_info(job).gpus == ()


def test_jobs_says_that_the_disk_is_full(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    running(workspace, (), {})
    monkeypatch.setattr("shutil.disk_usage", lambda _: types.SimpleNamespace(free=1_500_000))
    assert run(["jobs"]) == 0
    assert "the disk is full (1.5 MB free)" in capsys.readouterr().err

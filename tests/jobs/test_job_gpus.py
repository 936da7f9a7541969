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
from kagglerun.nvml import Nvml
from kagglerun.workspace import JobPaths, Workspace
from tests.fake_nvml import Gpu, fake_nvml


@pytest.fixture
def child() -> Iterator[int]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process.pid
        process.kill()


def with_gpus(monkeypatch: pytest.MonkeyPatch, *gpus: Gpu) -> tuple[JobGpu, ...]:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(*gpus))
    with Nvml.open() as nvml:
        return gpus_of(os.getpid(), nvml)


def test_a_job_has_the_gpus_that_it_or_its_children_compute_on(monkeypatch: pytest.MonkeyPatch, child: int) -> None:
    ours = Gpu("GPU-c", processes={os.getpid(): 5, child: 6, 1: 100})
    found = with_gpus(monkeypatch, Gpu("GPU-a"), Gpu("GPU-b", processes={1: 10}), ours)
    assert found == (JobGpu("2", 11, 0.87),)


def test_slices_are_gpus_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Gpu("MIG-3", processes={os.getpid(): 7})
    cut = Gpu("GPU-a", slices=[Gpu("MIG-0", processes={1: 1}), None, None, mine])
    assert with_gpus(monkeypatch, cut) == (JobGpu("0.3", 7, None),)


def test_memory_that_the_system_does_not_tell_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert with_gpus(monkeypatch, Gpu("GPU-a", processes={os.getpid(): None})) == (JobGpu("0", None, 0.87),)


def test_numbers_of_processes_that_mean_nothing_here_leave_the_busy_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = Gpu("GPU-b", processes={2**22 + 7: 10})
    assert with_gpus(monkeypatch, Gpu("GPU-a"), foreign) == (JobGpu("1", None, 0.87),)


def test_other_peoples_gpus_are_not_a_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert with_gpus(monkeypatch, Gpu("GPU-a", processes={1: 10})) == ()


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
    monkeypatch.setattr("shutil.disk_usage", lambda _: types.SimpleNamespace(free=1_500_000, total=10**12))
    assert run(["jobs"]) == 0
    assert "the disk is full (1.5 MB free)" in capsys.readouterr().err

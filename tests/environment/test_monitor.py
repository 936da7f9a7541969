"""`kagglerun top`: the GPUs, the work on them, and what cannot be seen, against an NVML that is made up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from kagglerun.cli.main import run
from kagglerun.environment import monitor
from kagglerun.environment.monitor import Monitor, Share, Snapshot
from kagglerun.experiment.watch.live import Live, this_process, write_live
from kagglerun.files import write_json
from kagglerun.jobs.process import identity
from kagglerun.jobs.records import JobProcess, JobSpec, JobState, JobStatus, write_process, write_spec, write_status
from kagglerun.workspace import Workspace
from tests.fake_nvml import GIGABYTE, FakeNvml, Gpu

_ME = os.getpid()


@pytest.fixture(autouse=True)
def nothing_reserved(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("KAGGLERUN_RESERVATIONS", f"{tmp_path}/reserved")
    monkeypatch.setenv("KAGGLERUN_OWNER", "anna")


@pytest.fixture
def child() -> Iterator[int]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process.pid
        process.kill()


def seen(monkeypatch: pytest.MonkeyPatch, *gpus: Gpu) -> Snapshot:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(*gpus))
    with Monitor(Workspace.find()) as looking:
        return looking.take()


def a_job(workspace: Workspace, job_id: str, pid: int) -> None:
    paths, now = workspace.job(job_id), time.time()
    write_spec(paths, JobSpec(("-m", "x"), ".", (), "sweep of digits", now))
    write_process(paths, JobProcess(pid, identity(pid) or "", os.uname().nodename, 1, now))
    write_status(paths, JobStatus(JobState.RUNNING, 1, now, "3/20 trials\nbest [0.9]"), durable=False)


def a_run(workspace: Workspace, run_id: str, pid: int, study: str | None = None, **told: Any) -> None:
    paths = workspace.run("digits", run_id)
    write_json(paths.status, {"state": "RUNNING", "study": study})
    live = this_process(**told)
    write_live(paths, Live(**{**live.__dict__, "pid": pid, "identity": identity(pid) or ""}))


def test_a_trial_stands_with_its_job_its_gpu_and_its_waiting(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, child: int
) -> None:
    a_job(workspace, "sweep-1", _ME)
    a_run(workspace, "baseline-4", child, "baseline", loader_wait=0.62, samples_per_second=810.0, cores=2.5)
    gpu = Gpu("GPU-a", free=70, processes={child: 4 * GIGABYTE, 1: GIGABYTE}, busy={child: 35, 1: 20})
    found = seen(monkeypatch, Gpu("GPU-idle"), gpu)
    (work,) = found.work
    assert (work.job, work.run, work.study) == ("sweep-1", "baseline-4", "baseline")
    assert work.gpus == (Share("1", 4 * GIGABYTE, 0.35),)
    assert (work.loader_wait, work.samples_per_second, work.cores) == (0.62, 810, 2.5)
    (stranger,) = found.gpus[1].strangers
    assert (stranger.pid, stranger.memory_bytes) == (1, GIGABYTE) and stranger.user is not None
    assert found.gpus[0].strangers == () and found.unseen == ()


def test_alone_on_a_gpu_its_utilisation_is_the_gpus(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, child: int
) -> None:
    a_run(workspace, "one", child)
    assert seen(monkeypatch, Gpu("GPU-a", processes={child: None})).work[0].gpus == (Share("0", None, 0.87),)
    shared = seen(monkeypatch, Gpu("GPU-a", processes={child: None, 1: None}))
    assert shared.work[0].gpus == (Share("0", None, None),)


def test_a_job_without_a_run_in_work_is_there_and_a_dead_one_is_not(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, child: int
) -> None:
    a_job(workspace, "fetch-1", child)
    a_job(workspace, "killed-1", 2**22 + 9)
    a_run(workspace, "killed", 2**22 + 9)
    (work,) = seen(monkeypatch, Gpu("GPU-a", processes={child: 5})).work
    assert (work.job, work.run, work.gpus) == ("fetch-1", None, (Share("0", 5, 0.87),))


def test_two_workers_of_a_sweep_are_told_apart(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, child: int
) -> None:
    a_job(workspace, "sweep-1", _ME)
    with subprocess.Popen(["sleep", "600"]) as other:
        a_run(workspace, "s-1", child, "s")
        a_run(workspace, "s-2", other.pid, "s")
        gpus = (Gpu("GPU-a", processes={child: 1}), Gpu("GPU-b", processes={other.pid: 2}))
        found = seen(monkeypatch, *gpus).work
        other.kill()
    assert [(work.run, work.gpus[0].index) for work in found] == [("s-1", "0"), ("s-2", "1")]
    assert {work.job for work in found} == {"sweep-1"}


@pytest.mark.parametrize(("error", "said"), [(12, "no NVIDIA driver"), (9, "not loaded"), (18, "reboot")])
@pytest.mark.usefixtures("workspace")
def test_without_gpus_it_says_why(monkeypatch: pytest.MonkeyPatch, error: int, said: str) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(fails=error))
    with Monitor(Workspace.find()) as looking:
        (text,) = looking.take().unseen
    assert text.startswith("GPUs cannot be seen: ") and said in text


@pytest.mark.usefixtures("workspace")
def test_slices_say_what_they_do_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    cut = Gpu("GPU-cut", slices=[Gpu("MIG-1", free=3, total=10, processes={1: 7 * GIGABYTE})])
    found = seen(monkeypatch, cut)
    assert found.gpus[0].look.memory_bytes == 7 * GIGABYTE and found.gpus[0].look.utilisation is None
    assert len(found.unseen) == 1 and "GPU 0 is cut into slices (MIG)" in found.unseen[0]


@pytest.mark.usefixtures("workspace")
def test_a_gpu_that_is_lost_and_one_that_tells_little_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = Gpu("GPU-b", silent=frozenset({"nvmlDeviceGetUtilizationRates"}))
    assert seen(monkeypatch, silent).unseen == ("GPU 0 does not tell its utilisation",)
    gone = Gpu("GPU-a")
    fake = FakeNvml(gone)
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    original = fake.nvmlDeviceGetMemoryInfo

    def lose(handle: Gpu, version: int | None = None) -> Any:
        gone.is_lost = True
        return original(handle, version)

    monkeypatch.setattr(fake, "nvmlDeviceGetMemoryInfo", lose)
    with Monitor(Workspace.find()) as looking:
        assert "GPU 0 does not answer: GPU is lost" in looking.take().unseen[0]


def test_in_a_container_whose_numbers_mean_nothing_runs_speak_for_themselves(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, child: int
) -> None:
    a_run(workspace, "one", child, gpus=("0",))
    found = seen(monkeypatch, Gpu("GPU-a", processes={2**22 + 7: 5}))
    assert found.work[0].gpus == (Share("0", None, None),)
    assert "--pid=host" in found.unseen[0] and found.gpus[0].strangers == ()


@pytest.mark.usefixtures("workspace")
def test_a_driver_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeNvml(Gpu("GPU-a"))
    monkeypatch.setattr(fake, "nvmlDeviceGetCount", lambda: time.sleep(1))
    monkeypatch.setattr(monitor, "_ANSWER_SECONDS", 0.05)
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    with Monitor(Workspace.find()) as looking:
        first, second = looking.take(), looking.take()
    assert "has not answered" in first.unseen[0] and first.unseen == second.unseen


def test_what_is_printed(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], child: int
) -> None:
    a_job(workspace, "sweep-1", _ME)
    a_run(
        workspace, "baseline-4", child, "baseline", loader_wait=0.62, samples_per_second=12810.0, warning="GPU 0 idles"
    )
    gpus = Gpu("GPU-a", free=70, processes={child: 4 * GIGABYTE, 1: GIGABYTE}, busy={child: 35}), Gpu("GPU-b")
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(*gpus))
    assert run(["gpus", "reserve", "1", "--note", "[red]final"]) == 0
    capsys.readouterr()
    assert run(["top", "--once"]) == 0
    shown = capsys.readouterr().out
    assert "10.0 of 80 GB" in shown and "250 of 700 W" in shown and "anna ([red]final) until" in shown
    assert "baseline-4" in shown and "0: 4.0 GB 35%" in shown and "62%" in shown and "12,810" in shown
    assert "3/20 trials best [0.9]" in shown and "baseline-4: GPU 0 idles" in shown
    assert run(["top"]) == 0, "a pipe gets it once"
    assert capsys.readouterr().out == shown
    assert run(["top", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["gpus"][0]["look"]["utilisation"] == 0.87
    assert told["work"][0]["loader_wait"] == 0.62


@pytest.mark.usefixtures("workspace")
def test_an_empty_machine_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(fails=12))
    assert run(["top", "--once"]) == 0
    shown = capsys.readouterr().out
    assert "no job and no run of this workspace is in work" in shown
    assert "GPUs cannot be seen: this machine has no NVIDIA driver" in shown


@pytest.mark.gpu
def test_a_real_gpu_shows_the_run_of_this_process(workspace: Workspace) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    held = torch.ones(64 << 20, device="cuda")
    a_run(workspace, "one", _ME)
    with Monitor(Workspace.find()) as looking:
        found = looking.take()
    assert found.gpus and float(held[0]) == 1.0
    assert found.work[0].gpus or any("--pid=host" in text for text in found.unseen)

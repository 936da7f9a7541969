"""Trials stay away from GPUs that others have reserved; real worker processes, against an NVML that is made up."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from kagglerun.config.load import parse_config
from kagglerun.errors import JobError
from kagglerun.jobs.reservations import release, reserve
from kagglerun.nvml import Nvml
from kagglerun.sweep.devices import free_gpus, visible_gpus
from kagglerun.sweep.local_workers import LocalWorkers
from kagglerun.sweep.objective import TrialTask
from kagglerun.sweep.settle_workers import settle_workers
from kagglerun.workspace import Workspace
from tests.fake_nvml import Gpu, fake_nvml
from tests.sweep.conftest import toy_config

Keep = Callable[..., None]


@pytest.fixture
def somebody_keeps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Keep:
    """Has another person reserve GPUs of two, or give them back."""
    cut = Gpu("GPU-c", slices=[Gpu("MIG-1", free=20), Gpu("MIG-2", free=10)])
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(Gpu("GPU-a"), Gpu("GPU-b", free=70), cut))
    monkeypatch.setenv("KAGGLERUN_RESERVATIONS", str(tmp_path / "reserved"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def keep(*uuids: str, ends: bool = False) -> None:
        monkeypatch.setenv("KAGGLERUN_OWNER", "bert")
        with Nvml.open() as nvml:
            wanted = [gpu for gpu in (*nvml.gpus(), nvml.whole_gpus()[2]) if gpu.uuid in uuids]
        if ends:
            release(wanted)
        else:
            reserve(wanted, 1)
        monkeypatch.setenv("KAGGLERUN_OWNER", "anna")

    return keep


def free_names() -> list[str]:
    return [device.name for device in free_gpus()]


def test_the_free_gpus_are_those_that_nobody_else_keeps(somebody_keeps: Keep) -> None:
    assert free_names() == ["GPU-a", "GPU-b", "MIG-1", "MIG-2"]
    somebody_keeps("GPU-a", "MIG-1")
    assert free_names() == ["GPU-b", "MIG-2"]
    somebody_keeps("GPU-c")
    assert free_names() == ["GPU-b"], "the slices of a GPU are kept with it"
    assert len(visible_gpus()) == 4


def test_where_all_are_kept_the_sweep_says_by_whom(somebody_keeps: Keep) -> None:
    somebody_keeps("GPU-a", "GPU-b", "GPU-c")
    with pytest.raises(JobError, match="every GPU is reserved: GPU 0 by bert"):
        free_gpus()


def test_workers_auto_counts_the_free_ones(somebody_keeps: Keep) -> None:
    somebody_keeps("GPU-a", "GPU-c")
    config = parse_config({"sweep": {"workers": "auto", "slots": "auto"}}, "the test's config")
    settled = settle_workers(config, lambda: True, lambda: 10_000_000_000).sweep
    assert (settled.workers, settled.slots) == (6, 6)


def started_on(workspace: Workspace, workers: LocalWorkers, number: int) -> str | None:
    """CUDA_VISIBLE_DEVICES of the process that a new trial gets."""
    before = {child.pid for child in psutil.Process().children()}
    workers.submit(TrialTask(number, f"digits-toy-{number:04d}", toy_config(hooks={"delay": 30}), None, {}))
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for child in psutil.Process().children():
            # Between fork and exec it is still a copy of this process.
            if child.pid not in before and any("local_workers" in part for part in child.cmdline()):
                found: str | None = child.environ().get("CUDA_VISIBLE_DEVICES")
                return found
        time.sleep(0.01)
    raise AssertionError("no worker was started")


def test_a_worker_sees_no_gpu_that_another_keeps(workspace: Workspace, somebody_keeps: Keep) -> None:
    somebody_keeps("GPU-a", "MIG-1", "MIG-2")
    workers = LocalWorkers(workspace, "tests.sweep.toy:Toy", 3)
    try:
        assert started_on(workspace, workers, 0) == "GPU-b", "named though it is the only one"
        somebody_keeps("GPU-b")
        assert started_on(workspace, workers, 1) == "GPU-b", "what is in use already stays in use"
        somebody_keeps("GPU-a", ends=True)
        assert started_on(workspace, workers, 2) == "GPU-a"
    finally:
        workers.close()


def test_a_trial_on_two_gpus_does_not_take_one_that_is_kept(workspace: Workspace, somebody_keeps: Keep) -> None:
    somebody_keeps("GPU-a", "GPU-c")
    workers = LocalWorkers(workspace, "tests.sweep.toy:Toy", 1, gpus=2)
    try:
        with pytest.raises(JobError, match="a trial takes 2 GPUs, and others have reserved all but 1"):
            started_on(workspace, workers, 0)
    finally:
        workers.close()

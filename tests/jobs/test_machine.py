"""What a process takes of the machine: its GPUs, against an NVML that is made up, and its real cores and memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kagglerun.jobs.machine import MachineWatch, Stretch, usable_cores
from tests.fake_nvml import GIGABYTE, FakeNvml, Gpu, fake_nvml


def watched(monkeypatch: pytest.MonkeyPatch, *gpus: Gpu, looks: int = 1) -> Stretch:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(*gpus))
    watch = MachineWatch(os.getpid())
    for _ in range(looks):
        watch.look()
    stretch = watch.stretch()
    watch.close()
    return stretch


def test_only_the_gpus_of_this_process_are_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Gpu("GPU-b", free=70, processes={os.getpid(): 4 * GIGABYTE, 1: 2 * GIGABYTE}, received=1 << 20)
    (gpu,) = watched(monkeypatch, Gpu("GPU-a", processes={1: 5}), ours).gpus
    assert (gpu.index, gpu.utilisation, gpu.memory_bytes, gpu.watts) == ("1", 0.87, 10 * GIGABYTE, 250)
    assert (gpu.own_bytes, gpu.others) == (4 * GIGABYTE, 1)
    assert gpu.received_share == pytest.approx(1.07e9 / 31.5e9, rel=0.01)


def test_means_are_over_the_stretch_and_the_next_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu("GPU-a", processes={os.getpid(): 1}, utilisation=100)
    fake = fake_nvml(gpu)
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    watch = MachineWatch(os.getpid())
    watch.look()
    gpu.utilisation, gpu.celsius = 50, 80
    watch.look()
    first = watch.stretch()
    gpu.utilisation, gpu.celsius = 10, 40
    watch.look()
    second = watch.stretch()
    watch.close()
    assert (first.gpus[0].utilisation, first.gpus[0].celsius) == (0.75, 80)
    assert (second.gpus[0].utilisation, second.gpus[0].celsius) == (0.1, 40)
    assert fake.opened == 0


def test_a_gpu_that_the_process_comes_to_later_is_seen_and_the_others_are_not_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    idle, late = Gpu("GPU-a", utilisation=1), Gpu("GPU-b", utilisation=60)
    fake = fake_nvml(idle, late)
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    watch = MachineWatch(os.getpid())
    watch.look()
    assert watch.stretch().gpus == ()
    looks = fake.looks
    watch.look()
    assert fake.looks == looks, "neither is this process's"
    late.processes = {os.getpid(): 5}
    (gpu,) = watch.stretch().gpus
    watch.close()
    assert (gpu.index, gpu.utilisation) == ("1", 0.6)


def test_a_slice_tells_its_memory_and_no_utilisation(monkeypatch: pytest.MonkeyPatch) -> None:
    cut = Gpu("GPU-a", slices=[Gpu("MIG-0", free=3, total=10, processes={os.getpid(): None})])
    (gpu,) = watched(monkeypatch, cut).gpus
    assert (gpu.index, gpu.utilisation, gpu.memory_bytes, gpu.own_bytes) == ("0.0", None, 7 * GIGABYTE, None)


def test_in_a_container_whose_numbers_mean_nothing_busy_gpus_count(monkeypatch: pytest.MonkeyPatch) -> None:
    (gpu,) = watched(monkeypatch, Gpu("GPU-a"), Gpu("GPU-b", processes={2**22 + 7: 5})).gpus
    assert (gpu.index, gpu.own_bytes, gpu.others) == ("1", None, None)


def test_a_gpu_that_falls_off_the_bus_is_left_out_and_the_rest_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu("GPU-a", processes={os.getpid(): 1})
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(gpu))
    watch = MachineWatch(os.getpid())
    gpu.is_lost = True
    watch.look()
    assert watch.stretch().gpus == ()
    watch.close()


def test_without_a_driver_cores_and_memory_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(fails=12))
    watch = MachineWatch(os.getpid())
    assert not watch.sees_gpus
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass
    watch.look()
    stretch = watch.stretch()
    assert stretch.gpus == () and stretch.cores > 0 and stretch.memory_bytes > 10_000_000
    assert 0 < stretch.n_cores <= stretch.n_machine_cores


_PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "x = b'x' * 80_000_000; print(len(x), flush=True); input()"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE)
print(child.stdout.readline(), flush=True)
input()
child.kill()
child.wait()
print("gone", flush=True)
input()
"""


def test_children_count_and_what_they_did_before_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    # A process of its own: the one that tests run in may have children of other tests.
    command = [sys.executable, "-c", _PARENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdin is not None and parent.stdout is not None
        watch = MachineWatch(parent.pid)
        assert "80000000" in parent.stdout.readline()
        with_child = watch.stretch().memory_bytes
        assert with_child > 80_000_000
        parent.stdin.write("\n")
        parent.stdin.flush()
        assert parent.stdout.readline() == "gone\n"
        watch.stretch()
        assert watch.stretch().memory_bytes < with_child - 50_000_000
        parent.kill()


def test_a_container_with_less_time_has_fewer_cores(tmp_path: Path) -> None:
    quota = tmp_path / "cpu.max"
    quota.write_text("50000 100000\n")
    assert usable_cores(quota) == 0.5
    quota.write_text("max 100000\n")
    assert usable_cores(quota) == usable_cores(tmp_path / "none") >= 1

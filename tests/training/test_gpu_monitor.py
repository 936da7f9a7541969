"""The sampler over NVML, against a library module that plays NVML; no GPU is needed."""

from __future__ import annotations

import os
import sys
import threading
import types
from collections.abc import Callable

import pytest
import torch

from kagglerun.training.gpu_monitor import GpuMonitor, GpuSample, GpuUse
from tests.fake_nvml import FakeNvml, Gpu, fake_nvml

_GPU = torch.device("cuda", 0)
_UUID = "11111111-2222-3333-4444-555555555555"


class Watched(FakeNvml):
    """One GPU, whose utilisation and used bytes follow `readings`; it counts its looks."""

    def __init__(self, *readings: tuple[int, int], refuse: tuple[str, ...] = ()) -> None:
        self.gpu = Gpu(f"GPU-{_UUID}", processes={os.getpid(): None, 1: None}, silent=frozenset(refuse))
        super().__init__(self.gpu)
        self.readings = list(readings)
        self.asked: list[str] = []
        self.seen = threading.Event()

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes) -> Gpu:
        self.asked.append(uuid.decode())
        return super().nvmlDeviceGetHandleByUUID(uuid)

    def nvmlDeviceGetMemoryInfo(self, handle: Gpu, version: int | None = None) -> types.SimpleNamespace:
        self._of(handle, "nvmlDeviceGetMemoryInfo")
        busy, used = self.readings[min(self.looks, len(self.readings) - 1)]
        self.gpu.utilisation = busy
        return types.SimpleNamespace(used=used, total=1000, free=1000 - used)

    def nvmlDeviceGetUtilizationRates(self, handle: Gpu) -> types.SimpleNamespace:
        found: types.SimpleNamespace = super().nvmlDeviceGetUtilizationRates(handle)
        if self.looks > len(self.readings):
            self.seen.set()
        return found


Install = Callable[..., Watched]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    def install(*readings: tuple[int, int], refuse: tuple[str, ...] = ()) -> Watched:
        fake = Watched(*readings, refuse=refuse)
        monkeypatch.setitem(sys.modules, "pynvml", fake)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: types.SimpleNamespace(uuid=_UUID))
        return fake

    return install


def test_mean_and_most_over_an_interval_are_told_and_the_next_interval_begins_anew(install: Install) -> None:
    nvml = install((50, 100), (100, 300))
    with GpuMonitor(_GPU, seconds=0.001) as monitor:
        assert nvml.seen.wait(20)
        use = monitor.interval()
        nvml.readings, nvml.looks = [(10, 500)], 0
        nvml.seen.clear()
        assert nvml.seen.wait(20)
        monitor.interval()
        nvml.seen.clear()
        assert nvml.seen.wait(20)
        later = monitor.interval()
    assert use is not None and later is not None
    assert 0.5 <= use.utilisation <= use.utilisation_max == 1.0
    assert use.memory_bytes_max == 300 and use.memory_total_bytes == 1000
    assert use.watts == 250 and use.celsius == 61 and use.other_processes == 1
    assert (later.utilisation, later.memory_bytes) == (0.1, 500)


def test_the_gpu_is_found_by_its_uuid_since_visible_devices_renumber_them(install: Install) -> None:
    nvml = install((0, 0))
    with GpuMonitor(_GPU):
        pass
    assert nvml.asked == [f"GPU-{_UUID}"]
    assert nvml.opened == 0, "NVML is shut down at the end"


def test_means_are_those_of_the_samples() -> None:
    use = GpuUse.over([GpuSample(0.2, 10, 100.0, None, None), GpuSample(0.6, 30, None, None, 2)], 50)
    assert use == GpuUse(2, 0.4, 0.6, 20, 30, 50, 100.0, 100.0, None, None, 2)
    assert GpuUse.over([], 50) is None


@pytest.mark.parametrize("silent", ["nvmlDeviceGetPowerUsage", "nvmlDeviceGetComputeRunningProcesses"])
def test_what_a_gpu_does_not_tell_is_none_and_the_rest_is_there(install: Install, silent: str) -> None:
    install((30, 5), refuse=(silent,))
    with GpuMonitor(_GPU, seconds=0.001) as monitor:
        use = None
        while use is None:
            use = monitor.interval()
    assert use.utilisation == pytest.approx(0.3)
    assert (use.watts is None) == (silent == "nvmlDeviceGetPowerUsage")
    assert (use.other_processes is None) == (silent == "nvmlDeviceGetComputeRunningProcesses")


def test_a_gpu_that_tells_nothing_gives_no_figure_and_no_error(install: Install) -> None:
    nvml = install((30, 5), refuse=("nvmlDeviceGetUtilizationRates",))
    with GpuMonitor(_GPU) as monitor:
        assert monitor.interval() is None
    nvml.gpu.is_lost = True
    with GpuMonitor(_GPU) as monitor:
        assert monitor.interval() is None
    assert nvml.opened == 0, "NVML is shut down though there was nothing to see"


def test_a_gpu_that_nvml_does_not_know_and_a_driver_that_is_not_loaded_give_no_figure(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install((30, 5)).gpu.uuid = "GPU-other"
    with GpuMonitor(_GPU) as monitor:
        assert monitor.interval() is None
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(works=False))
    with GpuMonitor(_GPU) as monitor:
        assert monitor.interval() is None


def test_without_the_library_or_without_a_gpu_there_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    with GpuMonitor(torch.device("cpu")) as monitor:
        assert monitor.interval() is None
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with GpuMonitor(_GPU) as monitor:
        assert monitor.interval() is None


def test_the_real_library_without_a_driver_gives_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: types.SimpleNamespace(uuid=_UUID))
    if torch.cuda.is_available():
        pytest.skip("this machine has a driver")
    with GpuMonitor(_GPU) as monitor:
        assert monitor.interval() is None

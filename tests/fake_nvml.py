"""NVIDIA's management library as a module, with the GPUs that a test wants.

Errors, constants and names are those of the real `pynvml`, whose functions this one replaces: it answers, refuses and
counts its openings as the library does.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import pynvml as real

GIGABYTE = 1_000_000_000


@dataclass
class Gpu:
    """A GPU, or a slice of one. Memory is in gigabytes.

    Attributes:
        uuid: its name.
        free: memory that nobody has taken.
        total: its memory.
        slices: of a GPU in MIG mode; None is a place without a slice.
        tells_memory: whether it tells its memory.
        name: the model.
        utilisation: percent.
        watts: power.
        celsius: temperature.
        processes: process id to bytes.
        busy: process id to percent of the GPU's time.
        received: KiB a second over the link.
        silent: functions that it does not support.
        is_lost: it has fallen off the bus.
    """

    uuid: str
    free: float = 80
    total: float = 80
    slices: list[Gpu | None] = field(default_factory=list)
    tells_memory: bool = True
    name: str = "NVIDIA Test 80GB"
    utilisation: int = 87
    watts: float = 250.0
    celsius: int = 61
    processes: dict[int, int | None] = field(default_factory=dict)
    busy: dict[int, int] = field(default_factory=dict)
    received: int = 0
    silent: frozenset[str] = frozenset()
    is_lost: bool = False
    is_slice: bool = False


_NOT_OF_SLICES = frozenset(
    {
        "nvmlDeviceGetUtilizationRates",
        "nvmlDeviceGetPowerUsage",
        "nvmlDeviceGetEnforcedPowerLimit",
        "nvmlDeviceGetTemperature",
        "nvmlDeviceGetPcieThroughput",
        "nvmlDeviceGetProcessUtilization",
    }
)
_NOT_OF_CUT_GPUS = frozenset({"nvmlDeviceGetUtilizationRates", "nvmlDeviceGetProcessUtilization"})


class FakeNvml(ModuleType):
    """A module `pynvml`.

    Args:
        gpus: the machine's.
        fails: why NVML cannot be initialised, an error's number; None where it can.
    """

    def __init__(self, *gpus: Gpu, fails: int | None = None) -> None:
        super().__init__("pynvml")
        self._gpus, self._fails = gpus, fails
        self.opened = 0
        self.looks = 0
        for gpu in gpus:
            for part in gpu.slices:
                if part is not None:
                    part.is_slice = True

    def __getattr__(self, name: str) -> Any:
        if name.startswith("nvml"):
            raise AttributeError(f"the fake has no {name}")
        return getattr(real, name)

    def nvmlInit(self) -> None:
        if self._fails is not None:
            raise real.NVMLError(self._fails)
        self.opened += 1

    def nvmlShutdown(self) -> None:
        self._require_open()
        self.opened -= 1

    def nvmlDeviceGetCount(self) -> int:
        self._require_open()
        return len(self._gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Gpu:
        self._require_open()
        if not 0 <= index < len(self._gpus):
            raise real.NVMLError(real.NVML_ERROR_INVALID_ARGUMENT)
        return self._gpus[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes) -> Gpu:
        self._require_open()
        everything = [part for gpu in self._gpus for part in (gpu, *gpu.slices) if part is not None]
        found = next((gpu for gpu in everything if gpu.uuid.encode() == uuid), None)
        if found is None:
            raise real.NVMLError(real.NVML_ERROR_NOT_FOUND)
        return found

    def nvmlDeviceGetIndex(self, handle: Gpu) -> int:
        self._of(handle, "nvmlDeviceGetIndex")
        return self._gpus.index(handle)

    def nvmlDeviceGetUUID(self, handle: Gpu) -> str:
        return self._of(handle, "nvmlDeviceGetUUID").uuid

    def nvmlDeviceGetName(self, handle: Gpu) -> str:
        return self._of(handle, "nvmlDeviceGetName").name

    def nvmlDeviceGetMemoryInfo(self, handle: Gpu, version: int | None = None) -> Any:
        gpu = self._of(handle, "nvmlDeviceGetMemoryInfo")
        if not gpu.tells_memory:
            raise real.NVMLError(real.NVML_ERROR_NOT_SUPPORTED)
        free, total = int(gpu.free * GIGABYTE), int(gpu.total * GIGABYTE)
        return SimpleNamespace(free=free, total=total, used=total - free)

    def nvmlDeviceGetUtilizationRates(self, handle: Gpu) -> Any:
        self.looks += 1
        return SimpleNamespace(gpu=self._of(handle, "nvmlDeviceGetUtilizationRates").utilisation, memory=0)

    def nvmlDeviceGetPowerUsage(self, handle: Gpu) -> int:
        return int(self._of(handle, "nvmlDeviceGetPowerUsage").watts * 1000)

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: Gpu) -> int:
        self._of(handle, "nvmlDeviceGetEnforcedPowerLimit")
        return 700_000

    def nvmlDeviceGetTemperature(self, handle: Gpu, sensor: int) -> int:
        assert sensor == real.NVML_TEMPERATURE_GPU
        return self._of(handle, "nvmlDeviceGetTemperature").celsius

    def nvmlDeviceGetComputeRunningProcesses(self, handle: Gpu) -> list[Any]:
        gpu = self._of(handle, "nvmlDeviceGetComputeRunningProcesses")
        return [SimpleNamespace(pid=pid, usedGpuMemory=held) for pid, held in gpu.processes.items()]

    def nvmlDeviceGetProcessUtilization(self, handle: Gpu, timeStamp: int) -> list[Any]:
        gpu = self._of(handle, "nvmlDeviceGetProcessUtilization")
        if not gpu.busy:
            raise real.NVMLError(real.NVML_ERROR_NOT_FOUND)
        return [SimpleNamespace(pid=pid, smUtil=percent, timeStamp=timeStamp) for pid, percent in gpu.busy.items()]

    def nvmlDeviceGetPcieThroughput(self, device: Gpu, counter: int) -> int:
        assert counter == real.NVML_PCIE_UTIL_RX_BYTES
        return self._of(device, "nvmlDeviceGetPcieThroughput").received

    def nvmlDeviceGetMaxPcieLinkGeneration(self, handle: Gpu) -> int:
        self._of(handle, "nvmlDeviceGetMaxPcieLinkGeneration")
        return 4

    def nvmlDeviceGetCurrPcieLinkWidth(self, handle: Gpu) -> int:
        self._of(handle, "nvmlDeviceGetCurrPcieLinkWidth")
        return 16

    def nvmlDeviceGetMigMode(self, device: Gpu) -> list[int]:
        gpu = self._of(device, "nvmlDeviceGetMigMode")
        if not gpu.slices:
            raise real.NVMLError(real.NVML_ERROR_NOT_SUPPORTED)
        return [real.NVML_DEVICE_MIG_ENABLE, real.NVML_DEVICE_MIG_ENABLE]

    def nvmlDeviceGetMaxMigDeviceCount(self, device: Gpu) -> int:
        return len(self._of(device, "nvmlDeviceGetMaxMigDeviceCount").slices)

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device: Gpu, index: int) -> Gpu:
        gpu = self._of(device, "nvmlDeviceGetMigDeviceHandleByIndex")
        found = gpu.slices[index] if index < len(gpu.slices) else None
        if found is None:
            raise real.NVMLError(real.NVML_ERROR_NOT_FOUND)
        return found

    def _require_open(self) -> None:
        if not self.opened:
            raise real.NVMLError(real.NVML_ERROR_UNINITIALIZED)

    def _of(self, gpu: Gpu, name: str) -> Gpu:
        self._require_open()
        if gpu.is_lost:
            raise real.NVMLError(real.NVML_ERROR_GPU_IS_LOST)
        refused = gpu.silent | (_NOT_OF_SLICES if gpu.is_slice else frozenset())
        if name in refused | (_NOT_OF_CUT_GPUS if gpu.slices else frozenset()):
            raise real.NVMLError(real.NVML_ERROR_NOT_SUPPORTED)
        return gpu


def fake_nvml(*gpus: Gpu, works: bool = True) -> FakeNvml:
    """A module `pynvml`; without a driver where it does not work."""
    return FakeNvml(*gpus, fails=None if works else real.NVML_ERROR_DRIVER_NOT_LOADED)


def fake_functions() -> dict[str, tuple[Callable[..., Any], Callable[..., Any]]]:
    """Name to the fake's and the real function."""
    return {
        name: (function, getattr(real, name))
        for name, function in inspect.getmembers(FakeNvml, inspect.isfunction)
        if name.startswith("nvml")
    }

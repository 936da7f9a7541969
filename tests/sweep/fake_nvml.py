"""NVIDIA's management library as a module, with the GPUs that a test wants."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NamedTuple

GIGABYTE = 1_000_000_000


class Memory(NamedTuple):
    free: int
    total: int


@dataclass
class Gpu:
    """A GPU, or a slice of one."""

    uuid: str
    free: float
    total: float = 80
    slices: list[Gpu | None] = field(default_factory=list)
    tells_memory: bool = True


def fake_nvml(*gpus: Gpu, works: bool = True) -> ModuleType:
    """A module `pynvml`; without a driver where it does not work."""
    module: Any = ModuleType("pynvml")

    class NVMLError(Exception):
        pass

    NVMLError.__module__ = "pynvml"

    def start() -> None:
        if not works:
            raise NVMLError("Driver Not Loaded")

    def memory(gpu: Gpu) -> Memory:
        if not gpu.tells_memory:
            raise NVMLError("Not Supported")
        return Memory(int(gpu.free * GIGABYTE), int(gpu.total * GIGABYTE))

    def mig_mode(gpu: Gpu) -> list[int]:
        if not gpu.slices:
            raise NVMLError("Not Supported")
        return [1, 1]

    def part(gpu: Gpu, index: int) -> Gpu:
        found = gpu.slices[index]
        if found is None:
            raise NVMLError("Not Found")
        return found

    module.NVMLError = NVMLError
    module.NVML_DEVICE_MIG_ENABLE = 1
    module.nvmlInit = start
    module.nvmlShutdown = lambda: None
    module.nvmlDeviceGetCount = lambda: len(gpus)
    module.nvmlDeviceGetHandleByIndex = lambda index: gpus[index]
    module.nvmlDeviceGetUUID = lambda gpu: gpu.uuid
    module.nvmlDeviceGetMemoryInfo = memory
    module.nvmlDeviceGetMigMode = mig_mode
    module.nvmlDeviceGetMaxMigDeviceCount = lambda gpu: len(gpu.slices)
    module.nvmlDeviceGetMigDeviceHandleByIndex = part
    made: ModuleType = module
    return made

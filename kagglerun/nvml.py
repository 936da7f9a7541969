"""NVIDIA's management library (NVML): all that kagglerun asks of it, and the one place that does.

    with Nvml.open() as nvml:
        for gpu in nvml.gpus():
            nvml.look(gpu).utilisation

What a GPU does not tell is None, never an error: GPUs differ, slices (MIG) tell little, and a driver may be older than
a question. That there is no driver at all is `NoGpus`, whose text says why.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any

_LONGEST_WINDOW_MICROSECONDS = 5_000_000
_PCIE_GIGABYTES_PER_LANE = {1: 0.25, 2: 0.5, 3: 0.985, 4: 1.969, 5: 3.938, 6: 7.563}
"""What a lane carries in one direction a second, by the link's generation: the PCI-SIG's rates less the encoding."""

_REASONS = {
    "NVMLError_LibraryNotFound": "this machine has no NVIDIA driver (libnvidia-ml.so.1 is not found); in a container: "
    "it was started without GPUs",
    "NVMLError_DriverNotLoaded": "NVIDIA's driver is installed and not loaded: `nvidia-smi` says why",
    "NVMLError_LibRmVersionMismatch": "NVIDIA's driver was updated and the old one still runs: reboot the machine",
    "NVMLError_NoPermission": "this user may not ask NVIDIA's driver: see the permissions of /dev/nvidia*",
}


class NoGpus(Exception):
    """NVML cannot be asked; the text says why, for people."""


@dataclass(frozen=True)
class Gpu:
    """A GPU, or a slice of one that is cut into such (MIG).

    Attributes:
        index: NVML's number of it, e.g. "0"; "0.1" is slice 1 of GPU 0.
        uuid: its own name, which no order of numbers changes.
        name: the model, e.g. "NVIDIA H100 80GB HBM3".
        whole_uuid: of a slice the name of its GPU; else its own.
        handle: NVML's.
    """

    index: str
    uuid: str
    name: str
    whole_uuid: str
    handle: Any = field(repr=False, compare=False)

    @property
    def is_slice(self) -> bool:
        """Whether it is a slice of a GPU."""
        return self.uuid != self.whole_uuid


@dataclass(frozen=True)
class Look:
    """A GPU at one moment; None is what it does not tell.

    Attributes:
        utilisation: share of the last moments (1/6 to 1 second) in which a kernel of any process ran, 0 to 1.
        memory_bytes: memory in use, by all processes.
        free_bytes: memory that no process has taken.
        memory_total_bytes: what it has.
        watts: power drawn.
        watts_limit: the most it may draw.
        celsius: temperature.
        processes: process id to bytes that it holds (None: not told) of those that compute on it. In a container they
            may be numbers of the host.
        problem: why it does not answer at all, e.g. "GPU is lost".
    """

    utilisation: float | None = None
    memory_bytes: int | None = None
    free_bytes: int | None = None
    memory_total_bytes: int | None = None
    watts: float | None = None
    watts_limit: float | None = None
    celsius: float | None = None
    processes: dict[int, int | None] | None = None
    problem: str | None = None


class Nvml:
    """NVML while it is open; close it, or use it as a context manager.

    Args:
        module: `pynvml`, initialised.
    """

    def __init__(self, module: Any) -> None:
        self._module = module

    @classmethod
    def open(cls) -> Nvml:
        """Initialise NVML.

        Raises:
            NoGpus: there is no driver, or it does not answer.
        """
        try:
            module = importlib.import_module("pynvml")
        except ImportError:
            raise NoGpus("nvidia-ml-py is not installed, so GPUs cannot be seen: pip install nvidia-ml-py") from None
        try:
            module.nvmlInit()
        except module.NVMLError as error:
            reason = _REASONS.get(type(error).__name__, f"NVIDIA's driver does not answer: {error}")
            raise NoGpus(reason) from None
        return cls(module)

    def close(self) -> None:
        """Let go of NVML."""
        self._ask(self._module.nvmlShutdown)

    def __enter__(self) -> Nvml:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def gpus(self) -> tuple[Gpu, ...]:
        """Every GPU of the machine, or its slices where it is cut into such."""
        count = self._ask(self._module.nvmlDeviceGetCount) or 0
        return tuple(gpu for number in range(count) for gpu in self._of_number(number))

    def whole_gpus(self) -> tuple[Gpu, ...]:
        """Every GPU of the machine, cut into slices or not."""
        count = self._ask(self._module.nvmlDeviceGetCount) or 0
        return tuple(gpu for number in range(count) if (gpu := self._whole(number)) is not None)

    def by_uuid(self, uuid: str) -> Gpu | None:
        """The GPU or slice of this name; None where there is none."""
        handle = self._ask(lambda: self._module.nvmlDeviceGetHandleByUUID(uuid.encode()))
        if handle is None:
            return None
        return Gpu(str(self._ask(lambda: self._module.nvmlDeviceGetIndex(handle))), uuid, "", uuid, handle)

    def by_number(self, number: int) -> Gpu | None:
        """The GPU of this number on the bus; None where there is none."""
        return self._whole(number)

    def is_cut(self, gpu: Gpu) -> bool:
        """Whether a whole GPU is in MIG mode: what runs on it runs on its slices."""
        mode = self._ask(lambda: self._module.nvmlDeviceGetMigMode(gpu.handle))  # older GPUs do not know the question
        return bool(mode) and mode[0] == self._module.NVML_DEVICE_MIG_ENABLE

    def look(self, gpu: Gpu) -> Look:
        """What it does at this moment."""
        nvml, handle = self._module, gpu.handle
        try:
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        except (nvml.NVMLError_GpuIsLost, nvml.NVMLError_ResetRequired, nvml.NVMLError_Uninitialized) as error:
            return Look(problem=str(error))
        except nvml.NVMLError:
            memory = None
        # The driver counts for the whole GPU what a slice does not tell; it means nothing for the slice.
        asks = {} if gpu.is_slice else self._of_whole_gpu(handle)
        return Look(
            memory_bytes=None if memory is None else int(memory.used),
            free_bytes=None if memory is None else int(memory.free),
            memory_total_bytes=None if memory is None else int(memory.total),
            processes=self.processes(gpu),
            **asks,
        )

    def processes(self, gpu: Gpu) -> dict[int, int | None] | None:
        """Process id to the bytes that it holds, of those that compute on it; None where it is not told."""
        found = self._ask(lambda: self._module.nvmlDeviceGetComputeRunningProcesses(gpu.handle))
        return None if found is None else {one.pid: one.usedGpuMemory for one in found}

    def busy_processes(self, gpu: Gpu) -> dict[int, float]:
        """Process id to its own share of the GPU's time in the last seconds, 0 to 1; empty where it is not told."""
        since = time.time_ns() // 1000 - _LONGEST_WINDOW_MICROSECONDS
        samples = self._ask(lambda: self._module.nvmlDeviceGetProcessUtilization(gpu.handle, since)) or []
        latest = {sample.pid: sample for sample in sorted(samples, key=lambda one: one.timeStamp)}
        return {pid: sample.smUtil / 100 for pid, sample in latest.items() if sample.timeStamp >= since}

    def received_bytes_per_second(self, gpu: Gpu) -> float | None:
        """What the host sends over the PCIe link; None where it is not told. The driver measures for 20 ms."""
        nvml = self._module
        kibibytes = self._ask(lambda: nvml.nvmlDeviceGetPcieThroughput(gpu.handle, nvml.NVML_PCIE_UTIL_RX_BYTES))
        return None if kibibytes is None else kibibytes * 1024.0

    def link_bytes_per_second(self, gpu: Gpu) -> float | None:
        """What its PCIe link carries in one direction at most; None where it is not told."""
        nvml, handle = self._module, gpu.handle
        generation = self._ask(lambda: nvml.nvmlDeviceGetMaxPcieLinkGeneration(handle))
        lanes = self._ask(lambda: nvml.nvmlDeviceGetCurrPcieLinkWidth(handle))
        each = _PCIE_GIGABYTES_PER_LANE.get(generation or 0)
        return each * lanes * 1e9 if each and lanes else None

    def _of_whole_gpu(self, handle: Any) -> dict[str, Any]:
        nvml = self._module
        rates = self._ask(lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
        watts = self._ask(lambda: nvml.nvmlDeviceGetPowerUsage(handle))
        limit = self._ask(lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle))
        celsius = self._ask(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
        return {
            "utilisation": None if rates is None else float(rates.gpu) / 100,
            "watts": None if watts is None else watts / 1000,
            "watts_limit": None if limit is None else limit / 1000,
            "celsius": None if celsius is None else float(celsius),
        }

    def _of_number(self, number: int) -> Iterator[Gpu]:
        whole = self._whole(number)
        if whole is None:
            return
        if not self.is_cut(whole):
            yield whole
            return
        nvml = self._module
        places = self._ask(lambda: nvml.nvmlDeviceGetMaxMigDeviceCount(whole.handle)) or 0
        for place in range(places):
            handle = self._ask(partial(nvml.nvmlDeviceGetMigDeviceHandleByIndex, whole.handle, place))
            uuid = None if handle is None else self._ask(partial(nvml.nvmlDeviceGetUUID, handle))
            if uuid is not None:  # else a place without a slice
                name = self._ask(partial(nvml.nvmlDeviceGetName, handle)) or whole.name
                yield Gpu(f"{number}.{place}", uuid, name, whole.uuid, handle)

    def _whole(self, number: int) -> Gpu | None:
        handle = self._ask(lambda: self._module.nvmlDeviceGetHandleByIndex(number))
        uuid = None if handle is None else self._ask(lambda: self._module.nvmlDeviceGetUUID(handle))
        if uuid is None:
            return None
        name = self._ask(lambda: self._module.nvmlDeviceGetName(handle)) or ""
        return Gpu(str(number), uuid, name, uuid, handle)

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except self._module.NVMLError:
            return None

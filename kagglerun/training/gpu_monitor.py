"""How busy a GPU is, by NVML, sampled in a thread while something else runs.

A machine without NVIDIA's driver gives None everywhere, never an error.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from types import TracebackType

import torch

from kagglerun.nvml import Gpu, NoGpus, Nvml

_SECONDS_BETWEEN_SAMPLES = 0.1
"""NVML itself averages the utilisation over 1/6 to 1 second, depending on the GPU."""


@dataclass(frozen=True)
class GpuSample:
    """One look at a GPU.

    Attributes:
        utilisation: share of the last moments in which a kernel ran, 0 to 1.
        memory_bytes: memory in use, by all processes.
        watts: power drawn; None where the GPU does not tell.
        celsius: temperature; None where the GPU does not tell.
        other_processes: processes that compute on it besides this one; None where the GPU does not tell.
    """

    utilisation: float
    memory_bytes: int
    watts: float | None
    celsius: float | None
    other_processes: int | None


@dataclass(frozen=True)
class GpuUse:
    """What a GPU did in a stretch of time.

    Attributes:
        samples: number of looks at it.
        utilisation: mean share of the time in which a kernel ran, 0 to 1.
        utilisation_max: the highest of the looks.
        memory_bytes: mean memory in use, by all processes.
        memory_bytes_max: the most.
        memory_total_bytes: what it has.
        watts: mean power; None where the GPU does not tell.
        watts_max: the most.
        celsius: mean temperature; None where the GPU does not tell.
        celsius_max: the highest.
        other_processes: most processes that computed on it besides this one; None where the GPU does not tell.
    """

    samples: int
    utilisation: float
    utilisation_max: float
    memory_bytes: int
    memory_bytes_max: int
    memory_total_bytes: int
    watts: float | None
    watts_max: float | None
    celsius: float | None
    celsius_max: float | None
    other_processes: int | None

    @classmethod
    def over(cls, samples: list[GpuSample], memory_total_bytes: int) -> GpuUse | None:
        """Mean and most over some looks; None over none."""
        if not samples:
            return None
        watts = [sample.watts for sample in samples if sample.watts is not None]
        celsius = [sample.celsius for sample in samples if sample.celsius is not None]
        others = [sample.other_processes for sample in samples if sample.other_processes is not None]
        memory = [sample.memory_bytes for sample in samples]
        utilisation = [sample.utilisation for sample in samples]
        return cls(
            samples=len(samples),
            utilisation=_mean(utilisation),
            utilisation_max=max(utilisation),
            memory_bytes=round(_mean(memory)),
            memory_bytes_max=max(memory),
            memory_total_bytes=memory_total_bytes,
            watts=_mean(watts) if watts else None,
            watts_max=max(watts, default=None),
            celsius=_mean(celsius) if celsius else None,
            celsius_max=max(celsius, default=None),
            other_processes=max(others, default=None),
        )


class GpuMonitor:
    """Looks at a GPU every tenth of a second, within a `with` block.

    Args:
        device: the GPU that torch computes on; a CPU gives None.
        seconds: time between two looks.
    """

    def __init__(self, device: torch.device, seconds: float = _SECONDS_BETWEEN_SAMPLES) -> None:
        self._device, self._seconds = device, seconds
        self._gpu: _Gpu | None = None
        self._samples: list[GpuSample] = []
        self._lock, self._end = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> GpuMonitor:
        self._gpu = _Gpu.open(self._device)
        if self._gpu is not None:
            self._end.clear()
            self._thread = threading.Thread(target=self._watch, args=(self._gpu,), name="gpu-monitor", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._gpu is not None:
            self._gpu.close()
            self._gpu = None

    def interval(self) -> GpuUse | None:
        """Mean and most since the last call, or since the block began; None without NVML or before the first look."""
        with self._lock:
            samples, self._samples = self._samples, []
        gpu = self._gpu
        return GpuUse.over(samples, gpu.memory_total_bytes) if gpu is not None else None

    def _watch(self, gpu: _Gpu) -> None:
        while not self._end.is_set():
            sample = gpu.sample()
            if sample is None:
                return
            with self._lock:
                self._samples.append(sample)
            self._end.wait(self._seconds)


class _Gpu:
    """One GPU as NVML sees it."""

    def __init__(self, nvml: Nvml, gpu: Gpu, memory_total_bytes: int) -> None:
        self._nvml, self._gpu, self.memory_total_bytes = nvml, gpu, memory_total_bytes

    @classmethod
    def open(cls, device: torch.device) -> _Gpu | None:
        """The GPU behind a torch device; None without NVML or without such a GPU."""
        if device.type != "cuda":
            return None
        try:
            nvml = Nvml.open()
        except NoGpus:
            return None
        gpu = _behind(nvml, device)
        total = None if gpu is None else nvml.look(gpu).memory_total_bytes
        if gpu is None or total is None:
            nvml.close()
            return None
        return cls(nvml, gpu, total)

    def close(self) -> None:
        """Let go of NVML."""
        self._nvml.close()

    def sample(self) -> GpuSample | None:
        """One look; None when the GPU is gone or tells nothing."""
        look = self._nvml.look(self._gpu)
        if look.utilisation is None or look.memory_bytes is None:
            return None
        others = None if look.processes is None else sum(pid != os.getpid() for pid in look.processes)
        return GpuSample(look.utilisation, look.memory_bytes, look.watts, look.celsius, others)


def _behind(nvml: Nvml, device: torch.device) -> Gpu | None:
    """The GPU of a torch device: CUDA_VISIBLE_DEVICES may have renumbered them, the UUID says which it is."""
    index = torch.cuda.current_device() if device.index is None else device.index
    uuid = getattr(torch.cuda.get_device_properties(index), "uuid", None)
    return nvml.by_number(index) if uuid is None else nvml.by_uuid(f"GPU-{uuid}")


def _mean(values: list[float] | list[int]) -> float:
    return sum(values) / len(values)

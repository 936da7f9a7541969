"""What a process and its children take of the machine over a stretch of time: GPUs by NVML, cores and memory.

Without NVIDIA's driver there are no GPUs in it, which is no error.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from kagglerun.jobs.gpus import are_foreign, held_bytes, process_tree
from kagglerun.nvml import Gpu, Look, NoGpus, Nvml

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True)
class GpuStretch:
    """A GPU over a stretch of time; None is what it does not tell.

    Attributes:
        index: NVML's number of it; "0.1" is slice 1 of GPU 0.
        name: the model.
        utilisation: mean share of the time in which a kernel of any process ran, 0 to 1.
        memory_bytes: the most memory in use, by all processes.
        memory_total_bytes: what it has.
        watts: mean power.
        celsius: the highest temperature.
        own_bytes: memory that the process and its children hold.
        others: processes of other work that compute on it too.
        received_share: mean share of what its link carries that the host sent.
    """

    index: str
    name: str
    utilisation: float | None
    memory_bytes: int | None
    memory_total_bytes: int | None
    watts: float | None
    celsius: float | None
    own_bytes: int | None
    others: int | None
    received_share: float | None


@dataclass(frozen=True)
class Stretch:
    """What was taken of the machine.

    Attributes:
        seconds: how long it was.
        gpus: those that the process or its children compute on.
        cores: cores that they kept busy, on average.
        machine_cores: cores that all processes of the machine kept busy.
        n_cores: cores that the process may use: by its affinity and its container's share of time.
        n_machine_cores: cores of the machine.
        memory_bytes: resident memory of the process and its children.
    """

    seconds: float
    gpus: tuple[GpuStretch, ...]
    cores: float
    machine_cores: float
    n_cores: float
    n_machine_cores: int
    memory_bytes: int


@dataclass
class _Watched:
    """A GPU and what was seen of it since the last stretch; `is_used`: by the process that is watched."""

    gpu: Gpu
    link: float | None
    is_used: bool = True
    looks: list[Look] = field(default_factory=list)
    received: list[float] = field(default_factory=list)


class MachineWatch:
    """Looks at the machine now and then; not for two threads at once.

    Args:
        pid: the process that is watched, with its children.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._nvml: Nvml | None = None
        self._gpus: list[_Watched] = []
        try:
            self._nvml = Nvml.open()
            self._gpus = [_Watched(gpu, self._nvml.link_bytes_per_second(gpu)) for gpu in self._nvml.gpus()]
        except NoGpus:
            pass  # the cores and the memory are there all the same
        self._cpu: dict[int, float] = {}
        self._began, self._machine_busy = time.monotonic(), _machine_busy_seconds()
        self._take_cpu()

    def close(self) -> None:
        """Let go of NVML."""
        if self._nvml is not None:
            self._nvml.close()
            self._nvml, self._gpus = None, []

    @property
    def sees_gpus(self) -> bool:
        """Whether there are GPUs to look at."""
        return bool(self._gpus)

    def look(self) -> None:
        """Look at the GPUs once: at those that were the process's at the last stretch's end, at first at all."""
        for watched in self._gpus:
            if watched.is_used:
                self._look_at(watched)

    def stretch(self) -> Stretch:
        """What was taken since the last call, or since the beginning."""
        now, busy = time.monotonic(), _machine_busy_seconds()
        seconds = max(now - self._began, 1e-3)
        own, memory = self._take_cpu()
        made = Stretch(
            seconds=seconds,
            gpus=self._used_gpus(),
            cores=own / seconds,
            machine_cores=(busy - self._machine_busy) / seconds,
            n_cores=usable_cores(),
            n_machine_cores=psutil.cpu_count() or 1,
            memory_bytes=memory,
        )
        self._began, self._machine_busy = now, busy
        for watched in self._gpus:
            watched.looks.clear()
            watched.received.clear()
        return made

    def _look_at(self, watched: _Watched) -> None:
        assert self._nvml is not None, "GPUs are there only while NVML is open"
        watched.looks.append(self._nvml.look(watched.gpu))
        received = None if watched.link is None else self._nvml.received_bytes_per_second(watched.gpu)
        if received is not None:
            watched.received.append(received)

    def _used_gpus(self) -> tuple[GpuStretch, ...]:
        """Those that the process or its children compute on now."""
        ours = process_tree(self._pid)
        found = [(watched, self._processes(watched)) for watched in self._gpus]
        is_foreign = are_foreign({number for _, processes in found for number in processes})
        made = []
        for watched, processes in found:
            watched.is_used = bool(processes) and (is_foreign or bool(ours & processes.keys()))
            if watched.is_used and not watched.looks:
                self._look_at(watched)  # it came to it since
            if watched.is_used:
                made.append(_over(watched, processes, ours, is_foreign))
        return tuple(made)

    def _processes(self, watched: _Watched) -> dict[int, int | None]:
        return (self._nvml.processes(watched.gpu) if self._nvml is not None else None) or {}

    def _take_cpu(self) -> tuple[float, int]:
        """CPU seconds since the last time, and the memory; what a child took before it ended is not seen."""
        own, memory, seen = 0.0, 0, {}
        for pid in process_tree(self._pid):
            try:
                process = psutil.Process(pid)
                times = process.cpu_times()
                memory += process.memory_info().rss
            except psutil.Error:
                continue
            seen[pid] = times.user + times.system
            own += max(0.0, seen[pid] - self._cpu.get(pid, 0.0 if self._cpu else seen[pid]))
        self._cpu = seen
        return own, memory


def usable_cores(quota: Path = _QUOTA) -> float:
    """Cores that this process may use: those of its affinity, or fewer where its container (cgroup 2) has less time."""
    cores = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    try:
        share, period = quota.read_text("ascii").split()
        return cores if share == "max" else min(cores, int(share) / int(period))
    except (OSError, ValueError):
        return cores  # no such limit here


def _over(watched: _Watched, processes: dict[int, int | None], ours: set[int], is_foreign: bool) -> GpuStretch:
    looks = watched.looks
    received = _mean(watched.received)
    return GpuStretch(
        index=watched.gpu.index,
        name=watched.gpu.name,
        utilisation=_mean([look.utilisation for look in looks]),
        memory_bytes=max((look.memory_bytes for look in looks if look.memory_bytes is not None), default=None),
        memory_total_bytes=looks[-1].memory_total_bytes,
        watts=_mean([look.watts for look in looks]),
        celsius=max((look.celsius for look in looks if look.celsius is not None), default=None),
        own_bytes=None if is_foreign else held_bytes(processes, ours),
        others=None if is_foreign else len(processes.keys() - ours),
        received_share=None if received is None or not watched.link else min(1.0, received / watched.link),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _machine_busy_seconds() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))

"""Which GPUs a job computes on, by NVML, looked at by the job itself now and then.

A machine without NVIDIA's driver has none, which is no error.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_SECONDS_BETWEEN_LOOKS = 5.0


@dataclass(frozen=True)
class JobGpu:
    """A GPU that a job computes on.

    Attributes:
        index: NVML's number of it, e.g. "0"; "0.1" is slice 1 of a GPU in MIG mode.
        memory_bytes: what the job's processes hold of its memory; None where the system does not tell.
        utilisation: share of the last moments in which a kernel of any process ran, 0 to 1; None where the GPU does
            not tell.
    """

    index: str
    memory_bytes: int | None
    utilisation: float | None


class GpuWatch:
    """Looks at the GPUs every few seconds, from a thread of its own: a driver may hang.

    Args:
        pid: the process whose GPUs, and whose children's, are looked for.
    """

    def __init__(self, pid: int, seconds: float = _SECONDS_BETWEEN_LOOKS) -> None:
        self._pid, self._seconds = pid, seconds
        self._found: tuple[JobGpu, ...] = ()
        self._end = threading.Event()

    @property
    def found(self) -> tuple[JobGpu, ...]:
        """As of the last look."""
        return self._found

    def start(self) -> None:
        """Begin to look; without a driver it ends at once."""
        threading.Thread(target=self._look, name="gpus", daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._end.set()

    def _look(self) -> None:
        import pynvml

        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError:
            return
        while not self._end.wait(self._seconds):
            try:
                self._found = gpus_of(self._pid)
            except pynvml.NVMLError:
                self._found = ()


def gpus_of(pid: int) -> tuple[JobGpu, ...]:
    """The GPUs that a process and its children compute on; NVML must be initialised.

    In a container NVML may name processes by numbers of the host, which mean nothing here: then every GPU on which
    somebody computes is given, without memory.

    Raises:
        pynvml.NVMLError: the driver does not answer.
    """
    import psutil

    try:
        ours = {pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))}
    except psutil.NoSuchProcess:
        return ()
    busy = [(index, handle, _processes(handle)) for index, handle in _devices()]
    is_foreign = any(found for _, _, found in busy) and not any(
        psutil.pid_exists(number) for _, _, found in busy for number in found
    )
    return tuple(
        JobGpu(index, None if is_foreign else _memory(found, ours), _utilisation(handle))
        for index, handle, found in busy
        if found and (is_foreign or ours & found.keys())
    )


def _devices() -> Iterator[tuple[str, Any]]:
    """Every GPU, or its slices where it is cut into some."""
    import pynvml

    for number in range(pynvml.nvmlDeviceGetCount()):
        handle = pynvml.nvmlDeviceGetHandleByIndex(number)
        slices = list(_slices(handle))
        yield from ((f"{number}.{part}", one) for part, one in slices)
        if not slices:
            yield str(number), handle


def _slices(handle: Any) -> Iterator[tuple[int, Any]]:
    import pynvml

    try:
        count = pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)
    except pynvml.NVMLError:
        return  # not a GPU that can be cut
    for part in range(count):
        try:
            yield part, pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, part)
        except pynvml.NVMLError:
            continue  # a place without a slice


def _processes(handle: Any) -> dict[int, int | None]:
    """Process id to bytes that it holds, where known."""
    import pynvml

    return {one.pid: one.usedGpuMemory for one in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)}


def _memory(found: dict[int, int | None], ours: set[int]) -> int | None:
    held = [size for number, size in found.items() if number in ours and size is not None]
    return sum(held) if held else None


def _utilisation(handle: Any) -> float | None:
    import pynvml

    try:
        return float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu) / 100
    except pynvml.NVMLError:
        return None  # slices do not tell

"""Which GPUs a job computes on, by NVML, looked at by the job itself now and then.

A machine without NVIDIA's driver has none, which is no error.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from kagglerun.nvml import NoGpus, Nvml

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
        try:
            nvml = Nvml.open()
        except NoGpus:
            return
        with nvml:
            while not self._end.wait(self._seconds):
                self._found = gpus_of(self._pid, nvml)


def gpus_of(pid: int, nvml: Nvml) -> tuple[JobGpu, ...]:
    """The GPUs that a process and its children compute on.

    In a container NVML may name processes by numbers of the host, which mean nothing here: then every GPU on which
    somebody computes is given, without memory.
    """
    ours = process_tree(pid)
    busy = [(gpu, nvml.processes(gpu) or {}) for gpu in nvml.gpus()] if ours else []
    is_foreign = are_foreign({number for _, found in busy for number in found})
    return tuple(
        JobGpu(gpu.index, None if is_foreign else held_bytes(found, ours), nvml.look(gpu).utilisation)
        for gpu, found in busy
        if found and (is_foreign or ours & found.keys())
    )


def process_tree(pid: int) -> set[int]:
    """A process and its children; empty when it does not run."""
    import psutil

    try:
        return {pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))}
    except psutil.NoSuchProcess:
        return set()


def are_foreign(numbers: set[int]) -> bool:
    """Whether none of these process ids, as NVML gives them, is of a process that can be seen from here."""
    import psutil

    return bool(numbers) and not any(psutil.pid_exists(number) for number in numbers)


def held_bytes(found: dict[int, int | None], ours: set[int]) -> int | None:
    """GPU memory that some processes hold together; None where it is not told."""
    held = [size for number, size in found.items() if number in ours and size is not None]
    return sum(held) if held else None

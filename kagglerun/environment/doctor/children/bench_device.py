"""Products and copies on one device: `python -m ...bench_device count`, or `cpu` or `cuda:0`, and `quick`."""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kagglerun.environment.doctor.children.gpus import slowdowns
from kagglerun.environment.doctor.children.tell import begin, tell
from kagglerun.nvml import Gpu, Look, NoGpus, Nvml

if TYPE_CHECKING:
    import torch

_WINDOWS = 5
_WINDOW_SECONDS = 0.25
_QUICK_WINDOW_SECONDS = 0.01
_BEFORE_LOOKS = 10
_LOOK_SECONDS = 0.1
_GIB = 1 << 30


def main() -> None:
    """Tell `count`; or `about` the device, a `rate` each, and what was `watched` meanwhile."""
    begin()
    import torch

    what, quick = sys.argv[1], "quick" in sys.argv
    if what == "count":
        tell(count=torch.cuda.device_count() if torch.cuda.is_available() else 0)
        return
    device = torch.device(what)
    if device.type == "cpu":
        _measure(device, quick)
        return
    torch.cuda.set_device(device)
    watch = _Watch(str(torch.cuda.get_device_properties(device).uuid))
    tell(about={"model": torch.cuda.get_device_name(device), **watch.before(quick)})
    with watch:
        _measure(device, quick)
    tell(watched=watch.found())


def _measure(device: torch.device, quick: bool) -> None:
    for name in _formats(device):
        tell(rate={"name": f"matmul {name}", "value": _matmul(device, name, quick), "unit": "FLOP/s"})
    tell(rate={"name": "copy within", "value": _copy_within(device, quick), "unit": "B/s"})
    if device.type == "cuda":
        for name, pinned, to_device in _COPIES:
            tell(rate={"name": name, "value": _copy_over(device, pinned, to_device, quick), "unit": "B/s"})


_COPIES = (
    ("copy to it, pinned", True, True),
    ("copy from it, pinned", True, False),
    ("copy to it, pageable", False, True),
)


def _formats(device: torch.device) -> list[str]:
    import torch

    if device.type == "cpu":
        return ["fp32", "bf16"]
    from_ampere = torch.cuda.get_device_capability(device) >= (8, 0)
    return ["fp32", "tf32", "fp16", "bf16"] if from_ampere else ["fp32", "fp16"]


def _matmul(device: torch.device, name: str, quick: bool) -> float:
    """Operations a second of a large square product."""
    import torch

    from kagglerun.training.precision import Precision

    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(name, torch.float32)
    side = 256 if quick else (1024 if device.type == "cpu" else 8192)
    if device.type == "cuda" and torch.cuda.mem_get_info(device)[0] < 2 * _GIB:
        side = min(side, 4096)
    left, right = (torch.randn((side, side), device=device, dtype=dtype) for _ in range(2))
    result = torch.empty_like(left)
    with Precision("tf32" if name == "tf32" else "fp32", device).float32_math():
        seconds = _seconds_each(device, lambda: torch.mm(left, right, out=result), quick)
    return 2 * side**3 / seconds


def _copy_within(device: torch.device, quick: bool) -> float:
    """Bytes a second that its memory moves: each is read and written."""
    import torch

    size = (1 << 20) if quick else (256 << 20)
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / _seconds_each(device, lambda: target.copy_(source), quick)


def _copy_over(device: torch.device, pinned: bool, to_device: bool, quick: bool) -> float:
    import torch

    size = (1 << 20) if quick else (256 << 20)
    here = torch.ones(size, dtype=torch.uint8, pin_memory=pinned)
    there = torch.empty(size, dtype=torch.uint8, device=device)
    source, target = (here, there) if to_device else (there, here)
    return size / _seconds_each(device, lambda: target.copy_(source, non_blocking=True), quick)


def _seconds_each(device: torch.device, work: Callable[[], object], quick: bool) -> float:
    """Seconds of one call: the median over windows, each between two moments at which the device was waited for."""
    import torch

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    window = _QUICK_WINDOW_SECONDS if quick else _WINDOW_SECONDS
    work()
    wait()
    began = time.perf_counter()
    work()
    wait()
    calls = max(1, round(window / max(time.perf_counter() - began, 1e-6)))
    taken = []
    for _ in range(_WINDOWS):
        began = time.perf_counter()
        for _ in range(calls):
            work()
        wait()
        taken.append((time.perf_counter() - began) / calls)
    return statistics.median(taken)


class _Watch:
    """Looks at the GPU before and while it is measured, by NVML; tells nothing where NVML does not.

    Args:
        uuid: torch's name of the GPU.
    """

    def __init__(self, uuid: str) -> None:
        self._nvml: Nvml | None = None
        self._gpu: Gpu | None = None
        self._reasons: list[int] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, name="nvml", daemon=True)
        try:
            self._nvml = Nvml.open()
        except NoGpus:
            return
        names = (f"GPU-{uuid}", f"MIG-{uuid}")
        self._gpu = next((gpu for gpu in self._nvml.gpus() if gpu.uuid in names), None)

    def before(self, quick: bool) -> dict[str, Any]:
        """Who is on it, and how wide its link is."""
        if self._nvml is None or self._gpu is None:
            return {}
        looks: list[Look] = []
        for _ in range(1 if quick else _BEFORE_LOOKS):
            looks.append(self._nvml.look(self._gpu))
            time.sleep(_LOOK_SECONDS)
        told = [look.utilisation for look in looks if look.utilisation is not None]
        others = max((len(look.processes or ()) for look in looks), default=0)
        return {
            "busy_before": statistics.mean(told) if told else None,
            "others": max(0, others - 1),  # one is this process
            "is_slice": self._gpu.is_slice,
            "link": self._nvml.link_bytes_per_second(self._gpu),
        }

    def found(self) -> dict[str, Any]:
        """Why its clock was lowered in most of the looks."""
        count = max(1, len(self._reasons))
        often = sum(bit for bit in _BITS if sum(bool(one & bit) for one in self._reasons) / count >= 0.5)
        return {
            "slowdowns": slowdowns(often & ~_POWER_LIMIT),
            "at_power_limit": sum(bool(one & _POWER_LIMIT) for one in self._reasons) / count,
        }

    def __enter__(self) -> _Watch:
        if self._gpu is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        if self._thread.is_alive():
            self._thread.join(5.0)

    def _look(self) -> None:
        import pynvml

        assert self._gpu is not None
        while not self._end.wait(_LOOK_SECONDS):
            try:
                self._reasons.append(int(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(self._gpu.handle)))
            except pynvml.NVMLError:
                return


_POWER_LIMIT = 0x4
_BITS = tuple(1 << place for place in range(2, 9))


if __name__ == "__main__":
    main()

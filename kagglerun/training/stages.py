"""Where the time of training goes: stages that mark themselves, and a clock that is only there while it is wanted.

    with stage("augment"):
        ...

costs a microsecond while no clock runs. On a GPU a stage's time is the GPU's own, between two events on the stream;
nothing is waited for until the end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType

import torch

_clock: StageClock | None = None


class stage:
    """Mark a stage: `with stage("forward"): ...`; stages may lie in each other, and each counts its own time only.

    Args:
        name: what is done in it.
    """

    __slots__ = ("_clock", "_name", "_open")

    def __init__(self, name: str) -> None:
        self._name = name
        self._clock = _clock

    def __enter__(self) -> None:
        if self._clock is not None:
            self._open = self._clock.begin(self._name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._clock is not None:
            self._clock.end(self._open)


@dataclass(frozen=True)
class StageTime:
    """What a stage took over all its turns.

    Attributes:
        name: its name.
        host_seconds: time of the thread that ran it, without stages within it.
        gpu_seconds: the GPU's time between its begin and end, likewise; None on a CPU.
        in_background: it ran in another thread than training, beside it.
    """

    name: str
    host_seconds: float
    gpu_seconds: float | None
    in_background: bool


@dataclass
class _Open:
    """A stage that has begun, or that has ended."""

    name: str
    thread: int
    parent: _Open | None
    began: float
    ended: float = 0.0
    first: torch.cuda.Event | None = None
    last: torch.cuda.Event | None = None


class StageClock:
    """Adds up the stages of all threads of this process.

    Args:
        device: where the work is done; on a GPU events are recorded on the stream that is current in the stage.
    """

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._thread = threading.get_ident()
        self._stack = threading.local()
        self._done: list[_Open] = []

    def begin(self, name: str) -> _Open:
        """A stage begins in this thread."""
        parent = getattr(self._stack, "top", None)
        opened = _Open(name, threading.get_ident(), parent, time.perf_counter())
        if self._on_gpu:
            opened.first = _event()
        self._stack.top = opened
        return opened

    def end(self, opened: _Open) -> None:
        """The stage that began last in this thread ends."""
        opened.ended = time.perf_counter()
        if self._on_gpu:
            opened.last = _event()
        self._stack.top = opened.parent
        self._done.append(opened)

    def clear(self) -> None:
        """Forget what has ended so far."""
        self._done = []

    def times(self) -> list[StageTime]:
        """What each stage took, in the order in which they first ended; the GPU is waited for."""
        if self._on_gpu:
            torch.cuda.synchronize()
        host: dict[tuple[str, bool], float] = {}
        gpu: dict[tuple[str, bool], float] = {}
        for opened in self._done:
            beside = opened.thread != self._thread
            own_host, own_gpu = opened.ended - opened.began, _between(opened)
            for key, host_part, gpu_part in (
                ((opened.name, beside), own_host, own_gpu),
                *([((opened.parent.name, beside), -own_host, -own_gpu)] if opened.parent else []),
            ):
                host[key] = host.get(key, 0.0) + host_part
                gpu[key] = gpu.get(key, 0.0) + gpu_part
        return [StageTime(key[0], host[key], gpu[key] if self._on_gpu else None, in_background=key[1]) for key in host]


@contextmanager
def clocked(device: torch.device) -> Iterator[StageClock]:
    """Run a clock within the block: stages that begin in it are timed."""
    global _clock
    clock = StageClock(device)
    before, _clock = _clock, clock
    try:
        yield clock
    finally:
        _clock = before


def _event() -> torch.cuda.Event:
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record()
    return event


def _between(opened: _Open) -> float:
    """Seconds of the GPU between a stage's events."""
    if opened.first is None or opened.last is None:
        return 0.0
    return float(opened.first.elapsed_time(opened.last)) / 1000

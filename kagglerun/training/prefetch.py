"""Work done ahead: the next parts of a stream are made ready in a thread, and copied to a GPU beside its computing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Generic, TypeVar

import torch
from torch import Tensor

Part = TypeVar("Part")
Slot = TypeVar("Slot")
Made = TypeVar("Made")


@dataclass(frozen=True)
class _Ready(Generic[Made, Slot]):
    made: Made
    slot: Slot


@dataclass(frozen=True)
class _Failed:
    error: BaseException


def prefetch(parts: Iterable[Part], make: Callable[[Part, Slot], Made], slots: Sequence[Slot]) -> Generator[Made]:
    """Make each part in a thread, ahead of its use, in order.

    Args:
        parts: what is to be made; iterated over in the thread.
        make: makes one part; it may use its slot freely.
        slots: what is used again and again, e.g. buffers. All but the one in use are filled ahead, so two at least.

    Yields:
        What `make` gave. Its slot is used again once the next one is asked for.

    Raises:
        Whatever `parts` or `make` raised, in its place in the order. Closing the generator ends the thread after the
        part that it is making.
    """
    assert len(slots) > 1, "one slot is in use while another is filled"
    free: SimpleQueue[Slot] = SimpleQueue()
    ready: SimpleQueue[_Ready[Made, Slot] | _Failed | None] = SimpleQueue()
    closed = threading.Event()
    for slot in slots:
        free.put(slot)

    def work() -> None:
        try:
            for part in parts:
                slot = free.get()
                if closed.is_set():
                    return
                ready.put(_Ready(make(part, slot), slot))
            ready.put(None)
        except BaseException as error:
            ready.put(_Failed(error))

    thread = threading.Thread(target=work, name="kagglerun-prefetch", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, _Failed):
                raise item.error
            yield item.made
            free.put(item.slot)
    finally:
        closed.set()
        free.put(slots[0])  # wakes a thread that waits for one
        thread.join()


class SideStream:
    """Copies to a device on a stream of their own; on a CPU nothing is copied and nothing waited for.

    Args:
        device: where tensors go.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    @contextmanager
    def copying(self) -> Iterator[None]:
        """What is launched within the block runs on the side stream."""
        if self._stream is None:
            yield
        else:
            with torch.cuda.stream(self._stream):
                yield

    def mark(self) -> torch.cuda.Event | None:
        """A mark behind all that was launched on the side stream until now."""
        if self._stream is None:
            return None
        # Blocking: who waits for it sleeps, and does not keep a core busy.
        mark = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        self._stream.record_event(mark)
        return mark

    def receive(self, tensors: Iterable[Tensor], mark: torch.cuda.Event | None) -> None:
        """Let the device's current work wait for a mark, and keep the memory of tensors that were made before it."""
        if mark is None:
            return
        current = torch.cuda.current_stream(self.device)
        current.wait_event(mark)
        for tensor in tensors:
            tensor.record_stream(current)


class HostBuffer:
    """Memory that batches are written into before they are copied to the device: pinned where that is a GPU.

    Args:
        shape: of the largest batch.
        dtype: of its numbers.
        device: where the batches go.
    """

    def __init__(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> None:
        # Not filled: torch would wake all its threads for it, which then wait for more in a loop.
        self._tensor = torch.empty(*shape, dtype=dtype, pin_memory=device.type == "cuda")
        self._copied: torch.cuda.Event | None = None

    def first(self, count: int) -> Tensor:
        """Room for a batch of `count`, on the host; the last copy out of it is waited for."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._tensor[:count]

    def copied(self, mark: torch.cuda.Event | None) -> None:
        """Say that a copy was launched before this mark."""
        self._copied = mark

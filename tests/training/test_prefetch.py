"""Work done ahead in a thread: in order, bounded, with errors in their place, ended by closing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from kagglerun.training.prefetch import HostBuffer, SideStream, prefetch


def worker_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "kagglerun-prefetch"]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not worker_threads()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
def test_every_part_is_made_once_and_in_order(count: int) -> None:
    made = list(prefetch(range(count), lambda part, slot: (part, slot), ["a", "b", "c"]))
    assert [part for part, _ in made] == list(range(count))


def test_a_slot_is_not_filled_again_while_its_part_is_in_use() -> None:
    buffers = [[-1], [-1], [-1]]

    def make(part: int, buffer: list[int]) -> list[int]:
        buffer[0] = part
        return buffer

    for number, buffer in enumerate(prefetch(range(40), make, buffers)):
        time.sleep(0.001)
        assert buffer == [number]


def test_no_more_is_made_ahead_than_there_are_slots() -> None:
    made: list[int] = []
    stream = prefetch(range(1000), lambda part, slot: made.append(part), [1, 2, 3])
    for _ in range(5):
        next(stream)
    time.sleep(0.05)
    assert len(made) <= 5 - 1 + 3
    stream.close()


def test_an_error_comes_out_after_the_parts_before_it() -> None:
    def make(part: int, slot: int) -> int:
        if part == 3:
            raise ValueError("part three")
        return part

    seen = []
    with pytest.raises(ValueError, match="part three"):
        for part in prefetch(range(10), make, [0, 1]):
            seen.append(part)
    assert seen == [0, 1, 2]


def test_an_error_of_the_parts_themselves_comes_out_too() -> None:
    def parts() -> Iterator[int]:
        yield 1
        raise KeyError("none")

    stream = prefetch(parts(), lambda part, slot: part, [0, 1])
    assert next(stream) == 1
    with pytest.raises(KeyError):
        next(stream)


@pytest.mark.parametrize("taken", [1, 2, 7])
def test_closing_ends_the_thread_at_any_moment(taken: int) -> None:
    stream = prefetch(iter(range(10**9)), lambda part, slot: part, [0, 1, 2])
    for _ in range(taken):
        next(stream)
    assert worker_threads()
    stream.close()
    assert not worker_threads()


def test_a_stream_that_was_never_started_starts_no_thread() -> None:
    stream = prefetch(range(3), lambda part, slot: part, [0, 1])
    assert not worker_threads()
    stream.close()


def test_work_goes_on_while_the_consumer_is_busy() -> None:
    ready = threading.Event()

    def make(part: int, slot: int) -> int:
        if part == 1:
            ready.set()
        return part

    stream = prefetch(range(2), make, [0, 1])
    next(stream)
    assert ready.wait(10), "the second part is made before it is asked for"
    assert list(stream) == [1]


def test_on_a_cpu_nothing_is_copied_or_waited_for() -> None:
    cpu = torch.device("cpu")
    side, buffer = SideStream(cpu), HostBuffer((4, 2), torch.uint8, cpu)
    with side.copying():
        batch = buffer.first(3)
    assert batch.shape == (3, 2) and side.mark() is None
    buffer.copied(side.mark())
    side.receive([batch], None)
    assert buffer.first(2).data_ptr() == batch.data_ptr()

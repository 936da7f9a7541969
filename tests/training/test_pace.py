"""What an epoch's updates and their waiting for data come to."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from kagglerun.training.batches import Batch
from kagglerun.training.pace import Pace, PacedBatches, count, counted


def slow(batches: int, seconds: float) -> Iterator[Batch]:
    for _ in range(batches):
        time.sleep(seconds)
        yield Batch((), None)


def test_waiting_for_data_is_the_time_until_a_batch_is_there() -> None:
    before = counted()
    batches = PacedBatches(slow(3, 0.02))
    for _ in range(3):
        next(batches)
        time.sleep(0.02)
        batches.update_done(16)
    made = counted().since(before)
    assert (made.updates, made.samples) == (3, 48)
    assert 0.06 <= made.waited_seconds < made.seconds
    assert made.loader_wait is not None and 0 < made.loader_wait < 1


def test_what_other_processes_tell_is_added() -> None:
    before = counted()
    count(Pace(2, 10, 4.0, 1.0))
    assert counted().since(before) == Pace(2, 10, pytest.approx(4.0), pytest.approx(1.0))


def test_without_updates_there_is_no_share_and_an_error_of_the_loader_passes_through() -> None:
    def broken() -> Iterator[Batch]:
        raise ValueError("no image")
        yield

    assert Pace(0, 0, 3.0, 0.0).loader_wait is None
    with pytest.raises(ValueError, match="no image"):
        next(PacedBatches(broken()))
    with pytest.raises(StopIteration):
        next(PacedBatches(slow(0, 0)))

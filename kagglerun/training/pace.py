"""How fast this process trains and how long it waits for its data, counted all the time: a few clock reads an update.

A process whose folds are trained by others adds what they tell, so the figures are those of the whole run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from kagglerun.training.batches import Batch


@dataclass(frozen=True)
class Pace:
    """What was trained, since the process began or between two moments.

    Attributes:
        updates: number of updates.
        samples: samples they took, over all processes of a team.
        seconds: time within updates, of all processes that train.
        waited_seconds: the part of it that was spent waiting for the next batch.
    """

    updates: int = 0
    samples: int = 0
    seconds: float = 0.0
    waited_seconds: float = 0.0

    @property
    def loader_wait(self) -> float | None:
        """Share of the time within updates that was spent waiting for data, 0 to 1; None without updates."""
        return min(1.0, self.waited_seconds / self.seconds) if self.updates and self.seconds > 0 else None

    def since(self, before: Pace) -> Pace:
        """What came after `before`."""
        return Pace(
            self.updates - before.updates,
            self.samples - before.samples,
            self.seconds - before.seconds,
            self.waited_seconds - before.waited_seconds,
        )


_counted = Pace()
_lock = threading.Lock()


def counted() -> Pace:
    """All that was counted in this process so far."""
    return _counted


def count(more: Pace) -> None:
    """Add what was trained, by this process or by one that works for it."""
    global _counted
    with _lock:
        _counted = Pace(
            _counted.updates + more.updates,
            _counted.samples + more.samples,
            _counted.seconds + more.seconds,
            _counted.waited_seconds + more.waited_seconds,
        )


class PacedBatches:
    """The batches of an epoch; counts the time until each is there, and the updates made of them.

    Args:
        batches: gives them.
    """

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches
        self._waited = 0.0
        self._mark = time.perf_counter()

    def __iter__(self) -> PacedBatches:
        return self

    def __next__(self) -> Batch:
        began = time.perf_counter()
        try:
            return next(self._batches)
        finally:
            self._waited += time.perf_counter() - began

    def update_done(self, samples: int) -> None:
        """Count an update.

        Args:
            samples: that it took, over all processes of a team.
        """
        now = time.perf_counter()
        count(Pace(1, samples, now - self._mark, self._waited))
        self._mark, self._waited = now, 0.0

"""What became of each item."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from kagglerun.experiment.sync.items import Item


class Result(Enum):
    """What became of an item."""

    CARRIED = "carried"
    SAME = "the same at both places"
    OTHER_IS_NEWER = "the other side is newer"
    LEFT = "left for another time"
    CONFLICT = "differs at both places"
    DAMAGED = "damaged at the target"


@dataclass(frozen=True)
class Outcome:
    """What became of one item.

    Attributes:
        item: which.
        result: what.
        files: how many were carried (or would be).
        size: bytes that were carried (or would be); what was there already does not count.
        why: a line, where it was not carried.
    """

    item: Item
    result: Result
    files: int = 0
    size: int = 0
    why: str | None = None


Tell = Callable[[Outcome], None]
"""Is told of each item once it is done."""


def nobody(_outcome: Outcome) -> None:
    """Told of items, does nothing."""

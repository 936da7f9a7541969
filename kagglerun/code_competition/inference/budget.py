"""Time: what is left, and what the next prediction will take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

_RESERVED_SHARE = 0.03
_LEAST_RESERVED_SECONDS = 1.0
_WRITING_TAKES_LONGER_BY = 1.5
_UNIT_TAKES_LONGER_BY = 1.15


@dataclass
class Budget:
    """How long inference may take, and how long its parts took.

    Attributes:
        seconds: all that there is; None for no limit.
        clock: monotonic seconds.
    """

    seconds: float | None
    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False)
    _writing: float | None = field(init=False, default=None)
    _unit_seconds: dict[str, float] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._began = self.clock()

    @property
    def spent(self) -> float:
        """Seconds since the beginning."""
        return self.clock() - self._began

    @property
    def left(self) -> float:
        """Seconds that can go into predictions: without those that writing the file takes."""
        return float("inf") if self.seconds is None else self.seconds - self._reserved - self.spent

    @property
    def _reserved(self) -> float:
        least = max(_LEAST_RESERVED_SECONDS, _RESERVED_SHARE * (self.seconds or 0))
        return max(least, _WRITING_TAKES_LONGER_BY * (self._writing or 0))

    def wrote(self, seconds: float) -> None:
        """The file was written once."""
        self._writing = max(seconds, self._writing or 0)

    def took(self, member: str, seconds: float) -> None:
        """A member's prediction of all rows took so long; of several the slowest counts."""
        self._unit_seconds[member] = max(seconds, self._unit_seconds.get(member, 0))

    def forecast(self, member: str) -> float | None:
        """Seconds that a member's next prediction of all rows will take; None when nothing is known.

        A member that was not seen yet is taken for the slowest of those that were; when it is slower still, its
        prediction is given up as soon as that shows.
        """
        seen = self._unit_seconds.get(member) or max(self._unit_seconds.values(), default=None)
        return None if seen is None else seen * _UNIT_TAKES_LONGER_BY

    def should_rewrite(self, since: float) -> bool:
        """Whether a file that was written `since` seconds ago may be written again: at most a twentieth of the time."""
        return since > 20 * (self._writing or 0)

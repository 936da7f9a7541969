"""What a check says."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any


class Level(IntEnum):
    """How bad it is; the worst of several is their `max`."""

    OK = 0
    WARNING = 1
    """Work goes on, slower or less safe."""
    ERROR = 2
    """Something that the machine is meant to do does not work."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for.

    Attributes:
        check: what it belongs to, e.g. "driver".
        looked_for: what should be so.
        found: what is so.
        level: how bad that is.
        mend: the command or the line that mends it; None where there is nothing to mend.
    """

    check: str
    looked_for: str
    found: str
    level: Level = Level.OK
    mend: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """All of it by name, the level as "ok", "warning" or "error"."""
        return {**asdict(self), "level": self.level.name.lower()}


@dataclass(frozen=True)
class Subject:
    """Makes the findings about one thing that should be so.

    Attributes:
        check: what it belongs to.
        looked_for: what should be so.
    """

    check: str
    looked_for: str

    def ok(self, found: str) -> Finding:
        """It is so."""
        return Finding(self.check, self.looked_for, found)

    def warning(self, found: str, mend: str | None = None) -> Finding:
        """It is not, and work goes on."""
        return Finding(self.check, self.looked_for, found, Level.WARNING, mend)

    def error(self, found: str, mend: str | None = None) -> Finding:
        """It is not, and something will not work."""
        return Finding(self.check, self.looked_for, found, Level.ERROR, mend)


def worst(findings: tuple[Finding, ...]) -> Level:
    """The worst level of some findings; ok over none."""
    return max((finding.level for finding in findings), default=Level.OK)

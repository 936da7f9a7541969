"""What a notebook does: fixed when it is made, read by its session. Needs nothing but Python."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from kagglerun.files import read_json
from kagglerun.paths import CompetitionPaths, Entry

PACKAGES = ("locked", "keep-torch", "platform")
"""What is installed there: all packages in the lock's versions; all but torch and its own; kagglerun alone."""


@dataclass(frozen=True)
class NotebookPlan:
    """What a notebook does.

    Attributes:
        run_id: of the run; of a sweep, the name of what is kept. It follows from what the notebook holds.
        platform: "colab" or "kaggle".
        work: "train" or "sweep".
        competition: as the user names it: `titanic`, `practice/digits`.
        data: hex digest of the competition's files at home; None where they were not fetched.
        gpu: "T4", "P100" ...; None trains on the CPU.
        gpus_at_once: GPUs that one fold is trained on.
        hours: how long the platform lets a session live.
        save_seconds: least time between two copies to the storage that lasts.
        packages: one of PACKAGES.
    """

    run_id: str
    platform: str
    work: str
    competition: str
    data: str | None
    gpu: str | None
    gpus_at_once: int
    hours: float
    save_seconds: float
    packages: str

    def to_dict(self) -> dict[str, object]:
        """All of it as JSON has it."""
        return asdict(self)


@dataclass(frozen=True)
class PlanFiles:
    """The files that a notebook carries, and where it puts them on the platform."""

    folder: Path

    plan = Entry("plan.json")
    """The plan."""
    config = Entry("config.yaml")
    """The config, with what it extends and what was changed on the command line."""

    @property
    def competition(self) -> CompetitionPaths:
        """Card, hooks and manifest of the competition, as far as they are carried."""
        return CompetitionPaths(self.folder)

    def read(self) -> NotebookPlan:
        """The plan."""
        return NotebookPlan(**read_json(self.plan))

"""Memory that runs out in one process of a team: the others wait within the update, so all start again.

The process that met the end of its memory leaves a note beside the checkpoints; at the next start all processes
read it and take half the samples a forward pass.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from kagglerun.files import read_json, write_json
from kagglerun.training.distributed import Team
from kagglerun.training.state import TrainState

_NOTE = "out_of_memory.json"


class TeamOutOfMemory(Exception):
    """A process of a team has too little memory; its note is written, and the team has to start again."""


@dataclass(frozen=True)
class Shortage:
    """Where memory ran out.

    Attributes:
        micro_batch: samples of a forward pass then.
        update: the update's number in the fold.
    """

    micro_batch: int
    update: int

    def halve(self, state: TrainState) -> None:
        """Half the samples a forward pass, and a note for who reads the run; a second time changes nothing."""
        size = self.micro_batch // 2
        if state.micro_batch is not None and state.micro_batch <= size:
            return
        state.micro_batch = size
        state.notes.append(
            f"out of memory at update {self.update}: from update {state.updates} on {size} samples a forward pass "
            f"instead of {self.micro_batch}, with the same samples an update"
        )


def write_shortage(folder: Path, shortage: Shortage) -> None:
    """Leave the note beside the checkpoints of a fold."""
    write_json(folder / _NOTE, asdict(shortage))


def read_shortage(folder: Path) -> Shortage | None:
    """The note, or None."""
    path = folder / _NOTE
    return Shortage(**read_json(path)) if path.exists() else None


def forget_shortage(folder: Path, team: Team) -> None:
    """Remove the note once it stands in a checkpoint."""
    if team.is_first:
        (folder / _NOTE).unlink(missing_ok=True)
    team.wait_for_all()

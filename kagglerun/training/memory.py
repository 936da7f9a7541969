"""What an attempt at training ends with that a saved state can be changed for: too little memory, or a loss like NaN.

The result must not depend on where a checkpoint happened to stand. So memory that runs out at an update changes that
update and those after it, and none that is made again before it; and a loss that is not finite sends the run back to
an epoch's border. Where one process of a team runs out of memory, the others wait within the update and all have to
start again: it leaves a note beside the checkpoints, which all read at the next start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from kagglerun.errors import NonFiniteLoss, TrainingError
from kagglerun.files import read_json, write_json
from kagglerun.training.distributed import Team
from kagglerun.training.state import TrainState

_NOTE = "out_of_memory.json"


class TeamOutOfMemory(Exception):
    """A process of a team has too little memory; its note is written, and the team has to start again."""


@dataclass(frozen=True)
class Mend:
    """How a run goes on after an error.

    Attributes:
        change: changes the saved state.
        from_border: takes the state at an epoch's border (`Checkpoints.load_border`), not the last one.
    """

    change: Callable[[TrainState], None]
    from_border: bool = False


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
        """Half the samples a forward pass from this update on, and a note; a second time changes nothing."""
        size = self.micro_batch // 2
        if any(start <= self.update and known <= size for start, known in state.micro_batches):
            return
        state.micro_batches.append([self.update, size])
        state.notes.append(
            f"out of memory at update {self.update}: from there on {size} samples a forward pass instead of "
            f"{self.micro_batch}, with the same samples an update"
        )


def lower_lr(failed: TrainState, error: NonFiniteLoss, factor: float) -> Mend:
    """Go back to an epoch's border with a smaller lr.

    Args:
        failed: the state of the attempt that failed; what it has met is kept.
        error: what failed.
        factor: what the lr is multiplied by.
    """
    # Neither the state nor the error itself may be held: they hold the failed step's tensors.
    what, before, sizes, eval_batch = first_line(error), [*failed.notes], failed.micro_batches, failed.eval_batch
    retries, lr_factor = failed.retries + 1, failed.lr_factor * factor

    def change(state: TrainState) -> None:
        state.retries, state.lr_factor, state.micro_batches, state.eval_batch = retries, lr_factor, sizes, eval_batch
        state.notes = [*before, f"{what}; went back to update {state.updates}, from there on lr times {lr_factor:.3g}"]

    return Mend(change, from_border=True)


@contextmanager
def must_fit(what: str) -> Iterator[None]:
    """Say what does not fit when memory runs out in the block.

    Raises:
        TrainingError: it did.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(
            f"out of memory: {what} do not fit: {first_line(error)}",
            hint="a smaller model; or see what else uses the memory: nvidia-smi",
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device's memory is full."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(sign in text for sign in _SIGNS)


_SIGNS = (
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDA out of memory",
    "CUDA error: out of memory",
    "can't allocate memory",
)


def first_line(error: BaseException) -> str:
    """The first line of an error's text, for a message or a note."""
    return (str(error).splitlines() or [type(error).__name__])[0][:160]


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

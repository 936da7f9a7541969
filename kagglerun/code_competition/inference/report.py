"""What inference did, for the notebook's log and for whoever reads it afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_SHOWN = 5


@dataclass(frozen=True)
class InferenceReport:
    """What stands in a submission file, and what does not.

    Attributes:
        file: the submission file.
        rows: test rows.
        used: member to the number of its predictions (folds times views) that stand in the file.
        left_out: what does not, and why, one sentence each: for want of time, or because it failed.
        notes: what was odd about the test set, one sentence each.
        broken_images: rows whose image could not be read, which counted as grey ones.
        reached: rows that were predicted; the others got the mean of the out-of-fold predictions.
        seconds: time it took.
    """

    file: Path
    rows: int
    used: dict[str, int]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]
    broken_images: int
    reached: int
    seconds: float

    @property
    def complete(self) -> bool:
        """Whether every row was predicted by every member, fold and view."""
        return not self.left_out and self.reached == self.rows

    def lines(self) -> Iterator[str]:
        """The report, for people."""
        predictions = sum(self.used.values())
        means = "" if predictions == 1 else f", each the mean of {predictions} predictions" if self.rows else ""
        yield f"{self.file.name}: {self.rows} rows{means}, in {self.seconds:.0f} s"
        if self.reached < self.rows:
            yield f"only {self.reached} rows were reached; the others got the mean prediction of the training rows"
        yield from self.left_out[:_SHOWN]
        if len(self.left_out) > _SHOWN:
            yield f"and {len(self.left_out) - _SHOWN} more were left out"
        yield from self.notes

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; the file by its name."""
        return {**asdict(self), "file": self.file.name, "complete": self.complete}

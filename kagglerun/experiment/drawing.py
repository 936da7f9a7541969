"""What the pictures of a run show, apart from drawing them: saved in one file, they can be drawn later by any process.

`python -m kagglerun.experiment.drawing PARENT` is a process that draws for another one, at low priority.
"""

from __future__ import annotations

import json
import os
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kagglerun.errors import DataError
from kagglerun.experiment import plots
from kagglerun.experiment.watch.picture import draw_machine
from kagglerun.files import atomic_path
from kagglerun.jobs.child import Channel, die_with
from kagglerun.workspace import RunPaths

_LEAST_URGENT = 19


@dataclass(frozen=True)
class Drawing:
    """The numbers that a run's pictures show.

    Attributes:
        histories: one a fold: a dict of values an epoch or tree.
        scores: fold to its score.
        overall: the score over all out-of-fold predictions.
        metric: the metric's name.
        kind: "classes" for a confusion matrix, "numbers" for residuals, "none" for neither.
        names: the classes, or the targets.
        truths: true classes int64 (n,), or targets float64 (n, n_targets); empty for neither.
        predictions: the same, as predicted.
        importances: feature to its share of the gain; empty where none is known.
    """

    histories: Sequence[Sequence[Mapping[str, float]]]
    scores: Mapping[int, float]
    overall: float
    metric: str
    kind: str
    names: Sequence[str]
    truths: NDArray[Any]
    predictions: NDArray[Any]
    importances: Mapping[str, float]

    def draw(self, folder: Path) -> None:
        """Draw all pictures as PNG into a folder."""
        plots.learning_curves(self.histories, folder / "learning_curves.png")
        plots.fold_scores(self.scores, self.overall, self.metric, folder / "fold_scores.png")
        if self.kind == "classes":
            plots.confusion_matrix(self.truths, self.predictions, self.names, folder / "confusion_matrix.png")
        elif self.kind == "numbers":
            plots.residuals(self.truths, self.predictions, self.names, folder / "residuals.png")
        if self.importances:
            plots.importances(self.importances, folder / "importances.png")

    def save(self, path: Path) -> None:
        """Write the numbers, to be drawn later."""
        told = {
            "histories": [[dict(row) for row in history] for history in self.histories],
            "scores": [[fold, score] for fold, score in self.scores.items()],
            "overall": self.overall,
            "metric": self.metric,
            "kind": self.kind,
            "names": list(self.names),
            "importances": dict(self.importances),
        }
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, told=np.array(json.dumps(told)), truths=self.truths, predictions=self.predictions)

    @classmethod
    def load(cls, path: Path) -> Drawing:
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing or damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as saved:
                told = json.loads(str(saved["told"]))
                told["scores"] = {int(fold): score for fold, score in told["scores"]}
                return cls(truths=saved["truths"], predictions=saved["predictions"], **told)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} cannot be drawn: {error}") from error


def draw_saved(run: RunPaths) -> tuple[Path, ...]:
    """Draw the pictures that a run owes.

    Returns:
        The pictures; none where the run owes none.

    Raises:
        DataError: what they are drawn from is damaged.
    """
    if not run.drawing.is_file():
        return ()
    Drawing.load(run.drawing).draw(run.plots)
    draw_machine(run)
    return tuple(sorted(run.plots.glob("*.png")))


def main(argv: list[str]) -> int:
    """Draw for a parent, until it has died or closes the pipe.

    Args:
        argv: process id of the parent, which sends {"run": folder} and gets {"drawn": [files], "error": text or null}.
    """
    die_with(int(argv[0]))
    os.nice(_LEAST_URGENT)
    channel = Channel()
    while True:
        run = RunPaths(Path(channel.receive()["run"]))
        try:
            drawn, error = [str(path) for path in draw_saved(run)], None
        except Exception as problem:
            # A picture that cannot be drawn must not keep the next run from its own.
            drawn, error = [], f"{type(problem).__name__}: {problem}"
        channel.send({"drawn": drawn, "error": error})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

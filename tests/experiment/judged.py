"""A judge that stops where it is told to, and a child that is killed around its decision."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import kagglerun.experiment.pruned as pruned_module
import kagglerun.experiment.run as run_module
from kagglerun.config.load import load_config
from kagglerun.experiment.predictions import read_predictions
from kagglerun.experiment.prepare import Prepared
from kagglerun.workspace import RunPaths, Workspace


class Judge:
    """Stops after an epoch of the first fold, or after so many folds."""

    def __init__(self, epoch: int | None = None, folds: int | None = None) -> None:
        self._epoch, self._folds = epoch, folds
        self.asked: list[str] = []

    @property
    def watches_epochs(self) -> bool:
        return self._epoch is not None

    def after_epoch(self, epoch: int, score: float) -> str | None:
        self.asked.append(f"epoch {epoch}")
        return f"epoch {epoch}" if epoch == self._epoch else None

    def after_fold(
        self, prepared: Prepared, paths: RunPaths, folds: Sequence[int], scores: Sequence[float]
    ) -> str | None:
        self.asked.append(f"fold {folds[-1]}")
        for fold in folds:
            assert len(read_predictions(paths.fold(fold).oof).values) == len(prepared.fold_rows(fold)[1])
        return f"{len(scores)} folds" if len(folds) == self._folds else None


def attempt(root: str, run_id: str, trap: str) -> int:
    """Execute the config judged.yaml with a judge that stops after a fold; killed at the trap."""
    workspace = Workspace(Path(root))
    module, name, before = TRAPS[trap]
    setattr(module, name, _deadly(getattr(module, name), before))
    run_module.run_experiment(workspace, load_config(workspace.sweeps / "judged.yaml"), run_id, judge=Judge(folds=1))
    return 0


TRAPS: dict[str, tuple[Any, str, bool]] = {
    "before the decision is written": (pruned_module, "write_json", True),
    "after the decision is written": (pruned_module, "write_json", False),
    "before the state is written": (run_module, "put_away", False),
}
"""Name to the function that dies, before or after what it does."""


def _deadly(original: Callable[..., Any], before: bool) -> Callable[..., Any]:
    def trapped(*arguments: Any, **named: Any) -> None:
        if not before:
            original(*arguments, **named)
        os.killpg(0, signal.SIGKILL)

    return trapped

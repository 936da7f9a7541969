"""How far a run is that works as a job: its observer says so to the job's reporter."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from kagglerun.jobs.run import Reporter


class RunProgress:
    """A `RunObserver` that speaks through a job, with the time left, and stops when the job is asked to.

    Args:
        reporter: the job's.
        n_folds: folds of the run.
    """

    def __init__(self, reporter: Reporter, n_folds: int) -> None:
        self._reporter, self._n_folds = reporter, n_folds
        self._begun = time.monotonic()
        self._at: dict[int, float] = {}
        self._scores: dict[int, float] = {}
        self._read_back = 0
        self._tell("preparing", {})

    def epoch(self, fold: int, epoch: int, epochs: int, values: Mapping[str, float]) -> None:
        """Say how far the fold is."""
        self._at[fold] = (epoch + 1) / epochs
        shown = [f"{name} {value:.4g}" for name, value in values.items() if name != "lr"][:3]
        self._tell("  ".join([f"fold {fold}  {epoch + 1}/{epochs}", *shown]), {"fold": fold, "epoch": epoch})

    def fold(self, fold: int, n_folds: int, score: float) -> None:
        """Say that a fold is done, now or in an earlier attempt."""
        self._read_back += fold not in self._at
        self._n_folds = n_folds
        self._at[fold] = 1.0
        self._scores[fold] = score
        self._reporter.say(f"fold {fold}: {score:.5f}")
        self._tell(f"fold {fold} scored {score:.5g}", {"fold": fold})

    def should_stop(self) -> bool:
        """Whether the job is to end."""
        return self._reporter.stop_requested

    def _tell(self, latest: str, numbers: Mapping[str, Any]) -> None:
        done = len(self._scores)
        counts = {"folds_done": done, "folds": self._n_folds, "eta_seconds": self._eta_seconds()}
        self._reporter.progress(f"{done}/{self._n_folds} folds  {latest}", {**counts, **numbers})

    def _eta_seconds(self) -> float | None:
        """By the share of the folds that this attempt has done; None before it has done any."""
        share = sum(self._at.values())
        done_now = share - self._read_back
        if done_now <= 0:
            return None
        return round((time.monotonic() - self._begun) / done_now * max(0.0, self._n_folds - share), 1)

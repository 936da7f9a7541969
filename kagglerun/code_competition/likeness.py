"""Whether frozen weights predict what the run predicted, and whether another machine explains it where they do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kagglerun.errors import PackageError
from kagglerun.experiment.predictions import read_predictions
from kagglerun.files import read_json
from kagglerun.workspace import RunPaths

_EXPLAINED = 1e-3
_EXPLAINED_OF_HALF_PRECISION = 3e-2
"""Root mean square of the differences, over the spread of the predictions, that other hardware or versions explain:
float32 sums in another order differ by 1e-6 or so a layer, those of 16-bit formats by 1e-3."""


@dataclass(frozen=True)
class Likeness:
    """How a fold's frozen predictions compare with the run's own.

    Attributes:
        same_bits: they are equal.
        note: where they are not, by how much and why; else empty.
    """

    same_bits: bool
    note: str = ""


def compare(run: RunPaths, fold: int, values: NDArray[np.float64], here: Mapping[str, Any], precision: str) -> Likeness:
    """Compare a fold's predictions with those that the run kept.

    Args:
        run: the run.
        fold: its fold.
        values: predictions for the public test rows, float64 (n, k), from what was frozen.
        here: this machine, as `describe_environment` tells it.
        precision: the number format that the run was trained with.

    Raises:
        PackageError: they differ although machine and versions are the same, or by more than other ones explain.
    """
    kept = read_predictions(run.fold(fold).test).values
    if values.shape == kept.shape and values.tobytes() == kept.tobytes():
        return Likeness(same_bits=True)
    if values.shape != kept.shape:
        raise PackageError(
            f"the frozen weights of {run.run_id} predict {values.shape} for its test rows, the run has {kept.shape}",
            hint="kagglerun reproduce RUN    (tells whether the run can be made again)",
        )
    size = _difference(values, kept)
    causes = _differing(read_json(run.environment), here) if run.environment.is_file() else []
    explained = _EXPLAINED_OF_HALF_PRECISION if precision in ("fp16", "bf16") else _EXPLAINED
    if not causes or not size <= explained:
        elsewhere = f", more than {' and '.join(causes)} explain" if causes else " on the same machine and versions"
        raise PackageError(
            f"the frozen weights of {run.run_id} do not predict what the run predicted: fold {fold} differs by "
            f"{size:.1g} of its spread{elsewhere}",
            hint="does hooks.py depend on more than its tables? kagglerun reproduce RUN tells whether runs repeat",
        )
    return Likeness(False, f"{run.run_id}: predictions differ by {size:.1g} of their spread: {' and '.join(causes)}")


def _difference(values: NDArray[np.float64], kept: NDArray[np.float64]) -> float:
    """Root mean square of the differences over the standard deviation of the predictions."""
    spread = float(np.std(kept)) or 1.0
    return float(np.sqrt(np.mean((values - kept) ** 2))) / spread


def _differing(before: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """What is another here than where the run was trained."""
    found = []
    if before.get("device") != here.get("device"):
        found.append(f"{before.get('device')} there, {here.get('device')} here")
    if before.get("threads") != here.get("threads"):
        found.append("another number of threads")
    old, new = before.get("packages") or {}, here.get("packages") or {}
    changed = [name for name in old if old[name] != new.get(name)]
    if changed:
        found.append("other versions of " + ", ".join(changed[:4]))
    return found

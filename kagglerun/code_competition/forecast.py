"""How long a notebook will take on Kaggle with the hidden test set, from rehearsals with test sets of several sizes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

_KAGGLE_CORES = 4
"""Virtual cores of a notebook there (kaggle.com/docs/notebooks, "Technical Specifications")."""
_CORE_RATIO = 1.5
"""Clock of a usual machine (3.3 GHz) over that of Kaggle's Xeons (2.2 GHz, as /proc/cpuinfo says there)."""
_TFLOPS = {
    "T4": 8.1,
    "P100": 9.3,
    "V100": 15.7,
    "A100": 19.5,
    "L4": 30.3,
    "3090": 35.6,
    "H100": 66.9,
    "H200": 66.9,
    "4090": 82.6,
}
"""FP32 throughput as NVIDIA's data sheets have it: what a change of GPU means for most networks, roughly."""


@dataclass(frozen=True)
class Measured:
    """One rehearsal that finished.

    Attributes:
        rows: test rows.
        seconds: time of the whole notebook.
    """

    rows: int
    seconds: float


@dataclass(frozen=True)
class Forecast:
    """What is expected on Kaggle.

    Attributes:
        rows: test rows that it is made for.
        seconds: the whole notebook there.
        limit_seconds: the competition's limit.
        basis: how it was made, in words.
    """

    rows: int
    seconds: float
    limit_seconds: float
    basis: str

    @property
    def fits(self) -> bool:
        """Whether it is within the limit."""
        return self.seconds <= self.limit_seconds

    def line(self) -> str:
        """The forecast in one line."""
        share = self.seconds / self.limit_seconds
        return f"{_time(self.seconds)} for {self.rows} rows on Kaggle, {share:.0%} of the limit ({self.basis})"


def forecast(
    measured: Sequence[Measured], rows: int, limit_seconds: float, kaggle_gpu: str | None, own_gpu: str | None
) -> Forecast | None:
    """Forecast the time on Kaggle; None without a measurement.

    The time of a notebook is a fixed part and one for each row, taken from the smallest and the largest test set.

    Args:
        measured: rehearsals here.
        rows: size of the hidden test set.
        limit_seconds: the competition's limit.
        kaggle_gpu: the GPU that the notebook asks for; None for none.
        own_gpu: name of the GPU that the rehearsal used; None for none.
    """
    if not measured:
        return None
    low, high = min(measured, key=lambda one: one.rows), max(measured, key=lambda one: one.rows)
    span = high.rows - low.rows
    per_row = max(0.0, (high.seconds - low.seconds) / span) if span else 0.0
    fixed = max(0.0, high.seconds - per_row * high.rows)
    ratio, why = speed_ratio(kaggle_gpu, own_gpu)
    sizes = f"{low.rows} and {high.rows} rows" if span else f"{low.rows} rows"
    basis = f"measured here with {sizes}, times {ratio:.1f}: {why}"
    return Forecast(rows, ratio * (fixed + per_row * rows), limit_seconds, basis)


def speed_ratio(kaggle_gpu: str | None, own_gpu: str | None) -> tuple[float, str]:
    """How many times as long Kaggle's machine takes, and why."""
    if kaggle_gpu and own_gpu:
        here = next((value for name, value in _TFLOPS.items() if name in own_gpu), None)
        if here is not None:
            return max(1.0, here / _TFLOPS[kaggle_gpu]), f"{kaggle_gpu} against {own_gpu}"
        return 2.0, f"{kaggle_gpu} against an unknown {own_gpu}"
    cores = max(1.0, (os.cpu_count() or 1) / _KAGGLE_CORES)
    if kaggle_gpu:
        return cores * _CORE_RATIO, f"without a GPU here; with Kaggle's {kaggle_gpu} it is less"
    return cores * _CORE_RATIO, f"{_KAGGLE_CORES} slower cores"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"

"""A run's use of the machine and its losses, on one axis: seconds of work.

Drawn from the journal alone, so it can be drawn at any time, by any process.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from kagglerun.experiment.plots import Line, Panel, over_time
from kagglerun.experiment.watch.run_watch import SYSTEM
from kagglerun.tracking.journal import Journal, Start, Values
from kagglerun.workspace import RunPaths

_LEAST_POINTS = 6
"""A minute: what is over sooner has nothing to see."""
_MOST_POINTS = 1500
"""More than the picture has columns."""
_LONG_SECONDS = 2 * 3600.0
_MINUTES = 300.0
Name = TypeVar("Name")
_WAIT_COLOUR = 8
_LOSSES = re.compile(r"fold(?P<fold>\d+)/(?P<kind>train|valid)_loss")


@dataclass(frozen=True)
class _Kind:
    """A panel of one kind of metric.

    Attributes:
        title: the panel's.
        pattern: the metrics' names after "system/"; its group `gpu` is the GPU's number.
        factor: what the values are multiplied by.
        highest: upper end of the axis.
        lowest: lower end of the axis.
    """

    title: str
    pattern: str
    factor: float = 1.0
    highest: float | None = None
    lowest: float | None = 0.0


_KINDS = (
    _Kind("GPU busy, %", r"gpu_(?P<gpu>[\d.]+)_utilization_percentage", highest=101.0),
    _Kind("GPU memory, GB", r"gpu_(?P<gpu>[\d.]+)_memory_usage_megabytes", factor=1e-3),
    _Kind("GPU power, W", r"gpu_(?P<gpu>[\d.]+)_power_usage_watts"),
    _Kind("GPU temperature, °C", r"gpu_(?P<gpu>[\d.]+)_temperature_celsius", lowest=None),
    _Kind("Updates waiting for data, %", r"loader_wait_percentage", highest=101.0),
    _Kind("Cores busy", r"cpu_cores_busy"),
    _Kind("Memory of the processes, GB", r"memory_gigabytes"),
)


@dataclass
class _Told:
    """What a journal tells.

    Attributes:
        marks: (milliseconds since 1970, seconds of work until then), where an attempt began and where a stretch ended.
        system: metric to (seconds, values).
        losses: (fold, kind) to (milliseconds, values).
        borders: seconds of work at which later attempts began.
        stretches: how many there are.
    """

    marks: list[tuple[int, float]] = field(default_factory=list)
    system: dict[str, tuple[list[float], list[float]]] = field(default_factory=dict)
    losses: dict[tuple[int, str], tuple[list[float], list[float]]] = field(default_factory=dict)
    borders: list[float] = field(default_factory=list)
    stretches: int = 0


def draw_machine(run: RunPaths) -> Path | None:
    """Draw `plots/machine.png`: GPU, memory, cores and losses over the run's seconds of work.

    Returns:
        The picture; None for a run that was over too soon for it.
    """
    told = _read(Journal(run.journal))
    if told.stretches < _LEAST_POINTS:
        return None
    scale, unit = _unit(told.marks[-1][1])
    panels = [panel for kind in _KINDS if (panel := _panel(kind, told, scale)).lines]
    if told.losses:
        panels.append(_losses(told, scale))
    return over_time(panels, [border / scale for border in told.borders], unit, run.plots / "machine.png")


def _panel(kind: _Kind, told: _Told, scale: float) -> Panel:
    lines: list[Line] = []
    for name, (seconds, values) in told.system.items():
        found = re.fullmatch(SYSTEM + kind.pattern, name)
        if found is not None:
            gpu = found.groupdict().get("gpu")
            label, colour = ("this run", _WAIT_COLOUR) if gpu is None else (f"GPU {gpu}", len(lines))
            times = [second / scale for second in seconds]
            lines.append(Line(label, colour, *_thinned(times, [value * kind.factor for value in values])))
    return Panel(kind.title, lines, kind.lowest, kind.highest)


def _losses(told: _Told, scale: float) -> Panel:
    moments, seconds = zip(*told.marks, strict=True)
    lines = []
    for (fold, kind), (at, values) in sorted(told.losses.items()):
        times = (np.interp(at, moments, seconds) / scale).tolist()
        lines.append(Line(f"fold {fold} {kind}", fold, *_thinned(times, values), is_dashed=kind == "train"))
    return Panel("Loss", lines, lowest=None)


def _read(journal: Journal) -> _Told:
    told = _Told()
    for entry in journal.read():
        worked = told.marks[-1][1] if told.marks else 0.0
        if isinstance(entry.body, Start):
            told.borders += [worked] if worked else []
            told.marks.append((entry.time_ms, worked))
        elif isinstance(entry.body, Values):
            _take(told, entry.body, entry.time_ms)
    return told


def _take(told: _Told, body: Values, time_ms: int) -> None:
    step = float(body.step)
    for name, value in body.values.items():
        if name.startswith(SYSTEM):
            _add(told.system, name, step, value)
        elif found := _LOSSES.fullmatch(name):
            _add(told.losses, (int(found["fold"]), found["kind"]), time_ms, value)
    if any(name.startswith(SYSTEM) for name in body.values):
        told.marks.append((time_ms, step))
        told.stretches += 1


def _add(curves: dict[Name, tuple[list[float], list[float]]], name: Name, at: float, value: float) -> None:
    times, values = curves.setdefault(name, ([], []))
    times.append(at)
    values.append(value)


def _unit(seconds: float) -> tuple[float, str]:
    if seconds >= _LONG_SECONDS:
        return 3600.0, "hours of work"
    return (60.0, "minutes of work") if seconds >= _MINUTES else (1.0, "seconds of work")


def _thinned(times: Sequence[float], values: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    """Means of neighbours, where there are more than can be seen."""
    step = -(-len(times) // _MOST_POINTS)
    if step == 1:
        return times, values
    parts = [slice(first, first + step) for first in range(0, len(times), step)]
    return [float(np.mean(times[part])) for part in parts], [float(np.mean(values[part])) for part in parts]

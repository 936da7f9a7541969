"""A run's use of the machine and its losses, on one axis: seconds of work.

Drawn from the journal alone, so it can be drawn at any time, by any process.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kagglerun.experiment.plots import Curve, over_time
from kagglerun.experiment.watch.run_watch import SYSTEM
from kagglerun.tracking.journal import Journal, Start, Values
from kagglerun.workspace import RunPaths

_LEAST_POINTS = 6
"""A minute: what is over sooner has nothing to see."""
_MOST_POINTS = 1500
"""More than the picture has columns."""
_LONG_SECONDS = 2 * 3600.0
_MINUTES = 300.0
_PANELS = (
    (r"gpu_(?P<gpu>[\d.]+)_utilization_percentage", "GPU busy, %", "GPU {gpu}"),
    (r"loader_wait_percentage", "GPU busy, %", "waiting for data"),
    (r"gpu_(?P<gpu>[\d.]+)_memory_usage_megabytes", "GPU memory, GB", "GPU {gpu}"),
    (r"gpu_(?P<gpu>[\d.]+)_temperature_celsius", "GPU temperature, °C", "GPU {gpu}"),
    (r"gpu_(?P<gpu>[\d.]+)_power_usage_watts", "GPU power, W", "GPU {gpu}"),
    (r"cpu_cores_busy", "Cores busy", "this run"),
    (r"memory_gigabytes", "Memory, GB", "this run"),
)
_WITHOUT_GPU = "Waiting for data, %"
_LOSSES = re.compile(r"fold(?P<fold>\d+)/(?P<name>(train|valid)_loss)")


@dataclass
class _Told:
    """What a journal tells.

    Attributes:
        times: milliseconds since 1970 of each stretch's end.
        seconds: of work until then.
        system: metric to (seconds, values).
        losses: fold and kind of loss to (milliseconds, values).
        starts: milliseconds of each attempt's beginning.
    """

    times: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    system: dict[str, tuple[list[float], list[float]]] = field(default_factory=dict)
    losses: dict[str, tuple[list[float], list[float]]] = field(default_factory=dict)
    starts: list[int] = field(default_factory=list)


def draw_machine(run: RunPaths) -> Path | None:
    """Draw `plots/machine.png`: GPU, memory, cores and losses over the run's seconds of work.

    Returns:
        The picture; None for a run that was over too soon for it.
    """
    told = _read(Journal(run.journal))
    if len(told.times) < _LEAST_POINTS:
        return None
    scale, unit = _unit(told.seconds[-1])
    panels: dict[str, dict[str, Curve]] = {}
    for name, (seconds, values) in told.system.items():
        for pattern, title, label in _PANELS:
            if found := re.fullmatch(SYSTEM + pattern, name):
                thousandth = 1e-3 if name.endswith("megabytes") else 1.0
                curve = _thinned([second / scale for second in seconds], [value * thousandth for value in values])
                panels.setdefault(title, {})[label.format(**found.groupdict())] = curve
    for name, (moments, values) in told.losses.items():
        at = np.interp(moments, told.times, told.seconds) / scale
        panels.setdefault("Loss", {})[name] = _thinned(at.tolist(), values)
    return over_time(_in_order(panels), _borders(told, scale), unit, run.plots / "machine.png")


def _read(journal: Journal) -> _Told:
    told = _Told()
    for entry in journal.read():
        if isinstance(entry.body, Start):
            told.starts.append(entry.time_ms)
        if not isinstance(entry.body, Values):
            continue
        step = float(entry.body.step)
        for name, value in entry.body.values.items():
            if name.startswith(SYSTEM):
                _add(told.system, name, step, value)
            elif found := _LOSSES.fullmatch(name):
                _add(told.losses, f"fold {found['fold']} {found['name'].replace('_loss', '')}", entry.time_ms, value)
        if any(name.startswith(SYSTEM) for name in entry.body.values):
            told.times.append(entry.time_ms)
            told.seconds.append(step)
    return told


def _add(curves: dict[str, tuple[list[float], list[float]]], name: str, at: float, value: float) -> None:
    times, values = curves.setdefault(name, ([], []))
    times.append(at)
    values.append(value)


def _unit(seconds: float) -> tuple[float, str]:
    if seconds >= _LONG_SECONDS:
        return 3600.0, "hours of work"
    return (60.0, "minutes of work") if seconds >= _MINUTES else (1.0, "seconds of work")


def _borders(told: _Told, scale: float) -> list[float]:
    """Where later attempts began."""
    later = [start for start in told.starts[1:] if start > told.times[0]]
    return [float(np.interp(start, told.times, told.seconds)) / scale for start in later]


def _thinned(times: Sequence[float], values: Sequence[float]) -> Curve:
    """Means of neighbours, where there are more than can be seen."""
    step = -(-len(times) // _MOST_POINTS)
    if step == 1:
        return times, values
    parts = [slice(first, first + step) for first in range(0, len(times), step)]
    return [float(np.mean(times[part])) for part in parts], [float(np.mean(values[part])) for part in parts]


def _in_order(panels: dict[str, dict[str, Curve]]) -> dict[str, dict[str, Curve]]:
    """Panels from the GPU to the loss; without a GPU only the cores, the memory and the wait are there."""
    titles = [*dict.fromkeys(title for _, title, _ in _PANELS), "Loss"]
    has_gpu = any(name != "waiting for data" for name in panels.get(_PANELS[0][1], {}))
    shown = {title: panels[title] for title in titles if title in panels}
    return shown if has_gpu else {(_WITHOUT_GPU if title == _PANELS[0][1] else title): shown[title] for title in shown}

"""CV against public score, as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kagglerun.experiment.figures import BLUE, GREY, ORANGE, new_figure, save, style

Numbers = NDArray[np.float64]

_MOST_LABELS = 12
_LONGEST_LABEL = 28
_TINY = 1e-12


@dataclass(frozen=True)
class Points:
    """What the picture shows of n submissions.

    Attributes:
        names: (n,) the runs.
        cv: (n,) out-of-fold scores.
        public: (n,) public scores.
        allowed: (n,) how far noise takes each off the line; None where the noise is not known.
        is_off: (n,) which are further off.
        slope: of the line.
        shift: public score on the line where CV is 0.
    """

    names: Sequence[str]
    cv: Numbers
    public: Numbers
    allowed: Numbers | None
    is_off: NDArray[np.bool_]
    slope: float
    shift: float


def draw_scores(points: Points, title: str, metric: str, greater_is_better: bool, path: Path) -> Path:
    """Draw CV against public score: a dot a run, the line, noise as bars, runs off the line in orange with their names.

    Args:
        points: the runs.
        title: stands above.
        metric: its name.
        greater_is_better: its direction; better runs are always right and above.
        path: the PNG to write.

    Returns:
        `path`.
    """
    figure = new_figure(7.6, 5.6)
    axis = figure.subplots()
    _draw_line(axis, points)
    for chosen, colour, label in (
        (~points.is_off, BLUE, "submissions" if points.allowed is None else "submissions, with the noise of both"),
        (points.is_off, ORANGE, "off the line by more than noise"),
    ):
        if chosen.any():
            _draw_points(axis, points, chosen, colour, label)
    _label(axis, points, greater_is_better)
    axis.set_xlabel(f"CV {metric} ({'greater' if greater_is_better else 'smaller'} is better)")
    axis.set_ylabel(f"public {metric}")
    axis.set_title(title)
    axis.margins(0.12)
    if not greater_is_better:
        axis.invert_xaxis()
        axis.invert_yaxis()
    style(axis, grid="both")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8.5)
    return save(figure, path)


def _draw_line(axis: Any, points: Points) -> None:
    low, high = float(points.cv.min()), float(points.cv.max())
    beyond = max((high - low) * 0.1, abs(high) * 0.001, _TINY)
    ends = np.array([low - beyond, high + beyond])
    slope = "1" if points.slope == 1 else f"{points.slope:.2f}"
    text = (
        f"public = {'' if slope == '1' else slope + ' '}CV {'+' if points.shift >= 0 else '-'} {abs(points.shift):.4g}"
    )
    axis.plot(ends, points.slope * ends + points.shift, color=GREY, linewidth=1.2, label=text, zorder=1)


def _draw_points(axis: Any, points: Points, chosen: NDArray[np.bool_], colour: str, label: str) -> None:
    x, y = points.cv[chosen], points.public[chosen]
    if points.allowed is not None:
        on_line = points.slope * x + points.shift
        axis.errorbar(x, on_line, yerr=points.allowed[chosen], fmt="none", ecolor=GREY, alpha=0.45, capsize=3, zorder=2)
    axis.scatter(x, y, s=44, color=colour, label=label, zorder=3)


def _label(axis: Any, points: Points, greater_is_better: bool) -> None:
    """Names of the runs off the line, of the best in CV and of the best in public; of all where they are few."""
    sign = 1 if greater_is_better else -1
    best = [int((sign * side).argmax()) for side in (points.cv, points.public)]
    wanted = list(dict.fromkeys([*np.flatnonzero(points.is_off).tolist(), *best]))
    if len(points.names) <= _MOST_LABELS // 2:
        wanted = list(range(len(points.names)))
    middle = (points.cv.min() + points.cv.max()) / 2
    for number in wanted[:_MOST_LABELS]:
        name = points.names[number]
        # Runs of a study differ at the end of their names.
        shown = name if len(name) <= _LONGEST_LABEL else f"{name[: _LONGEST_LABEL // 2]}…{name[-_LONGEST_LABEL // 2 :]}"
        to_left = (points.cv[number] > middle) == greater_is_better
        axis.annotate(
            shown,
            (points.cv[number], points.public[number]),
            (-7 if to_left else 7, 5),
            textcoords="offset points",
            ha="right" if to_left else "left",
            fontsize=8,
            color=ORANGE if points.is_off[number] else "#333333",
        )

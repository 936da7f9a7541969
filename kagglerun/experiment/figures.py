"""How all our pictures look: colours, figures that need no display, axes, PNG files that are whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from kagglerun.files import atomic_path

BLUE, ORANGE, GREY = "#2f6db5", "#e07b39", "#8a8f98"
_DOTS_PER_INCH = 110


def new_figure(width: float, height: float) -> Figure:
    """A figure of this size in inches."""
    figure = Figure(figsize=(width, height), dpi=_DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def style(axis: Any, grid: Literal["x", "y", "both"] = "y", size: float = 9.0) -> None:
    """Give an axis its grid, two spines, and labels of this size in points."""
    axis.grid(axis=grid, color="#e3e6ea", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(GREY)
    axis.tick_params(color=GREY, labelsize=size)
    axis.title.set_fontsize(size + 1.5)


def save(figure: Figure, path: Path) -> Path:
    """Write a figure in one step; the same figure gives the same bytes. Returns `path`."""
    with atomic_path(path, durable=False) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None}, facecolor="white")
    return path

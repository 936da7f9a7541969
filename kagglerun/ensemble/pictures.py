"""Pictures of an ensemble, as PNG: weights and gains of its members, and how alike their predictions are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kagglerun.experiment.figures import BLUE, GREY, ORANGE, new_figure, save, style

_MOST_MEMBERS = 30
_MOST_NUMBERS = 14


def draw_weights(
    runs: Sequence[str],
    weights: Sequence[float],
    gains: Sequence[tuple[float, float | None] | None],
    metric: str,
    path: Path,
) -> Path:
    """Each member's weight as a bar, and beside it what it adds to the honest score, with its standard error.

    Args:
        runs: the members, the heaviest first.
        weights: of each.
        gains: gain and error of each; None where it was not taken.
        metric: the metric's name.
        path: the PNG to write.

    Returns:
        `path`.
    """
    shown = min(len(runs), _MOST_MEMBERS)
    figure = new_figure(9.6, 1.4 + 0.3 * max(shown, 3))
    left, right = figure.subplots(1, 2, sharey=True)
    places = np.arange(shown)
    left.barh(places, list(weights[:shown]), color=BLUE, height=0.7)
    for place, weight in zip(places, weights[:shown], strict=False):
        left.annotate(f"{weight:.3f}", (weight, place), (4, 0), textcoords="offset points", va="center", fontsize=8)
    left.set_yticks(places, [_shown(run, 34) for run in runs[:shown]])
    left.invert_yaxis()
    left.margins(x=0.16)
    left.set_title("Weight" + (f" (the first {shown} of {len(runs)})" if shown < len(runs) else ""))
    known = [(place, *gain) for place, gain in zip(places, gains[:shown], strict=False) if gain is not None]
    for place, gain, error in known:
        colour = BLUE if gain > 0 else ORANGE
        right.errorbar(gain, place, xerr=error or 0.0, fmt="o", color=colour, markersize=5, capsize=2, linewidth=1.2)
    right.axvline(0, color=GREY, linewidth=1.0)
    right.margins(x=0.14)
    right.locator_params(axis="x", nbins=5)
    right.set_title(f"Gain in {_shown(metric, 24)} (better is right), ± standard error")
    for axis in (left, right):
        style(axis, grid="x", size=8.5)
    return save(figure, path)


def draw_correlations(runs: Sequence[str], matrix: NDArray[np.float64], path: Path) -> Path:
    """How alike the predictions of the members are: Pearson correlation of each pair, out of fold.

    Args:
        runs: the members, in the order of the matrix.
        matrix: (runs, runs).
        path: the PNG to write.

    Returns:
        `path`.
    """
    shown = min(len(runs), _MOST_MEMBERS)
    part = matrix[:shown, :shown]
    apart = part[~np.eye(shown, dtype=bool)]
    lowest = float(apart.min()) if apart.size else 0.0
    side = float(np.clip(2.6 + 0.42 * shown, 4.2, 13))
    figure = new_figure(side + 1.6, side)
    axis = figure.subplots()
    picture = axis.imshow(part, cmap="Blues", vmin=lowest - 0.05 * (1 - lowest), vmax=1.0)
    bar = figure.colorbar(picture, ax=axis, fraction=0.046, pad=0.03)
    bar.set_label("correlation of the out-of-fold predictions")
    bar.outline.set_visible(False)
    names = [_shown(run, 26) for run in runs[:shown]]
    axis.set_xticks(range(shown), names, rotation=45, ha="right")
    axis.set_yticks(range(shown), names)
    axis.tick_params(length=0, labelsize=8)
    axis.spines[:].set_visible(False)
    if shown <= _MOST_NUMBERS:
        _write_numbers(axis, part, lowest)
    axis.set_title("How alike the members predict", fontsize=10.5)
    return save(figure, path)


def _write_numbers(axis: Any, part: NDArray[np.float64], lowest: float) -> None:
    for (row, column), value in np.ndenumerate(part):
        colour = "white" if value > (1 + lowest) / 2 else "#20242c"
        axis.text(column, row, f"{value:.3f}", ha="center", va="center", color=colour, fontsize=7)


def _shown(text: str, limit: int) -> str:
    """A name cut in its middle, since ids differ at their ends; its dollar signs no formula to matplotlib."""
    half = (limit - 1) // 2
    cut = text if len(text) <= limit else f"{text[:half]}…{text[-half:]}"
    return cut.replace("$", r"\$")

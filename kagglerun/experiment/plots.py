"""Pictures of a run, as PNG.

Figures are made without pyplot: no display, no global state, nothing to close. The same numbers give the same
bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from kagglerun.experiment.figures import BLUE, GREY, ORANGE, new_figure, save, style

_FOLD_COLOURS = (
    "#2f6db5",
    "#e07b39",
    "#3a9a5b",
    "#b5485d",
    "#7a5fb0",
    "#8c6d46",
    "#4aa3b8",
    "#c59a2d",
    "#6b7280",
    "#d16ba5",
)
_MOST_FEATURES = 25
_MOST_TARGETS = 9
_MOST_POINTS = 20_000
_MOST_NUMBERED_CLASSES = 25

History = Sequence[Mapping[str, float]]


def learning_curves(histories: Sequence[History], path: Path, folds: Sequence[int] | None = None) -> Path:
    """Curves of every tracked value: one panel for loss (train dashed, valid solid), score and learning rate.

    Args:
        histories: one a fold: a dict of values an epoch, or a step where it has the key `step`.
        path: the PNG to write.
        folds: numbers of the folds; counted from 0 when left out.

    Returns:
        `path`.
    """
    panels = _panels(histories)
    figure = _figure(5.2 * len(panels), 3.8)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    numbers = list(folds if folds is not None else range(len(histories)))
    for axis, (title, keys) in zip(axes, panels.items(), strict=True):
        for index, history in enumerate(histories):
            for key in keys:
                _curve(axis, history, key, _colour(index), f"fold {numbers[index]}")
        axis.set_title(_panel_title(title, keys))
        axis.set_xlabel("step" if any("step" in row for history in histories for row in history) else "epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axis.margins(x=0.05 if max(map(len, histories), default=0) > 1 else 1)
        style(axis)
    _legend_of_folds(axes[-1])
    return save(figure, path)


def fold_scores(scores: Mapping[int, float], overall: float, metric: str, path: Path) -> Path:
    """The score of each fold as a dot, with their mean and spread and the score over all OOF predictions.

    Args:
        scores: fold to score.
        overall: the score over all OOF predictions at once.
        metric: the metric's name.
        path: the PNG to write.

    Returns:
        `path`.
    """
    figure = _figure(max(4.6, 2.6 + 0.55 * len(scores)), 3.8)
    axis = figure.subplots()
    values = np.array(list(scores.values()), dtype=np.float64)
    mean, spread = values.mean(), values.std()
    axis.axhspan(mean - spread, mean + spread, color=BLUE, alpha=0.1, label=f"folds {mean:.5g} ± {spread:.2g}")
    axis.axhline(overall, color=ORANGE, linewidth=1.6, label=f"all OOF {overall:.5g}")
    positions = range(len(scores))
    axis.scatter(positions, values, s=46, color=BLUE, zorder=3)
    for position, value in zip(positions, values, strict=True):
        axis.annotate(f"{value:.4g}", (position, value), (0, 8), textcoords="offset points", ha="center", fontsize=8)
    axis.set_xticks(list(positions), [str(fold) for fold in scores])
    axis.set_xlim(-0.6, len(scores) - 0.4)
    axis.margins(y=0.25)
    axis.set_xlabel("fold")
    axis.set_ylabel(metric)
    axis.set_title("Score of each fold")
    style(axis)
    _legend_below(figure)
    return save(figure, path)


def confusion_matrix(targets: ArrayLike, decided: ArrayLike, labels: Sequence[str], path: Path) -> Path:
    """How often each class was taken for each other: counts as numbers, shares of the true class as colour.

    Args:
        targets: true class indices, shape (n,).
        decided: predicted class indices, shape (n,).
        labels: names of the classes.
        path: the PNG to write.

    Returns:
        `path`.
    """
    true, predicted = np.asarray(targets, dtype=np.int64).ravel(), np.asarray(decided, dtype=np.int64).ravel()
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(counts, (true, predicted), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = float(np.clip(2.2 + 0.42 * len(labels), 4.2, 13))
    figure = _figure(side + 0.9, side)
    axis = figure.subplots()
    picture = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    bar = figure.colorbar(picture, ax=axis, fraction=0.046, pad=0.03)
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)
    names = [_shown(label, 16) for label in labels]
    turned = max(map(len, names), default=0) * len(names) > 9 * side
    axis.set_xticks(range(len(names)), names, rotation=45 if turned else 0, ha="right" if turned else "center")
    axis.set_yticks(range(len(names)), names)
    axis.tick_params(length=0, labelsize=9 if len(names) <= _MOST_NUMBERED_CLASSES else 6)
    if len(names) <= _MOST_NUMBERED_CLASSES:
        _write_counts(axis, counts, shares)
    axis.set_xlabel("predicted")
    axis.set_ylabel("true")
    axis.set_title(f"Out-of-fold predictions: {np.trace(counts) / max(counts.sum(), 1):.2%} right", fontsize=10.5)
    axis.spines[:].set_visible(False)
    return save(figure, path)


def residuals(targets: ArrayLike, predictions: ArrayLike, names: Sequence[str], path: Path) -> Path:
    """Predicted against true values, and how the errors are spread; one row a target, at most nine.

    Args:
        targets: shape (n, n_targets).
        predictions: shape (n, n_targets).
        names: names of the targets.
        path: the PNG to write.

    Returns:
        `path`.
    """
    true, predicted = _columns(targets), _columns(predictions)
    shown = min(true.shape[1], _MOST_TARGETS)
    figure = _figure(10, 3.9 * shown)
    axes = figure.subplots(shown, 2, squeeze=False)
    for index in range(shown):
        _draw_scatter(axes[index][0], true[:, index], predicted[:, index], _shown(names[index], 34))
        _draw_errors(axes[index][1], predicted[:, index] - true[:, index], _shown(names[index], 34))
    return save(figure, path)


def importances(shares: Mapping[str, float], path: Path) -> Path:
    """The features that brought most, as bars.

    Args:
        shares: feature to its share of the whole gain.
        path: the PNG to write.

    Returns:
        `path`.
    """
    ranked = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    shown = ranked[:_MOST_FEATURES]
    figure = _figure(7.5, 1.3 + 0.27 * max(len(shown), 3))
    axis = figure.subplots()
    names = [_shown(name, 34) for name, _ in shown]
    values = [value for _, value in shown]
    axis.barh(range(len(shown)), values, color=BLUE, height=0.72)
    for position, value in enumerate(values):
        axis.annotate(f"{value:.1%}", (value, position), (4, 0), textcoords="offset points", va="center", fontsize=8)
    axis.set_yticks(range(len(shown)), names)
    axis.invert_yaxis()
    axis.margins(x=0.12, y=0.01)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axis.set_xlabel("share of the gain, mean over folds")
    left_out = len(ranked) - len(shown)
    axis.set_title("Importance of features" + (f" (the first {len(shown)} of {len(ranked)})" if left_out else ""))
    style(axis, grid="x")
    return save(figure, path)


@dataclass(frozen=True)
class Line:
    """A curve over time: times and values, both (n,); lines of one colour number have the same colour."""

    label: str
    colour: int
    times: Sequence[float]
    values: Sequence[float]
    is_dashed: bool = False


@dataclass(frozen=True)
class Panel:
    """Lines that share an axis, whose ends are fixed where they are given."""

    title: str
    lines: Sequence[Line]
    lowest: float | None = 0.0
    highest: float | None = None


def over_time(panels: Sequence[Panel], borders: Sequence[float], unit: str, path: Path) -> Path:
    """Panels under one another on one time axis, with a vertical line at each border; `unit` is the times'."""
    figure = _figure(8.6, 0.6 + 1.6 * len(panels))
    axes = figure.subplots(len(panels), 1, squeeze=False, sharex=True)[:, 0]
    for axis, panel in zip(axes, panels, strict=True):
        for line in panel.lines:
            dashes = "--" if line.is_dashed else "-"
            axis.plot(line.times, line.values, dashes, color=_colour(line.colour), linewidth=1.3, label=line.label)
        for border in borders:
            axis.axvline(border, color=GREY, linewidth=0.8, linestyle=":")
        axis.set_ylim(panel.lowest, panel.highest)
        axis.set_title(panel.title, loc="left")
        axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)
        style(axis)
    axes[-1].set_xlim(0)
    axes[-1].set_xlabel(unit)
    return save(figure, path)


def _panels(histories: Sequence[History]) -> dict[str, list[str]]:
    """Panel to the values it shows, by the word after train_ or valid_; a constant learning rate is left out."""
    panels: dict[str, list[str]] = {}
    for key in dict.fromkeys(key for history in histories for row in history for key in row):
        if key == "step" or (key == "lr" and len({row.get(key) for history in histories for row in history}) < 2):
            continue
        panels.setdefault(key.removeprefix("train_").removeprefix("valid_"), []).append(key)
    return dict(sorted(panels.items(), key=lambda panel: (panel[0] == "lr", panel[0] != "loss"))) or {"loss": []}


def _panel_title(name: str, keys: Sequence[str]) -> str:
    title = {"lr": "learning rate", "loss": "loss", "score": "validation score"}.get(name, name)
    return f"{title} (train dashed, valid solid)" if len(keys) > 1 else title


def _curve(axis: Any, history: History, key: str, colour: str, label: str) -> None:
    points = [(row.get("step", epoch), row[key]) for epoch, row in enumerate(history) if key in row]
    if not points:
        return
    steps, values = zip(*points, strict=True)
    is_train = key.startswith("train_")
    axis.plot(
        steps,
        values,
        color=colour,
        linestyle="--" if is_train else "-",
        alpha=0.55 if is_train else 0.95,
        linewidth=1.2 if is_train else 1.7,
        marker="o" if len(points) == 1 else None,
        label=label,
    )


def _legend_of_folds(axis: Any) -> None:
    lines, labels = axis.get_legend_handles_labels()
    unique = dict(zip(labels, lines, strict=True))
    if len(unique) > 1:
        axis.legend(unique.values(), unique.keys(), loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)


def _legend_below(figure: Figure) -> None:
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)


def _write_counts(axis: Any, counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    for row, column in zip(*np.nonzero(counts), strict=True):
        colour = "white" if shares[row, column] > 0.55 else "#20242c"
        size = 9 if counts.shape[0] <= 12 else 7
        axis.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=size)


def _columns(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    return array.reshape(len(array), -1)


def _draw_scatter(axis: Any, true: NDArray[np.float64], predicted: NDArray[np.float64], name: str) -> None:
    step = max(1, -(-len(true) // _MOST_POINTS))  # evenly thinned, so that the picture stays deterministic
    opacity = float(np.clip(250 / max(len(true), 1), 0.08, 0.6))
    axis.scatter(true[::step], predicted[::step], s=12, color=BLUE, alpha=opacity, linewidths=0)
    ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
    axis.plot(ends, ends, color=ORANGE, linewidth=1.4, label="exact")
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.set_xlabel("true")
    axis.set_ylabel("predicted")
    axis.set_title(f"{name}: out-of-fold predictions")
    axis.legend(frameon=False, loc="upper left")
    style(axis, grid="both")


def _draw_errors(axis: Any, errors: NDArray[np.float64], name: str) -> None:
    low, high = np.quantile(errors, [0.005, 0.995])
    edges = (low, high) if low < high else (low - 0.5, high + 0.5)
    axis.hist(np.clip(errors, *edges), bins=40, range=edges, color=BLUE, alpha=0.85)
    axis.axvline(0, color=GREY, linewidth=1.2)
    axis.axvline(errors.mean(), color=ORANGE, linewidth=1.4, label=f"mean {errors.mean():.3g}")
    axis.xaxis.set_major_locator(MaxNLocator(6))
    axis.set_xlabel("predicted - true (the outer 1% drawn at the edges)")
    axis.set_ylabel("rows")
    axis.set_title(f"{name}: errors, standard deviation {errors.std():.4g}")
    axis.legend(frameon=False)
    style(axis)


def _shown(text: str, limit: int) -> str:
    """A name cut to `limit`, its dollar signs no formula to matplotlib."""
    cut = text if len(text) <= limit else f"{text[: limit - 1]}…"
    return cut.replace("$", r"\$")


def _colour(index: int) -> str:
    return _FOLD_COLOURS[index % len(_FOLD_COLOURS)]


def _figure(width: float, height: float) -> Figure:
    """A figure of this size in inches."""
    figure = new_figure(width, height)
    engine = figure.get_layout_engine()
    assert engine is not None, "asked for one line ago"
    engine.set(w_pad=0.12, h_pad=0.12)  # type: ignore[call-arg]
    return figure

"""The pictures of a study as PNG.

Figures are made without pyplot: no display, no global state, nothing to close.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from kagglerun.files import atomic_path
from kagglerun.sweep.review.figures import (
    Axis,
    Shown,
    StudyFigures,
    axis_ticks,
    robust_range,
    savings,
    shortened,
)

COLOURS = {"COMPLETE": "#2f6db5", "PRUNED": "#e07b39", "FAIL": "#b5485d", "RUNNING": "#8a8f98"}
WORDS = {"COMPLETE": "complete", "PRUNED": "stopped early", "FAIL": "failed", "RUNNING": "in work"}
_BEST, _GREY = "#2a9d55", "#8a8f98"
_DOTS_PER_INCH = 110
_MOST_AXES = 12
_TOP_SHARE = 0.1
_MOST_NAMED = 20


def draw_pictures(figures: StudyFigures, folder: Path) -> list[Path]:
    """Draw what there is something to draw of: history, importances, parallel coordinates, slices, pruning, timeline;
    with two objectives the score against the time.

    Args:
        figures: the study.
        folder: where the PNG files are written.

    Returns:
        The files that were written.
    """
    drawn: list[Path] = []
    if figures.complete:
        drawn.append(_save(_history(figures), folder / "history.png"))
    if figures.front:
        drawn.append(_save(_trade_off(figures), folder / "trade_off.png"))
    if figures.importances:
        drawn.append(_save(_importances(figures), folder / "importances.png"))
    if len(figures.complete) > 1 and figures.axes:
        drawn.append(_save(_parallel_coordinates(figures), folder / "parallel_coordinates.png"))
        drawn.append(_save(_slices(figures), folder / "slices.png"))
    if any(trial.means for trial in figures.trials):
        drawn.append(_save(_pruning(figures), folder / "pruning.png"))
    if any(trial.span for trial in figures.trials):
        drawn.append(_save(_timeline(figures), folder / "timeline.png"))
    return drawn


def _history(figures: StudyFigures) -> Figure:
    figure = _figure(8.0, 4.2)
    axis = figure.subplots()
    low, high = robust_range([trial.value for trial in figures.complete if trial.value is not None])
    _points(axis, [(trial.number, trial.value) for trial in figures.complete], low, high, "COMPLETE")
    stopped = [(trial.number, trial.means[-1]) for trial in figures.trials if trial.state == "PRUNED" and trial.means]
    if stopped:
        _points(axis, stopped, low, high, "PRUNED", "stopped early (mean of its folds)")
    for trial in figures.trials:
        if trial.state == "FAIL":
            axis.axvline(trial.number, ymax=0.03, color=COLOURS["FAIL"], linewidth=1.5)
    numbers, scores = zip(*figures.best_so_far, strict=True)
    axis.step(
        [*numbers, len(figures.trials) - 1], [*scores, scores[-1]], where="post", color=_BEST, label="best so far"
    )
    axis.set_ylim(low, high)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.set_xlabel("trial")
    axis.set_ylabel(_score_label(figures))
    axis.set_title(f"{figures.name}: best {scores[-1]:.5g}, trial {figures.best}")
    _style(axis)
    axis.legend(frameon=False, fontsize=8, loc="best")
    return figure


def _points(
    axis: Any,
    points: Sequence[tuple[float, float | None]],
    low: float,
    high: float,
    state: str,
    label: str | None = None,
) -> None:
    """Dots; those beyond the range are triangles at its edge."""
    numbers = np.array([number for number, _ in points])
    values = np.array([value for _, value in points], dtype=np.float64)
    colour, size = COLOURS[state], 22 if len(points) < 300 else 8
    inside = (values >= low) & (values <= high)
    axis.scatter(numbers[inside], values[inside], s=size, color=colour, alpha=0.75, label=label or WORDS[state], lw=0)
    for beyond, edge, marker in ((values < low, low, "v"), (values > high, high, "^")):
        if beyond.any():
            axis.scatter(
                numbers[beyond], np.full(beyond.sum(), edge), s=26, color=colour, marker=marker, clip_on=False, lw=0
            )


def _trade_off(figures: StudyFigures) -> Figure:
    """Score over seconds a fold; a step line through the trials that no other one beats in both."""
    figure = _figure(8.0, 4.2)
    axis = figure.subplots()
    low, high = robust_range([trial.value for trial in figures.complete if trial.value is not None])
    points = [(trial.seconds_per_fold or 0.0, trial.value) for trial in figures.complete]
    _points(axis, points, low, high, "COMPLETE")
    front = sorted(
        (figures.trials[number] for number in figures.front), key=lambda trial: trial.seconds_per_fold or 0.0
    )
    seconds = [trial.seconds_per_fold or 0.0 for trial in front]
    scores = [trial.value or 0.0 for trial in front]
    axis.step(seconds, scores, where="post", color=COLOURS["PRUNED"], marker="o", ms=5, label="not beaten in both")
    for trial, at, score in zip(front, seconds, scores, strict=True):
        if low <= score <= high and len(front) <= _MOST_NAMED:
            # Up and to the left of the front there is nothing.
            axis.annotate(str(trial.number), (at, score), (-4, 4), textcoords="offset points", ha="right", fontsize=8)
    axis.set_ylim(low, high)
    axis.set_xlim(0, max(at for at, _ in points) * 1.05 or 1.0)
    axis.set_xlabel("seconds a fold (fewer is better)")
    axis.set_ylabel(_score_label(figures))
    axis.set_title(f"{len(front)} of {len(points)} complete trials are not beaten in both")
    _style(axis)
    axis.legend(frameon=False, fontsize=8, loc="best")
    return figure


def _importances(figures: StudyFigures) -> Figure:
    shown = figures.importances[::-1]
    figure = _figure(7.2, 1.4 + 0.34 * len(shown))
    axis = figure.subplots()
    shares = [share for _, share in shown]
    axis.barh(range(len(shown)), shares, color=COLOURS["COMPLETE"], height=0.62)
    for place, share in enumerate(shares):
        axis.annotate(f"{share:.0%}", (share, place), (4, 0), textcoords="offset points", va="center", fontsize=8)
    axis.set_yticks(range(len(shown)), [key for key, _ in shown])
    axis.set_xlim(0, max(shares) * 1.12)
    axis.set_xlabel(f"share in what separates the top of {len(figures.complete)} complete trials (PED-ANOVA)")
    axis.set_title("Importance of the parameters")
    _style(axis)
    return figure


def _parallel_coordinates(figures: StudyFigures) -> Figure:
    """One line a trial, coloured by its rank, the best on top; the score is the last axis."""
    axes = sorted(place for place, _ in figures.ranked_axes[:_MOST_AXES])
    scores = robust_range([trial.value for trial in figures.complete if trial.value is not None])
    score_axis = Axis(_score_label(figures), "linear", *scores)
    sign = -1.0 if figures.greater_is_better else 1.0
    worst_first = sorted(figures.complete, key=lambda trial: -sign * (trial.value or 0.0))
    figure = _figure(max(6.0, 1.9 * (len(axes) + 1)), 4.6)
    axis = figure.subplots()
    top = max(1, round(_TOP_SHARE * len(worst_first)))
    for rank, trial in enumerate(worst_first):
        heights = [_place(figures.axes[place], trial.values[place], trial.number) for place in axes]
        heights.append(score_axis.place(trial.value or 0.0))
        is_top = rank >= len(worst_first) - top
        is_best = trial.number == figures.best
        colour = _BEST if is_best else COLOURS["COMPLETE"] if is_top else _GREY
        axis.plot(heights, color=colour, alpha=0.9 if is_top else 0.25, lw=2.2 if is_best else 1.1 if is_top else 0.6)
    for position, shown in enumerate([*(figures.axes[place] for place in axes), score_axis]):
        _upright(axis, position, shown)
    axis.set_xlim(-0.15, len(axes) + 0.35)
    axis.set_ylim(-0.06, 1.06)
    axis.axis("off")
    axis.set_title(f"The best tenth of {len(worst_first)} complete trials in blue, the best in green", pad=26)
    return figure


def _upright(axis: Any, position: int, shown: Axis) -> None:
    axis.plot([position, position], [0, 1], color="#333", lw=0.8)
    axis.annotate(
        shortened(shown.key, 26),
        (position, 1),
        (0, 8),
        textcoords="offset points",
        ha="center",
        fontsize=8,
        weight="bold",
    )
    for place, text in axis_ticks(shown):
        axis.annotate(
            text, (position, place), (3, 0), textcoords="offset points", va="center", fontsize=7, color="#333",
            bbox={"facecolor": "white", "alpha": 0.65, "pad": 0.6, "lw": 0},
        )  # fmt: skip


def _place(axis: Axis, value: float | None, number: int) -> float:
    """Height of a value; trials with the same choice are set a little apart, those without any lie below."""
    if value is None:
        return -0.05
    apart = ((number * 0.618034) % 1.0 - 0.5) * 0.03 if axis.kind == "choice" else 0.0
    return axis.place(value) + apart


def _slices(figures: StudyFigures) -> Figure:
    """The score over each parameter, the most important first; later trials are darker."""
    ranked = figures.ranked_axes[:_MOST_AXES]
    columns = min(4, len(ranked))
    rows = math.ceil(len(ranked) / columns)
    figure = _figure(3.1 * columns + 0.6, 2.9 * rows + 0.3)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    low, high = robust_range([trial.value for trial in figures.complete if trial.value is not None])
    for panel, (place, shown) in zip(panels, ranked, strict=False):
        counted = [trial for trial in figures.complete if trial.values[place] is not None]
        heights = np.clip([trial.value for trial in counted], low, high)
        across = [_place(shown, trial.values[place], trial.number) for trial in counted]
        age, size = [trial.number for trial in counted], 16 if len(counted) < 300 else 6
        panel.scatter(across, heights, c=age, cmap="Blues", vmin=-len(figures.trials) / 2, s=size, lw=0)
        for trial, at in zip(counted, across, strict=True):
            if trial.number == figures.best:
                panel.scatter([at], [trial.value], color=_BEST, marker="*", s=90, zorder=3)
        ticks = axis_ticks(shown)
        panel.set_xticks([at for at, _ in ticks], [text for _, text in ticks], fontsize=7, rotation=_tilt(ticks))
        panel.set_xlim(-0.05, 1.05)
        panel.set_ylim(low, high)
        panel.set_title(shortened(shown.key, 30), fontsize=9)
        _style(panel)
    for panel in panels[len(ranked) :]:
        panel.axis("off")
    for row in range(rows):
        panels[row * columns].set_ylabel(_score_label(figures), fontsize=8)
    return figure


def _tilt(ticks: Sequence[tuple[float, str]]) -> float:
    return 30.0 if sum(len(text) for _, text in ticks) > 28 else 0.0


def _pruning(figures: StudyFigures) -> Figure:
    """Where trials were stopped: their mean score over the folds, and the curves of the first fold."""
    curves = figures.with_curves()
    figure = _figure(11.0 if curves else 7.0, 4.2)
    panels = figure.subplots(1, 2 if curves else 1, squeeze=False)[0]
    trials = [trial for trial in figures.trials if trial.means]
    _lines(panels[0], figures, [(trial, trial.means) for trial in trials], figures.mean_scores)
    panels[0].set_xlabel("folds")
    panels[0].set_ylabel("mean score of the folds so far")
    panels[0].set_title(savings(figures))
    if curves:
        known = [(trial, [math.nan if at is None else at for at in trial.curve]) for trial in curves]
        _lines(panels[1], figures, known, [line[-1] for _, line in known])
        panels[1].set_xlabel("epoch of the first fold")
        panels[1].set_ylabel("validation score")
        panels[1].set_title("learning curves")
    states = [state for state in COLOURS if any(trial.state == state for trial in trials)]
    handles = [Line2D([], [], color=COLOURS[state], label=WORDS[state]) for state in states]
    panels[0].legend(handles=[*handles, Line2D([], [], color=_BEST, label="best")], frameon=False, fontsize=8)
    return figure


def _lines(
    axis: Any, figures: StudyFigures, lines: Sequence[tuple[Shown, Sequence[float]]], seen: Sequence[float]
) -> None:
    """Lines over 1, 2, 3, ...; the range is that of the values that are to be seen."""
    low, high = robust_range([value for value in seen if math.isfinite(value)] or [0.0])
    for state in ("COMPLETE", "FAIL", "RUNNING", "PRUNED"):
        chosen = [line for trial, line in lines if trial.state == state]
        paths = [list(enumerate(line, 1)) for line in chosen]
        alpha = 0.6 if len(chosen) < 60 else 0.2
        axis.add_collection(LineCollection(paths, colors=COLOURS[state], linewidths=0.8, alpha=alpha))
        axis.scatter([path[-1][0] for path in paths], [min(high, max(low, path[-1][1])) for path in paths],
                     s=14 if state == "PRUNED" else 5, color=COLOURS[state], alpha=0.7, lw=0)  # fmt: skip
    best = next((line for trial, line in lines if trial.number == figures.best), None)
    if best is not None:
        axis.plot(range(1, 1 + len(best)), best, color=_BEST, lw=2)
    axis.set_ylim(low, high)
    axis.set_xlim(0.7, max(len(line) for _, line in lines) + 0.3)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _style(axis)


def _timeline(figures: StudyFigures) -> Figure:
    """When each trial ran; trials that ran at the same time lie in different rows."""
    trials = [trial for trial in figures.trials if trial.span]
    rows = max(trial.lane for trial in trials) + 1
    last = max(trial.span[1] for trial in trials if trial.span) or 1.0
    unit, name = (3600.0, "hours") if last >= 7200 else (60.0, "minutes") if last >= 120 else (1.0, "seconds")
    figure = _figure(10.0, 1.6 + min(6.0, 0.34 * rows))
    axis = figure.subplots()
    for state, colour in COLOURS.items():
        bars = [
            [(begin / unit, trial.lane - 0.38), (end / unit, trial.lane - 0.38), (end / unit, trial.lane + 0.38),
             (begin / unit, trial.lane + 0.38)]
            for trial in trials if trial.state == state and trial.span for begin, end in [trial.span]
        ]  # fmt: skip
        if bars:
            edge = "white" if len(trials) < 400 else "none"
            axis.add_collection(
                PolyCollection(bars, facecolors=colour, edgecolors=edge, linewidths=0.6, label=WORDS[state])
            )
    axis.set_xlim(0, last / unit * 1.01)
    axis.set_ylim(rows - 0.4, -0.6)
    axis.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.set_ylabel("at the same time")
    axis.set_xlabel(f"{name} since the study began (a trial that was continued covers the pause)")
    axis.set_title(f"{len(trials)} trials")
    _style(axis)
    axis.legend(frameon=False, fontsize=8, ncols=4, loc="lower left", bbox_to_anchor=(0, 1))
    return figure


def _score_label(figures: StudyFigures) -> str:
    return "score (greater is better)" if figures.greater_is_better else "score (smaller is better)"


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _style(axis: Any) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.25, linewidth=0.6)
    axis.set_axisbelow(True)


def _save(figure: Figure, path: Path) -> Path:
    with atomic_path(path, durable=False) as temporary:
        figure.savefig(temporary, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
    return path

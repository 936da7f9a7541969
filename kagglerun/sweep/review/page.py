"""A study as one HTML page that needs nothing else: it opens from a disk, from MLflow's artifacts, offline.

The same pictures as `pictures` draws, with the trial under the mouse told in full and a click that marks it in all.
Plotly is not used: its script of some 4 MB would go into every study's page, or be fetched from elsewhere.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from kagglerun.files import write_text
from kagglerun.sweep.review.figures import Axis, Shown, StudyFigures, axis_ticks, robust_range, savings


def write_page(figures: StudyFigures, path: Path) -> Path:
    """Write the page.

    Args:
        figures: the study.
        path: the HTML file.

    Returns:
        `path`.
    """
    folder = files(__package__)
    # "<" of the data must not end the script that holds it, whatever a parameter's text says.
    data = json.dumps(_page_data(figures), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    parts = {"__TITLE__": html.escape(figures.name), "__SCRIPT__": (folder / "page.js").read_text("utf-8")}
    text = (folder / "page.html").read_text("utf-8")
    for name, part in parts.items():
        text = text.replace(name, part)
    before, after = text.split("__DATA__")
    write_text(path, before + data + after, durable=False)
    return path


def _page_data(figures: StudyFigures) -> Mapping[str, Any]:
    scores = [trial.value for trial in figures.complete if trial.value is not None]
    with_curves = {trial.number for trial in figures.with_curves()}
    curve_ends = [trial.curve[-1] for trial in figures.trials if trial.number in with_curves]
    return {
        "name": figures.name,
        "summary": _summary(figures),
        "savings": savings(figures),
        "greater_is_better": figures.greater_is_better,
        "best": figures.best,
        "best_so_far": figures.best_so_far,
        "range": _range(scores),
        "means_range": _range(figures.mean_scores),
        "curves_range": _range(curve_ends),
        "importances": figures.importances,
        "front": figures.front,
        "ranked": [place for place, _ in figures.ranked_axes],
        "axes": [{"key": axis.key, "kind": axis.kind, "ticks": axis_ticks(axis)} for axis in figures.axes],
        "trials": [_trial_data(figures.axes, trial, trial.number in with_curves) for trial in figures.trials],
    }


def _range(values: Iterable[float | None]) -> tuple[float, float] | None:
    finite = [value for value in values if value is not None and math.isfinite(value)]
    return robust_range(finite) if finite else None


def _trial_data(axes: Iterable[Axis], trial: Shown, with_curve: bool) -> Mapping[str, Any]:
    places = [
        None if value is None else _rounded(axis.place(value)) for axis, value in zip(axes, trial.values, strict=True)
    ]
    return {
        "number": trial.number,
        "state": trial.state,
        "value": trial.value,
        "means": [_rounded(mean) for mean in trial.means],
        "curve": [_rounded(score) for score in trial.curve] if with_curve else [],
        "values": trial.values,
        "places": places,
        "params": trial.params,
        "seconds": _rounded(trial.seconds),
        "seconds_per_fold": _rounded(trial.seconds_per_fold),
        "span": trial.span,
        "lane": trial.lane,
        "remark": trial.remark,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")


def _summary(figures: StudyFigures) -> str:
    best = next((trial for trial in figures.trials if trial.number == figures.best), None)
    told = f"; best {best.value:.5g}: trial {best.number}" if best else ""
    direction = "greater is better" if figures.greater_is_better else "smaller is better"
    return f"{figures.slug}: {len(figures.trials)} trials, {len(figures.complete)} complete{told} ({direction})"

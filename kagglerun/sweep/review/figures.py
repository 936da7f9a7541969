"""What the pictures of a study show, as numbers: drawn as PNG by `pictures`, and as a page by `page`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kagglerun.config.search import Choice, Parameter
from kagglerun.sweep.objectives import objective_values, pareto_front
from kagglerun.sweep.review.importances import parameter_importances
from kagglerun.sweep.study import StudySpec
from kagglerun.sweep.trials import Trial, TrialState, best_trial

MOST_CURVES = 300
"""Learning curves that are drawn; more cannot be told apart."""
_SPREADS = 3.0
_LONGEST_LABEL = 18
_MOST_LABELS = 12
_TICKS = 5
Span = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """One parameter as an axis from 0 to 1.

    Attributes:
        key: the config key.
        kind: how values lie on it; a choice's labels have equal distances.
        low: value at 0, for ranges.
        high: value at 1, for ranges.
        labels: the choices in their order.
    """

    key: str
    kind: Literal["linear", "log", "choice"]
    low: float = 0.0
    high: float = 1.0
    labels: tuple[str, ...] = ()

    def place(self, value: float) -> float:
        """Where a value (of a choice: its index) lies, 0 to 1."""
        if self.kind == "choice":
            return value / (len(self.labels) - 1) if len(self.labels) > 1 else 0.5
        low, high = (math.log(self.low), math.log(self.high)) if self.kind == "log" else (self.low, self.high)
        at = math.log(value) if self.kind == "log" else value
        return min(1.0, max(0.0, (at - low) / (high - low)))


@dataclass(frozen=True)
class Shown:
    """A trial as the pictures need it.

    Attributes:
        number: the trial's number.
        state: COMPLETE, PRUNED, FAIL or RUNNING.
        value: its score; None unless complete.
        means: mean score of the first 1, 2, ... folds.
        curve: validation score after each epoch of the first fold.
        values: for each axis the value, of a choice its index; None where the parameter does not count.
        params: the values for people, in the order of the axes; "" where the parameter does not count.
        seconds: time its folds took.
        seconds_per_fold: the same for each of them; None unless complete.
        span: when it began and ended, in seconds after the study's beginning; None where that is not known.
        lane: the row of the timeline; no two trials of a row overlap.
        remark: why it was stopped or failed.
    """

    number: int
    state: str
    value: float | None
    means: tuple[float, ...]
    curve: tuple[float | None, ...]
    values: tuple[float | None, ...]
    params: tuple[str, ...]
    seconds: float | None
    seconds_per_fold: float | None
    span: Span | None
    lane: int
    remark: str


@dataclass(frozen=True)
class StudyFigures:
    """All that is drawn of a study.

    Attributes:
        name: the study's name.
        slug: its competition.
        greater_is_better: direction of the scores.
        n_folds: folds of a whole trial.
        axes: the parameters that any trial tried.
        trials: by number.
        best: number of the best trial.
        best_so_far: (number, score) wherever the best changed.
        importances: (key, share) of each parameter that has one, the greatest first; shares sum to 1.
        front: with several objectives the trials that none beats in all of them, best score first; else empty.
    """

    name: str
    slug: str
    greater_is_better: bool
    n_folds: int
    axes: tuple[Axis, ...]
    trials: tuple[Shown, ...]
    best: int | None
    best_so_far: tuple[tuple[int, float], ...]
    importances: tuple[tuple[str, float], ...]
    front: tuple[int, ...] = ()

    @property
    def complete(self) -> list[Shown]:
        """The trials that have a score."""
        return [trial for trial in self.trials if trial.value is not None]

    @property
    def ranked_axes(self) -> list[tuple[int, Axis]]:
        """The axes with their position in `Shown.values`, the most important parameter first."""
        place = {key: rank for rank, (key, _) in enumerate(self.importances)}
        return sorted(enumerate(self.axes), key=lambda item: place.get(item[1].key, len(place)))

    @property
    def mean_scores(self) -> list[float]:
        """Mean scores after the first fold and at the end, of all trials that had a fold."""
        return [mean for trial in self.trials if trial.means for mean in (trial.means[0], trial.means[-1])]

    def with_curves(self) -> list[Shown]:
        """Trials with a curve in the first fold: evenly chosen where there are very many, the best among them."""
        found = [trial for trial in self.trials if len(trial.curve) > 1]
        step = max(1, math.ceil(len(found) / MOST_CURVES))
        return [trial for place, trial in enumerate(found) if place % step == 0 or trial.number == self.best]


def study_figures(spec: StudySpec, trials: Sequence[Trial]) -> StudyFigures:
    """Work out what is drawn of a study with these trials."""
    tried = {key for trial in trials for key in trial.params}
    parameters = [parameter for parameter in spec.parameters if parameter.key in tried]
    axes = tuple(map(_axis, parameters))
    spans = _spans(trials)
    lanes = _lanes(spans)
    best = best_trial(trials, spec.greater_is_better)
    return StudyFigures(
        name=spec.name,
        slug=spec.slug,
        greater_is_better=spec.greater_is_better,
        n_folds=len(spec.config.cv.folds or range(spec.config.cv.n_splits)),
        axes=axes,
        trials=tuple(_shown(parameters, trial, spans, lanes) for trial in trials),
        best=best.number if best else None,
        best_so_far=_best_so_far(trials, spec.greater_is_better),
        importances=tuple(parameter_importances(spec, trials).items()),
        front=tuple(trial.number for trial in _front(spec, trials)),
    )


def _front(spec: StudySpec, trials: Sequence[Trial]) -> list[Trial]:
    objectives = spec.config.sweep.objectives
    return pareto_front(trials, objectives, spec.greater_is_better) if len(objectives) > 1 else []


def robust_range(values: Sequence[float]) -> Span:
    """The range in which most values lie: trials that went badly wrong must not flatten all others.

    Returns:
        The least and the greatest value that are no more than three interquartile ranges beyond the quartiles,
        with a margin of 5 %.
    """
    low, high = min(values), max(values)
    if len(values) > 3:
        first, _, third = statistics.quantiles(values, n=4, method="inclusive")
        reach = _SPREADS * (third - first)
        near = [value for value in values if first - reach <= value <= third + reach]
        low, high = min(near), max(near)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 0.05
    return low - margin, high + margin


def axis_ticks(axis: Axis) -> list[tuple[float, str]]:
    """Some values of an axis: where they lie, 0 to 1, and how they are written."""
    if axis.kind == "choice":
        step = max(1, math.ceil(len(axis.labels) / _MOST_LABELS))
        return [
            (axis.place(place), shortened(label, _LONGEST_LABEL))
            for place, label in enumerate(axis.labels)
            if place % step == 0
        ]
    return [(axis.place(value), f"{value:.4g}") for value in _round_values(axis)]


def _round_values(axis: Axis) -> list[float]:
    """Powers of ten on a logarithmic axis that holds two of them, else multiples of 1, 2 or 5 times one."""
    if axis.kind == "log":
        least, most = math.ceil(math.log10(axis.low) - 1e-9), math.floor(math.log10(axis.high) + 1e-9)
        if most > least:
            return [10.0**power for power in range(least, most + 1)]
    rough = (axis.high - axis.low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first, last = math.ceil(axis.low / step - 1e-9), math.floor(axis.high / step + 1e-9)
    return [count * step for count in range(first, last + 1)]


def savings(figures: StudyFigures) -> str:
    """What stopping trials early saved, in a line."""
    ended = [trial for trial in figures.trials if trial.state in ("COMPLETE", "PRUNED")]
    stopped = sum(trial.state == "PRUNED" for trial in ended)
    if not stopped:
        return f"none of {len(ended)} trials was stopped early"
    fits = sum(len(trial.means) for trial in ended)
    saved = 1 - fits / (figures.n_folds * len(ended))
    return f"{stopped} of {len(ended)} trials stopped early, {saved:.0%} of the fold fits saved"


def shortened(text: str, longest: int) -> str:
    """A text, or its end behind an ellipsis."""
    return text if len(text) <= longest else f"…{text[1 - longest :]}"


def _axis(parameter: Parameter) -> Axis:
    if isinstance(parameter, Choice):
        return Axis(parameter.key, "choice", labels=tuple(str(value) for value in parameter.values))
    return Axis(parameter.key, "log" if parameter.log else "linear", parameter.low, parameter.high)


def _shown(parameters: Sequence[Parameter], trial: Trial, spans: Mapping[int, Span], lanes: Mapping[int, int]) -> Shown:
    scores = [score for score in trial.fold_scores if score is not None]
    failure = f"{trial.failure.kind}: {trial.failure.message}" if trial.failure else ""
    return Shown(
        number=trial.number,
        state=str(trial.state),
        value=trial.value,
        means=tuple(statistics.fmean(scores[: count + 1]) for count in range(len(scores))),
        curve=trial.curve,
        values=tuple(_position(parameter, trial.params) for parameter in parameters),
        params=tuple(_text(trial.params.get(parameter.key, "")) for parameter in parameters),
        seconds=trial.seconds,
        seconds_per_fold=None if trial.value is None else objective_values(trial, ("seconds_per_fold",))[0],
        span=spans.get(trial.number),
        lane=lanes.get(trial.number, 0),
        remark=trial.stopped or failure,
    )


def _position(parameter: Parameter, params: Mapping[str, Any]) -> float | None:
    if parameter.key not in params:
        return None
    value = params[parameter.key]
    if isinstance(parameter, Choice):
        return float(parameter.values.index(value)) if value in parameter.values else None
    return float(value)


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _best_so_far(trials: Sequence[Trial], greater_is_better: bool) -> tuple[tuple[int, float], ...]:
    steps: list[tuple[int, float]] = []
    for trial in trials:
        if trial.state is TrialState.COMPLETE and trial.value is not None:
            sign = 1.0 if greater_is_better else -1.0
            if not steps or sign * trial.value > sign * steps[-1][1]:
                steps.append((trial.number, trial.value))
    return tuple(steps)


def _spans(trials: Sequence[Trial]) -> dict[int, Span]:
    """Trial number to when it began and ended, in seconds after the first; trials in work last until now."""
    now = max((moment for trial in trials for moment in (trial.started_at, trial.ended_at) if moment), default=0.0)
    begin = min((trial.started_at for trial in trials if trial.started_at), default=0.0)
    return {
        trial.number: (trial.started_at - begin, max(trial.started_at, trial.ended_at or now) - begin)
        for trial in trials
        if trial.started_at
    }


def _lanes(spans: Mapping[int, Span]) -> dict[int, int]:
    """Trial number to the first row that is free when it begins."""
    free_from: list[float] = []
    lanes: dict[int, int] = {}
    for number, (start, end) in sorted(spans.items(), key=lambda item: (item[1][0], item[0])):
        lane = next((place for place, at in enumerate(free_from) if at <= start), len(free_from))
        free_from[lane : lane + 1] = [end]
        lanes[number] = lane
    return lanes

"""Why the run with the best score is not the best run: in words, with the figures."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from kagglerun.experiment.certainty import Certainty, Evidence
from kagglerun.experiment.runs import RunSummary


def passed_over(
    best: RunSummary,
    group: Sequence[RunSummary],
    evidence: Mapping[str, Evidence],
    certainties: Mapping[str, Certainty],
) -> tuple[str, ...]:
    """Why runs with a better score than the chosen one are not chosen, one line each.

    Args:
        best: the chosen run.
        group: the runs that were compared.
        evidence: run id to what is known of it.
        certainties: run id to how sure its score is.
    """
    sign = 1.0 if best.greater_is_better else -1.0
    ahead = [run for run in group if sign * ((run.score or 0.0) - (best.score or 0.0)) > 0]
    lines: dict[str, str] = {}
    for run in sorted(ahead, key=lambda run: -sign * (run.score or 0.0)):
        own, chosen = evidence[run.run_id], evidence[best.run_id]
        # One line a candidate: the other seeds of a lucky one have no story of their own.
        if own.candidate not in lines:
            lines[own.candidate] = (
                _same_recipe(run, own, certainties[run.run_id])
                if own.candidate == chosen.candidate
                else _other_recipe(run, own, certainties[run.run_id], best, certainties[best.run_id])
            )
    return tuple(lines.values())


def _same_recipe(run: RunSummary, own: Evidence, sure: Certainty) -> str:
    return (
        f"run {run.run_id} ({_number(run.score)}) is the same config with another seed; "
        f"{1 + len(own.siblings)} seeds make {_with_error(sure)}, and the middle one stands for them"
    )


def _other_recipe(run: RunSummary, own: Evidence, sure: Certainty, best: RunSummary, chosen: Certainty) -> str:
    scores = [score for score, _ in own.reruns.values()] or list(own.siblings)
    of = "better" if best.greater_is_better else "smaller"
    if not scores or (sure.estimate - chosen.estimate) * (1 if best.greater_is_better else -1) > 0:
        return (
            f"run {run.run_id} ({_number(run.score)}) scored {of}, but less surely so: it is with 95 % "
            f"{_side(best)} {_number(sure.bound)}, the chosen one {_side(best)} {_number(chosen.bound)}"
        )
    times = f"{len(scores)} {'rerun' if own.reruns else 'other seed'}{'s' * (len(scores) > 1)}"
    return (
        f"run {run.run_id} ({_number(run.score)}) is refused, a lucky seed: {times} of the same config scored "
        f"{_range(scores)}, which makes {_with_error(sure)}, no better than {_with_error(chosen)}"
    )


def _side(best: RunSummary) -> str:
    return "at least" if best.greater_is_better else "at most"


def _range(scores: Sequence[float]) -> str:
    low, high = min(scores), max(scores)
    return _number(statistics.fmean(scores)) if low == high else f"{_number(low)} to {_number(high)}"


def _with_error(sure: Certainty) -> str:
    error = f" ± {_number(sure.standard_error)}" if sure.standard_error is not None else ""
    return f"{_number(sure.estimate)}{error}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5f}" if abs(value) < 1000 else f"{value:.6g}"

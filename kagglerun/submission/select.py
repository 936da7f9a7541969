"""Which run is best. Only runs whose data, folds and metric agree are compared, and what is left out is said."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from kagglerun.errors import ConfigError
from kagglerun.experiment.runs import RunSummary, list_runs
from kagglerun.workspace import Workspace


@dataclass(frozen=True)
class Selection:
    """The best run and what it was compared with.

    Attributes:
        run: the best one.
        compared: how many runs were compared, itself included.
        left_out: why others were not, with their number: `3 failed`.
    """

    run: RunSummary
    compared: int
    left_out: tuple[str, ...]


def select_best(workspace: Workspace, slug: str) -> Selection:
    """The run with the best out-of-fold score among those comparable with the newest finished one.

    Args:
        workspace: whose runs.
        slug: the competition.

    Raises:
        ConfigError: no run is finished.
    """
    runs = list_runs(workspace, slug)
    finished = [run for run in runs if _may_be_chosen(run)]
    if not finished:
        raise ConfigError(
            f"{slug} has no finished run ({_states(runs)})",
            hint="kagglerun sweep baseline.yaml    (or kagglerun train)",
        )
    newest = finished[-1]
    group = [run for run in finished if run.comparable == newest.comparable]
    sign = 1.0 if newest.greater_is_better else -1.0
    # The earliest of equal scores, so that asking twice gives the same run.
    best = max(group, key=lambda run: sign * (run.score or 0.0))
    return Selection(best, len(group), _left_out(runs, finished, group))


def _may_be_chosen(run: RunSummary) -> bool:
    return run.state == "FINISHED" and run.comparable is not None and run.score is not None and math.isfinite(run.score)


def _left_out(runs: list[RunSummary], finished: list[RunSummary], group: list[RunSummary]) -> tuple[str, ...]:
    reasons = Counter(run.state.lower() for run in runs if run.state != "FINISHED")
    unscored = sum(run.state == "FINISHED" for run in runs) - len(finished)
    if unscored:
        reasons["without a finite score"] = unscored
    if len(finished) > len(group):
        reasons["with other data, folds or metric than the newest run"] = len(finished) - len(group)
    return tuple(f"{count} {reason}" for reason, count in reasons.items())


def _states(runs: list[RunSummary]) -> str:
    if not runs:
        return "it has no run at all"
    counts = Counter(run.state.lower() for run in runs)
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))

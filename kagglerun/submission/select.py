"""Which run is best: the one whose score is surely the highest.

Only runs whose data, folds and metric agree are compared, and what is left out is said. Of each the bound counts that
its true score reaches with 95 %, corrected for the number of runs; reruns of a run over further seeds and splits
narrow its own.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kagglerun.errors import ConfigError
from kagglerun.experiment.certainty import Certainty, Evidence, weigh
from kagglerun.experiment.runs import RunSummary, list_runs
from kagglerun.workspace import Workspace


@dataclass(frozen=True)
class Selection:
    """The best run and what it was compared with.

    Attributes:
        run: the best one.
        compared: how many runs were compared, itself included.
        left_out: why others were not, with their number: `3 failed`.
        certainties: id of each run that was compared to how sure its score is.
    """

    run: RunSummary
    compared: int
    left_out: tuple[str, ...]
    certainties: Mapping[str, Certainty]

    @property
    def certainty(self) -> Certainty:
        """How sure the best one is."""
        return self.certainties[self.run.run_id]


def select_best(workspace: Workspace, slug: str) -> Selection:
    """The run with the best bound of its out-of-fold score among those comparable with the newest finished one.

    Args:
        workspace: whose runs.
        slug: the competition.

    Raises:
        ConfigError: no run is finished.
    """
    everything = list_runs(workspace, slug)
    runs = [run for run in everything if run.rerun is None]
    finished = [run for run in runs if _may_be_chosen(run)]
    if not finished:
        raise ConfigError(
            f"{slug} has no finished run ({_states(runs)})",
            hint="kagglerun sweep baseline.yaml    (or kagglerun train)",
        )
    newest = finished[-1]
    group = [run for run in finished if run.comparable == newest.comparable]
    reruns = [run for run in everything if run.rerun is not None and _may_be_chosen(run)]
    certainties = weigh(_evidence(group, reruns), bool(newest.greater_is_better))
    sign = 1.0 if newest.greater_is_better else -1.0
    # The earliest of equal ones, so that asking twice gives the same run.
    best = max(group, key=lambda run: (sign * certainties[run.run_id].bound, sign * (run.score or 0.0)))
    return Selection(best, len(group), _left_out(runs, finished, group), certainties)


def _evidence(group: Sequence[RunSummary], reruns: Sequence[RunSummary]) -> list[Evidence]:
    """What is known of each run; reruns with the same data, folds and metric are of one round."""
    rounds = {
        comparable: number for number, comparable in enumerate(dict.fromkeys(run.comparable for run in reruns), 1)
    }
    repeated: dict[str, dict[int, tuple[float, tuple[float, ...]]]] = {}
    for run in reruns:
        repeated.setdefault(run.original, {})[rounds[run.comparable]] = (run.score or 0.0, _folds(run))
    return [Evidence(run.run_id, run.score or 0.0, _folds(run), repeated.get(run.run_id, {})) for run in group]


def _folds(run: RunSummary) -> tuple[float, ...]:
    return run.fold_scores if all(map(math.isfinite, run.fold_scores)) else ()


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

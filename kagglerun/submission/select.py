"""Which run is best: the one whose score is surely the highest.

Only runs whose data, folds and metric agree are compared, and what is left out is said. Of each the bound counts that
its true score reaches with 95 %, corrected for the number of candidates; reruns of a run over further seeds and splits
narrow its own. Runs that differ in nothing but their seed are one candidate with the mean of their scores, so that a
lucky seed is not the best; the middle one of them stands for all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kagglerun.errors import ConfigError
from kagglerun.experiment.certainty import Certainty, weigh
from kagglerun.experiment.runs import RunSummary, list_runs
from kagglerun.submission.candidates import Among, evidence_of, main_group, may_be_chosen
from kagglerun.submission.lucky import passed_over
from kagglerun.workspace import Workspace


@dataclass(frozen=True)
class Selection:
    """The best run and what it was compared with.

    Attributes:
        run: the best one.
        compared: how many runs were compared, itself included.
        left_out: why others were not, with their number: `3 failed`.
        certainties: id of each run that was compared to how sure its score is.
        reasons: why it is not the run with the best score of all, one line each; empty where it is.
    """

    run: RunSummary
    compared: int
    left_out: tuple[str, ...]
    certainties: Mapping[str, Certainty]
    reasons: tuple[str, ...] = ()

    @property
    def certainty(self) -> Certainty:
        """How sure the best one is."""
        return self.certainties[self.run.run_id]


def select_best(workspace: Workspace, slug: str, of: str | None = None) -> Selection:
    """The run with the best bound of its out-of-fold score among those comparable with the newest finished one.

    Args:
        workspace: whose runs.
        slug: the competition.
        of: "ensemble": ensembles alone; "single": all but these; "study NAME", or a study's name or its beginning:
            the trials of a study; None: all runs.

    Raises:
        ConfigError: no run is finished, or none of these; there is no such study.
    """
    found = list_runs(workspace, slug)
    among = Among.parse(of, found)
    everything = [run for run in found if among.includes(workspace, run)]
    runs = [run for run in everything if run.rerun is None]
    finished = [run for run in runs if may_be_chosen(run)]
    if not finished:
        raise ConfigError(
            f"{slug} has no finished {among.what} ({_states(runs)})",
            hint=among.hint or "kagglerun sweep baseline.yaml    (or kagglerun train)",
        )
    group = main_group(finished)
    evidence = evidence_of(group, found)
    certainties = weigh(list(evidence.values()), bool(group[0].greater_is_better))
    best = _best(group, certainties, {run_id: one.candidate for run_id, one in evidence.items()})
    reasons = passed_over(best, group, evidence, certainties)
    return Selection(best, len(group), _left_out(runs, finished, group), certainties, reasons)


def _best(
    group: Sequence[RunSummary], certainties: Mapping[str, Certainty], candidates: Mapping[str, str]
) -> RunSummary:
    """The run with the best bound; of runs that differ only in their seed the middle one, which no luck has chosen."""
    sign = 1.0 if group[0].greater_is_better else -1.0

    def worth(run: RunSummary) -> tuple[float, float]:
        return sign * certainties[run.run_id].bound, sign * (run.score or 0.0)

    # The earliest of equal ones, so that asking twice gives the same run.
    first = max(group, key=worth)
    alike = [run for run in group if candidates[run.run_id] == candidates[first.run_id]]
    alike = [run for run in alike if worth(run)[0] == worth(first)[0]]
    ranked = sorted(alike, key=lambda run: -sign * (run.score or 0.0))
    return ranked[(len(ranked) - 1) // 2]


def _left_out(runs: list[RunSummary], finished: list[RunSummary], group: Sequence[RunSummary]) -> tuple[str, ...]:
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

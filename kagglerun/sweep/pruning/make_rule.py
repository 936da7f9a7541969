"""From the results that a trial may know to the rule that stops it."""

from __future__ import annotations

from collections.abc import Sequence

from kagglerun.sweep.pruning.rule import StopRule
from kagglerun.sweep.study import StudySpec
from kagglerun.sweep.trials import Trial, best_trial, told


def make_rule(spec: StudySpec, known: Sequence[Trial]) -> StopRule | None:
    """The rule for a trial that may know these results.

    Args:
        spec: the study.
        known: trials 0..n-lag, all ended.

    Returns:
        None where there is nothing to compare with yet, or the study does not stop trials.
    """
    best = best_trial(told(known), spec.greater_is_better)
    if best is None or spec.config.sweep.prune.method == "none":
        return None
    return StopRule(rival=spec.run_id(best.number), greater_is_better=spec.greater_is_better)

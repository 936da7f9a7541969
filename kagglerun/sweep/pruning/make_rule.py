"""From the results that a trial may know to the rule that stops it."""

from __future__ import annotations

from collections.abc import Sequence

from kagglerun.config.schema import Config
from kagglerun.sweep.pruning.curves import curve_cutoffs
from kagglerun.sweep.pruning.halving import halving_cutoffs
from kagglerun.sweep.pruning.known_runs import MOST_RUNS
from kagglerun.sweep.pruning.rule import StopRule
from kagglerun.sweep.pruning.sequential import errors_spent
from kagglerun.sweep.study import StudySpec
from kagglerun.sweep.trials import Trial, best_trial, told

_CHANGE_EPOCHS = ("training.epochs", "model.kind")


def make_rule(spec: StudySpec, known: Sequence[Trial]) -> StopRule | None:
    """The rule for a trial that may know these results.

    Args:
        spec: the study.
        known: trials 0..n-lag, all ended.

    Returns:
        None where there is nothing to compare with yet, or the study does not stop trials: it was told not to, its
        trials have different folds, or it wants something besides the score.
    """
    if spec.config.sweep.prune.method == "none" or not _compares_by_score(spec):
        return None
    known = told(known)
    rule = _halving(spec, known) if spec.config.sweep.prune.method == "halving" else _paired(spec, known)
    return rule if rule.rival or rule.cutoffs else None


def _compares_by_score(spec: StudySpec) -> bool:
    varies_folds = any(parameter.key.startswith("cv.") for parameter in spec.parameters)
    return spec.config.sweep.objectives == ("score",) and not varies_folds


def _paired(spec: StudySpec, known: Sequence[Trial]) -> StopRule:
    """Pairs the trial with the best one, and bounds its first curve by the earlier ones."""
    prune, better = spec.config.sweep.prune, spec.greater_is_better
    best = best_trial(known, better)
    if best is None:
        return StopRule(greater_is_better=better)
    watches_epochs = prune.curves and _epochs(spec) > 1
    return StopRule(
        rival=spec.run_id(best.number),
        references=tuple(spec.run_id(trial.number) for trial in _next_best(known, best, better)),
        errors=errors_spent(_n_folds(spec.config), prune.error),
        cutoffs=curve_cutoffs(known, best, better) if watches_epochs else (),
        greater_is_better=better,
    )


def _next_best(known: Sequence[Trial], best: Trial, greater_is_better: bool) -> list[Trial]:
    """The best complete trials after the best one, in order; the first of equal ones first."""
    sign = -1.0 if greater_is_better else 1.0
    others = [trial for trial in known if trial.value is not None and trial.number != best.number]
    return sorted(others, key=lambda trial: (sign * (trial.value or 0.0), trial.number))[:MOST_RUNS]


def _halving(spec: StudySpec, known: Sequence[Trial]) -> StopRule:
    eta, better = spec.config.sweep.prune.eta, spec.greater_is_better
    cutoffs = halving_cutoffs(known, _n_folds(spec.config), _epochs(spec), eta, better)
    return StopRule(cutoffs=cutoffs, greater_is_better=better)


def _n_folds(config: Config) -> int:
    return len(config.cv.folds or range(config.cv.n_splits))


def _epochs(spec: StudySpec) -> int:
    """Epochs of a fold where all trials have the same number of them, else 1."""
    config = spec.config
    differ = any(parameter.key in _CHANGE_EPOCHS for parameter in spec.parameters)
    return 1 if differ or hasattr(config.model, "n_estimators") else config.training.epochs

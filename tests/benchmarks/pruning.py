"""Early stopping by paired tests against Optuna's pruners, on simulated studies from real fits.

    python tests/benchmarks/pruning.py /path/to/bundles [--studies 30]

All pruners see the same trials in the same order; only what they stop differs.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
from pruning_pools import N_SPLITS, Array, load_pools
from pruning_studies import Population, SimulatedStudy, population_of, simulate

from kagglerun.config.sweep import PruneConfig
from kagglerun.sweep.pruning.halving import halving_cutoffs
from kagglerun.sweep.pruning.known_runs import MOST_RUNS
from kagglerun.sweep.pruning.paired import Scoring
from kagglerun.sweep.pruning.rule import StopRule
from kagglerun.sweep.pruning.sequential import errors_spent
from kagglerun.sweep.pruning.verdict import VerdictKind, judge_folds
from kagglerun.sweep.trials import Trial, TrialState

LAG = 2
"""What a sweep with one worker has: trial n knows the results of 0..n-2."""
ERROR = PruneConfig().error
_FIRST = 1000  # studies with lower numbers served to choose the shape of the error spent

Pruner = Callable[[SimulatedStudy], Array]
"""From a study to the folds that each of its trials gets, (n,) from 1 to all."""


@dataclass(frozen=True)
class Outcome:
    """What a pruner did to a study.

    Attributes:
        saved: share of fold fits that were not done.
        lost_truly: whether the config with the best true score was stopped.
        lost_seen: whether the trial that is best over all folds was stopped.
        lost_choice: whether the truly best config would have been chosen without pruning, and was stopped.
        regret: true score of the truly best config less that of the one chosen, as a share of how far the median
            config lies below the best.
    """

    saved: float
    lost_truly: bool
    lost_seen: bool
    lost_choice: bool
    regret: float


def report(data: Path, studies: int = 30) -> str:
    """Simulate the studies and judge every pruner; a Markdown table."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    populations = [population_of(pool) for pool in load_pools(data)]
    outcomes: dict[str, list[Outcome]] = {name: [] for name in PRUNERS}
    for number in range(studies):
        study = simulate(
            populations[number % len(populations)], _FIRST + number, learns=number // len(populations) % 2 == 1
        )
        for name, pruner in PRUNERS.items():
            outcomes[name].append(outcome(study, pruner(study)))
    return "\n".join([*_heading(populations, studies), *(_row(name, each) for name, each in outcomes.items())])


def outcome(study: SimulatedStudy, folds: Array) -> Outcome:
    """Compare what is left with what there was."""
    complete = np.flatnonzero(folds == N_SPLITS)
    chosen = complete[np.argmax(study.values[complete])]
    best, seen = int(np.argmax(study.truth)), int(np.argmax(study.values))
    spread = study.truth[best] - np.median(study.truth)
    return Outcome(
        saved=1 - float(folds.sum()) / (len(folds) * N_SPLITS),
        lost_truly=best not in complete,
        lost_seen=seen not in complete,
        lost_choice=best == seen and best not in complete,
        regret=float((study.truth[best] - study.truth[chosen]) / spread),
    )


def no_pruning(study: SimulatedStudy) -> Array:
    """All folds for all trials."""
    return np.full(len(study.configs), N_SPLITS)


def paired(study: SimulatedStudy, error: float = ERROR) -> Array:
    """The paired test against the best complete trial that a trial may know, with the next best as background."""
    errors = errors_spent(N_SPLITS, error)
    folds = np.full(len(study.configs), N_SPLITS)
    for trial in range(len(folds)):
        known = np.flatnonzero(folds[: max(0, trial - LAG + 1)] == N_SPLITS)
        if not len(known):
            continue
        rival, *others = known[np.argsort(-study.values[known], kind="stable")][: 1 + MOST_RUNS]
        pairs = study.pairs(trial, rival, N_SPLITS - 1)
        verdict = judge_folds(study.scoring, pairs, errors, known=study.known(rival, others))
        if verdict.kind is VerdictKind.STOP:
            folds[trial] = verdict.folds
    return folds


def halving(study: SimulatedStudy) -> Array:
    """Successive halving over folds, as `sweep.prune: halving` does it."""
    trials: list[Trial] = []
    for number, scores in enumerate(study.fold_scores):
        known = trials[: max(0, number - LAG + 1)]
        cutoffs = halving_cutoffs(known, N_SPLITS, 1, PruneConfig().eta, True)
        rule = StopRule(cutoffs=cutoffs, greater_is_better=True)
        means = [float(scores[: k + 1].mean()) for k in range(N_SPLITS - 1)]
        stop = next((k + 1 for k, mean in enumerate(means) if rule.cutoff(k, None, mean)), N_SPLITS)
        state = TrialState.COMPLETE if stop == N_SPLITS else TrialState.PRUNED
        value = float(study.values[number]) if stop == N_SPLITS else None
        trials.append(Trial(number, {}, state, value, fold_scores=tuple(scores[:stop].tolist())))
    return np.asarray([len(trial.fold_scores) for trial in trials])


def with_optuna(pruner: optuna.pruners.BasePruner, running_mean: bool) -> Pruner:
    """One of Optuna's pruners, asked after each fold; it knows all earlier trials.

    Args:
        pruner: as a user would make it.
        running_mean: report the mean over the folds so far, else each fold's own score.
    """

    def prune(simulated: SimulatedStudy) -> Array:
        study = optuna.create_study(study_name="simulated", direction="maximize", pruner=pruner)
        found = [_folds_with_optuna(study, scores, running_mean) for scores in simulated.fold_scores]
        return np.asarray(found)

    return prune


def _folds_with_optuna(study: optuna.Study, scores: Array, running_mean: bool) -> int:
    trial = study.ask()
    for fold in range(N_SPLITS):
        trial.report(float(scores[: fold + 1].mean() if running_mean else scores[fold]), fold + 1)
        if fold < N_SPLITS - 1 and trial.should_prune():
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return fold + 1
    study.tell(trial, float(scores.mean()))
    return N_SPLITS


def wilcoxon_over_rows(study: SimulatedStudy) -> Array:
    """The rule of Optuna's WilcoxonPruner with every row as a step, as its documentation advises for instances.

    Reported row by row it takes hours; the rule is a few lines: signed ranks at 0.1, not against the averages. Where
    rows have no losses of their own, folds are the steps.
    """
    folds = np.full(len(study.configs), N_SPLITS)
    losses = _row_losses(study)
    if losses is None:
        return PRUNERS["Optuna Wilcoxon, folds"](study)
    best = 0
    for trial in range(1, len(folds)):
        folds[trial] = next(
            (k for k in range(1, N_SPLITS) if _wilcoxon_stops(losses[trial][:k], losses[best])), N_SPLITS
        )
        if folds[trial] == N_SPLITS and study.values[trial] > study.values[best]:
            best = trial
    return folds


def _wilcoxon_stops(candidate: Sequence[Array], best: Sequence[Array]) -> bool:
    from scipy.stats import wilcoxon

    own, whole = np.concatenate(candidate), np.concatenate(best)
    worse = own - whole[: len(own)]
    p = wilcoxon(worse, alternative="greater", zero_method="zsplit").pvalue
    return bool(p < 0.1 and own.mean() > whole.mean())


def _row_losses(study: SimulatedStudy) -> list[list[Array]] | None:
    """Losses of the rows of each fold of each trial; None where rows have none of their own."""
    scoring = study.population.scoring
    if not _has_losses_of_rows(scoring, study):
        return None
    return [
        [np.asarray(scoring.losses(rows, study.predictions(trial, k))) for k, rows in enumerate(study.rows)]
        for trial in range(len(study.configs))
    ]


def _has_losses_of_rows(scoring: Scoring, study: SimulatedStudy) -> bool:
    rows, predictions = study.rows[0], study.predictions(0, 0)
    whole, half = scoring.losses(rows, predictions), scoring.losses(rows[::2], predictions[::2])
    return whole is not None and half is not None and bool(np.allclose(whole[::2], half))


def _wilcoxon_pruner() -> optuna.pruners.BasePruner:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.pruners.WilcoxonPruner()


PRUNERS: dict[str, Pruner] = {
    "none": no_pruning,
    "kagglerun: paired": paired,
    "kagglerun: halving": halving,
    "Optuna Median": with_optuna(optuna.pruners.MedianPruner(), running_mean=True),
    "Optuna Hyperband": with_optuna(optuna.pruners.HyperbandPruner(1, N_SPLITS, 3), running_mean=True),
    "Optuna SuccessiveHalving": with_optuna(optuna.pruners.SuccessiveHalvingPruner(1, 3), running_mean=True),
    "Optuna Wilcoxon, folds": with_optuna(_wilcoxon_pruner(), running_mean=False),
    "Optuna Wilcoxon, rows": wilcoxon_over_rows,
}


def _heading(populations: Sequence[Population], studies: int) -> list[str]:
    data = ", ".join(f"{each.pool.name} ({each.pool.metric})" for each in populations)
    return [
        f"### Stopping trials early: {studies} simulated studies of 40 trials and {N_SPLITS} folds",
        "",
        f"From real fits: {data}.",
        "",
        "| pruner | fold fits saved | truly best config stopped | ... that would have been chosen "
        "| best over all folds stopped | regret |",
        "|---|---|---|---|---|---|",
    ]


def _row(name: str, outcomes: Sequence[Outcome]) -> str:
    n = len(outcomes)
    counts = [sum(each) for each in zip(*((o.lost_truly, o.lost_choice, o.lost_seen) for o in outcomes), strict=True)]
    shares = " | ".join(f"{count} ({count / n:.1%})" for count in counts)
    saved, regret = (float(np.mean([getattr(o, field) for o in outcomes])) for field in ("saved", "regret"))
    return f"| {name} | {saved:.1%} | {shares} | {regret:.3f} |"


def main() -> None:
    """Simulate and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--studies", type=int, default=30)
    chosen = parser.parse_args()
    print(report(chosen.data, chosen.studies))


if __name__ == "__main__":
    main()

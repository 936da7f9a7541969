"""How sure it is that one run is better than another: lower confidence bounds over folds, seeds and splits.

A score over all folds is an estimate. Its noise is what is left of the fold scores of comparable runs when the
mean of each run and the difficulty of each fold are taken away (a two-way layout without interaction), pooled over
the runs, so that a run is not preferred for five fold scores that happen to agree. The best of many scores is
too good on average; the bound is corrected for the number of runs that it was chosen from (Bonferroni). Reruns over
further seeds and splits are not chosen by their score: they replace the score that a run was chosen for. They
lessen the noise of training and splitting alone: the rows stay the same, and so does what their choice adds.
Runs that differ in nothing but their seed are one candidate, and their mean is its score: the best of ten seeds of one
config is no better config.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kagglerun.randomness import generator

ERROR = 0.05
"""The true score of the chosen run is below its bound at most this often."""
_DRAWS = 4000
_MOST_RIVALS = 64
"""Runs that far behind the best are never the best."""
_LEAST_SHARED = 2


@dataclass(frozen=True)
class Evidence:
    """What is known of a run's score.

    Attributes:
        run_id: its id.
        score: the metric over its out-of-fold predictions.
        fold_scores: the metric of each fold; runs with the same number of folds have the same folds.
        reruns: the same config with other seeds and splits: round to its score and fold scores. All runs of a
            round share seed and split.
        siblings: scores of the other runs that differ from it in nothing but the seed.
        recipe: what it shares with these, so that they count as one candidate; None for a run of its own kind.
    """

    run_id: str
    score: float
    fold_scores: tuple[float, ...]
    reruns: Mapping[int, tuple[float, tuple[float, ...]]]
    siblings: tuple[float, ...] = ()
    recipe: str | None = None

    @property
    def candidate(self) -> str:
        """What is chosen or not: runs that differ only in their seed are one."""
        return self.recipe or self.run_id


@dataclass(frozen=True)
class Certainty:
    """How good a run is, and how sure that is.

    Attributes:
        estimate: its score; of a run with reruns, of these alone; of one with siblings, the mean over all of them.
        standard_error: of the estimate; None where nothing tells (one run with one fold).
        bound: the score that it has at least (at most, where smaller is better) with the confidence asked for.
        probability_best: chance that no other of the runs is truly better.
    """

    estimate: float
    standard_error: float | None
    bound: float
    probability_best: float


def weigh(evidence: Sequence[Evidence], greater_is_better: bool, error: float = ERROR) -> dict[str, Certainty]:
    """How sure each of some comparable runs is.

    Args:
        evidence: the runs.
        greater_is_better: direction of the scores.
        error: see ERROR.

    Returns:
        Run id to its certainty.
    """
    if not evidence:
        return {}
    evidence = sorted(evidence, key=lambda run: run.run_id)  # sums depend on the order in their last bit
    spread, repeated = fold_noise(evidence), rerun_variance(evidence)
    estimates = _estimates(evidence)
    of_seeds = seed_variance(evidence)
    errors = {run.run_id: _standard_error(run, spread, repeated, of_seeds) for run in evidence}
    chances = _chances(_one_each(evidence), estimates, errors, greater_is_better)
    sign = 1.0 if greater_is_better else -1.0
    return {
        run.run_id: Certainty(
            estimates[run.run_id],
            errors[run.run_id],
            estimates[run.run_id] - sign * _width(run, evidence, error) * (errors[run.run_id] or 0.0),
            chances[run.candidate],
        )
        for run in evidence
    }


def fold_noise(evidence: Sequence[Evidence]) -> float | None:
    """Standard deviation of one fold's score around the run's mean and the fold's difficulty.

    Pooled over all groups of runs that share their folds (each round of reruns is one). Where no two runs share
    folds, the spread over a run's own folds, which counts their difficulty as noise.

    Returns:
        None where there is nothing to estimate it from.
    """
    tables = _shared_tables(evidence)
    squares = sum(float((_residuals(table) ** 2).sum()) for table in tables)
    freedom = sum((rows - 1) * (columns - 1) for rows, columns in (table.shape for table in tables))
    if freedom > 0:
        return math.sqrt(squares / freedom)
    own = [run.fold_scores for run in evidence if len(run.fold_scores) > 1]
    if not own:
        return None
    return math.sqrt(statistics.fmean(statistics.variance(scores) for scores in own))


def _shared_tables(evidence: Sequence[Evidence]) -> list[NDArray[np.float64]]:
    """Fold scores of runs that share their folds, (runs, folds) each."""
    groups: dict[tuple[int, int], list[tuple[float, ...]]] = {}
    seen: Counter[str] = Counter()
    for run in evidence:
        # Seeds of one config share what they owe to their rows: each table has one of them.
        groups.setdefault((-seen[run.candidate], len(run.fold_scores)), []).append(run.fold_scores)
        seen[run.candidate] += 1
        for number, (_, scores) in run.reruns.items():
            groups.setdefault((number, len(scores)), []).append(scores)
    tables = [np.asarray(rows, dtype=np.float64) for (_, folds), rows in groups.items() if len(rows) > 1 and folds > 1]
    return [table[np.isfinite(table).all(axis=1)] for table in tables]


def _residuals(table: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(table) == 0:
        return table
    around = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0, keepdims=True) + table.mean()
    return np.asarray(around, dtype=np.float64)


def _estimates(evidence: Sequence[Evidence]) -> dict[str, float]:
    """Score of each run; that of reruns is taken relative to the runs that took part in all rounds.

    A round with an easy split must not help those who were dropped after it.
    """
    rounds = {number for run in evidence for number in run.reruns}
    full = [run for run in evidence if run.reruns and set(run.reruns) == rounds]
    level = {number: statistics.fmean(run.reruns[number][0] for run in full) for number in rounds} if full else {}
    overall = statistics.fmean(level.values()) if level else 0.0
    estimates = {}
    for run in evidence:
        if not run.reruns:
            estimates[run.run_id] = statistics.fmean((run.score, *run.siblings))
            continue
        differences = [score - level.get(number, 0.0) for number, (score, _) in run.reruns.items()]
        estimates[run.run_id] = overall + statistics.fmean(differences)
    return estimates


def rerun_variance(evidence: Sequence[Evidence]) -> float | None:
    """Variance of a run's score over reruns: the noise of training and splitting, without that of the rows.

    Returns:
        None where no two runs share two rounds.
    """
    rounds = sorted({number for run in evidence for number in run.reruns})
    full = [[run.reruns[number][0] for number in rounds] for run in evidence if len(run.reruns) == len(rounds)]
    if len(rounds) < _LEAST_SHARED or len(full) < _LEAST_SHARED:
        return None
    table = np.asarray(full, dtype=np.float64)
    freedom = (len(full) - 1) * (len(rounds) - 1)
    return float((_residuals(table) ** 2).sum()) / freedom


def seed_variance(evidence: Sequence[Evidence]) -> float | None:
    """Variance of a config's score over seeds, pooled over the candidates that were run with several.

    Returns:
        None where each was run with one.
    """
    several = [run for run in _one_each(evidence) if run.siblings]
    freedom = sum(len(run.siblings) for run in several)
    if freedom == 0:
        return None
    scores = [(run.score, *run.siblings) for run in several]
    return sum(statistics.variance(group) * (len(group) - 1) for group in scores) / freedom


def _one_each(evidence: Sequence[Evidence]) -> list[Evidence]:
    """One run of each candidate, one with reruns where there is any."""
    found: dict[str, Evidence] = {}
    for run in evidence:
        if run.candidate not in found or (run.reruns and not found[run.candidate].reruns):
            found[run.candidate] = run
    return list(found.values())


def _standard_error(
    run: Evidence, spread: float | None, repeated: float | None, of_seeds: float | None
) -> float | None:
    """Of one run over all folds: spread / sqrt(folds); reruns and further seeds divide the part of it that they vary.

    Seeds that differ by more than folds tell count with what they differ by.
    """
    if spread is None or not run.fold_scores:
        return None
    whole = spread**2 / len(run.fold_scores)
    if run.siblings and not run.reruns and of_seeds is not None:
        return math.sqrt(whole - min(whole, of_seeds) + of_seeds / (1 + len(run.siblings)))
    varied = min(whole, whole if repeated is None else repeated)
    return math.sqrt(whole - varied + varied / max(1, len(run.reruns)))


def _width(run: Evidence, evidence: Sequence[Evidence], error: float) -> float:
    """Standard errors from the estimate to the bound."""
    candidates = _one_each(evidence)
    rivals = sum(bool(other.reruns) for other in candidates) if run.reruns else len(candidates)
    return statistics.NormalDist().inv_cdf(1 - error / max(1, rivals))


def _chances(
    candidates: Sequence[Evidence],
    estimates: Mapping[str, float],
    errors: Mapping[str, float | None],
    greater_is_better: bool,
) -> dict[str, float]:
    """Chance of each candidate to be the truly best, by draws from normal distributions around the estimates."""
    sign = 1.0 if greater_is_better else -1.0
    ranked = sorted(candidates, key=lambda run: (-sign * estimates[run.run_id], run.run_id))[:_MOST_RIVALS]
    means = np.asarray([sign * estimates[run.run_id] for run in ranked])
    deviations = np.asarray([errors[run.run_id] or 0.0 for run in ranked])
    noise = generator(0, "certainty", len(ranked)).standard_normal((_DRAWS, len(ranked)))
    winners = np.bincount((means + noise * deviations).argmax(axis=1), minlength=len(ranked))
    found = {run.candidate: float(count) / _DRAWS for run, count in zip(ranked, winners, strict=True)}
    return {run.candidate: found.get(run.candidate, 0.0) for run in candidates}

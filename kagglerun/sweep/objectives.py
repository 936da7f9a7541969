"""What a study optimises: its values for the sampler, and which trials are not beaten in all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from kagglerun.sweep.trials import Trial


def directions(objectives: Sequence[str], greater_is_better: bool) -> list[str]:
    """Optuna's words for the directions; seconds are to be few."""
    score = "maximize" if greater_is_better else "minimize"
    return [score if objective == "score" else "minimize" for objective in objectives]


def objective_values(trial: Trial, objectives: Sequence[str]) -> tuple[float, ...]:
    """A complete trial's value of each objective: its score, its mean seconds a fold."""
    assert trial.value is not None, "only complete trials have values"
    seconds = (trial.seconds or 0.0) / max(1, len(trial.fold_scores))
    return tuple(trial.value if objective == "score" else seconds for objective in objectives)


def pareto_front(trials: Sequence[Trial], objectives: Sequence[str], greater_is_better: bool) -> list[Trial]:
    """The complete trials that no other one beats in an objective without losing in another, best score first.

    With one objective: all that share the best value.
    """
    signs = [-1.0 if word == "maximize" else 1.0 for word in directions(objectives, greater_is_better)]
    costs = [
        (tuple(sign * value for sign, value in zip(signs, objective_values(trial, objectives), strict=True)), trial)
        for trial in trials
        if trial.value is not None
    ]
    front: list[tuple[tuple[float, ...], Trial]] = []
    for cost, trial in sorted(costs, key=lambda item: item[0]):
        # Who beats it comes before it in this order, and is on the front or beaten by one that is.
        if not any(_beats(other, cost) for other, _ in front):
            front.append((cost, trial))
    return sorted((trial for _, trial in front), key=lambda trial: (-_signed(trial, greater_is_better), trial.number))


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(mine <= theirs for mine, theirs in zip(one, other, strict=True))


def _signed(trial: Trial, greater_is_better: bool) -> float:
    assert trial.value is not None
    return trial.value if greater_is_better else -trial.value


def progress_values(trial: Trial) -> dict[int, float]:
    """What was known of a trial on its way, for Optuna: step 0 is inside the first fold, step k after k folds.

    The value after k folds is the mean of their scores; that of step 0 the last point of the learning curve,
    where no fold was done.
    """
    folds = [score for score in trial.scores_on_the_way if score is not None]
    if folds:
        return {count: math.fsum(folds[:count]) / count for count in range(1, len(folds) + 1)}
    curve = [score for score in trial.curve if score is not None]
    return {0: curve[-1]} if curve else {}


def estimated_score(trial: Trial, reference: Trial | None) -> float | None:
    """The score that a pruned trial would have had, for samplers that know complete trials alone.

    Its mean over the folds that it did, plus what the reference gained from the mean over these folds to its score:
    some folds are harder than others.

    Args:
        trial: complete or pruned.
        reference: a complete trial of the same study.

    Returns:
        None where nothing is known of it.
    """
    if trial.value is not None:
        return trial.value
    known = progress_values(trial)
    if not known:
        return None
    step, value = max(known.items())
    if reference is None or reference.value is None:
        return value
    of_reference = [score for score in reference.scores_on_the_way[: max(1, step)] if score is not None]
    return value + reference.value - math.fsum(of_reference) / len(of_reference) if of_reference else value


def estimated_scores(trials: Sequence[Trial], greater_is_better: bool) -> list[float | None]:
    """See `estimated_score`, with the first complete trial as the reference; the worst where nothing is known.

    Returns:
        One score a trial; None for those whose score is unknown while there is none at all.
    """
    reference = next((trial for trial in trials if trial.value is not None), None)
    scores = [estimated_score(trial, reference) for trial in trials]
    known = [score for score in scores if score is not None]
    worst = (min(known) if greater_is_better else max(known)) if known else None
    return [worst if score is None else score for score in scores]

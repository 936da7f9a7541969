"""The race of a study's best trials: reruns over further seeds and splits until their ranking is clear.

Each round gives all finalists that are left the same new seed and the same new split, so their fold scores are
paired. After a round those that are worse than the leader beyond doubt leave: a t-test on the differences of fold
scores over all rounds, with the variance corrected for training sets that overlap (Nadeau and Bengio 2003;
Bouckaert and Frank 2004), the error level spent evenly over rounds and rivals. What a finalist scored as a trial
does not count: it was chosen for that.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from kagglerun.config.load import with_values
from kagglerun.config.schema import Config, SweepConfig
from kagglerun.errors import JobError
from kagglerun.files import read_json, write_json
from kagglerun.randomness import derive
from kagglerun.sweep.study import StudySpec
from kagglerun.sweep.trials import Trial, TrialState
from kagglerun.workspace import StudyPaths


@dataclass(frozen=True)
class Rerun:
    """A finalist's result in a round.

    Attributes:
        score: the metric over all out-of-fold predictions; None when the rerun failed.
        fold_scores: the metric of each fold; NaN where it is not defined, e.g. an AUC of one class alone.
        seconds: time over all folds.
        reason: why it failed.
    """

    score: float | None
    fold_scores: tuple[float, ...] = ()
    seconds: float = 0.0
    reason: str | None = None


@dataclass(frozen=True)
class Finalist:
    """A trial in the race.

    Attributes:
        number: the trial.
        reruns: its results, round 1 first.
        left: the round after which it left; None while it races.
        why: in a line, why it left.
    """

    number: int
    reruns: tuple[Rerun, ...] = ()
    left: int | None = None
    why: str | None = None

    @property
    def races(self) -> bool:
        """Whether it is still in the race."""
        return self.left is None

    @property
    def mean(self) -> float:
        """Mean score over its rounds; NaN before the first."""
        scores = [rerun.score for rerun in self.reruns if rerun.score is not None]
        return statistics.fmean(scores) if scores else math.nan


@dataclass(frozen=True)
class Race:
    """How the race stands.

    Attributes:
        finalists: the trials, the best first.
        done: whether nothing is left to run.
    """

    finalists: tuple[Finalist, ...] = ()
    done: bool = field(default=False)

    def leader(self, greater_is_better: bool) -> Finalist | None:
        """The finalist in the race with the best mean over the rounds; None before any round is complete."""
        scored = [one for one in self.finalists if one.races and not math.isnan(one.mean)]
        sign = -1.0 if greater_is_better else 1.0
        return min(scored, key=lambda one: (sign * one.mean, one.number), default=None)


def begin_race(spec: StudySpec, trials: Sequence[Trial]) -> Race:
    """The race of the best complete trials; configs that were proposed twice race once."""
    sign = -1.0 if spec.greater_is_better else 1.0
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    chosen: list[Trial] = []
    for trial in sorted(complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number)):
        if len(chosen) < spec.config.sweep.finalists.top and all(dict(trial.params) != dict(c.params) for c in chosen):
            chosen.append(trial)
    return Race(tuple(Finalist(trial.number) for trial in chosen), done=len(chosen) < 2)


def rerun_config(spec: StudySpec, trial: Trial, number: int) -> Config:
    """The config of a trial in round `number` (counted from 1), with that round's seed and split."""
    seed, split = (derive(spec.config.seed, f"finalists {what}", number) for what in ("seed", "split"))
    values = {**trial.params, "seed": seed, "cv.seed": split}
    return with_values(spec.config, values).model_copy(update={"sweep": SweepConfig()})


def rerun_id(spec: StudySpec, trial: int, number: int) -> str:
    """Id of the run of a trial in round `number`."""
    return f"{spec.run_id(trial)}-r{number}"


def after_round(race: Race, results: Mapping[int, Rerun], spec: StudySpec) -> Race:
    """The race after a round that all its finalists have run.

    Args:
        race: as it stood before.
        results: trial to its result.
        spec: the study.
    """
    rounds = 1 + max((len(one.reruns) for one in race.finalists), default=0)
    grown = [_grown(one, results.get(one.number), rounds) for one in race.finalists]
    leader = Race(tuple(grown)).leader(spec.greater_is_better)
    finalists = spec.config.sweep.finalists
    if leader is not None:
        level = finalists.error / (finalists.rounds * max(1, len(race.finalists) - 1))
        grown = [_judged(one, leader, spec.greater_is_better, level, rounds) for one in grown]
    left = sum(one.races for one in grown)
    return Race(tuple(grown), done=left < 2 or rounds >= finalists.rounds)


def _grown(finalist: Finalist, result: Rerun | None, rounds: int) -> Finalist:
    if not finalist.races or result is None:
        return finalist
    grown = replace(finalist, reruns=(*finalist.reruns, result))
    return grown if result.score is not None else replace(grown, left=rounds, why=f"failed: {result.reason}")


def _judged(one: Finalist, leader: Finalist, greater_is_better: bool, level: float, rounds: int) -> Finalist:
    if not one.races or one.number == leader.number:
        return one
    sign = 1.0 if greater_is_better else -1.0
    rounds_of_both = list(zip(leader.reruns, one.reruns, strict=True))
    if any(len(first.fold_scores) != len(second.fold_scores) for first, second in rounds_of_both):
        return one  # the study searches its folds: theirs are no pairs
    differences = [
        [sign * (best - own) for best, own in zip(first.fold_scores, second.fold_scores, strict=True)]
        for first, second in rounds_of_both
    ]
    p = corrected_p(differences)
    if p > level:
        return one
    return replace(one, left=rounds, why=f"worse than trial {leader.number} (p = {p:.2g} after {rounds} rounds)")


def corrected_p(differences: Sequence[Sequence[float]]) -> float:
    """One-sided p of a mean difference not above zero, by the corrected test of repeated cross-validation.

    Args:
        differences: leader minus rival of each fold's score, in the metric's direction; one row a round.

    Returns:
        1.0 where nothing can be said: one difference alone, or values that are not finite.
    """
    from scipy.stats import t as student

    values = [value for row in differences for value in row]
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return 1.0
    folds = max(len(row) for row in differences)
    # Rows validated to rows trained on, in each fold; a single fold counts as half and half.
    overlap = 1 / max(1, folds - 1)
    spread = math.sqrt(statistics.variance(values) * (1 / len(values) + overlap))
    mean = statistics.fmean(values)
    if spread == 0.0:
        return 0.0 if mean > 0 else 1.0
    return float(student.sf(mean / spread, len(values) - 1))


def write_race(paths: StudyPaths, race: Race) -> None:
    """Write the race; it is on disk when this returns."""
    values = asdict(race)
    for one in values["finalists"]:
        for rerun in one["reruns"]:
            rerun["fold_scores"] = [score if math.isfinite(score) else None for score in rerun["fold_scores"]]
    write_json(paths.finalists, values)


def read_race(paths: StudyPaths) -> Race:
    """How the race stands; one without finalists where there is none.

    Raises:
        JobError: the file is damaged.
    """
    try:
        values: dict[str, Any] = read_json(paths.finalists)
        return Race(tuple(_finalist(one) for one in values["finalists"]), values["done"])
    except FileNotFoundError:
        return Race()
    except (ValueError, KeyError, TypeError) as error:
        raise JobError(
            f"{paths.finalists} is damaged: {error}",
            hint="remove it: the race is then run again, finished runs are kept",
        ) from error


def race_is_missing(paths: StudyPaths, spec: StudySpec, trials: Sequence[Trial]) -> bool:
    """Whether a study whose trials have ended still has a race to run."""
    return not race_to_run(spec, trials, read_race(paths)).done


def race_to_run(spec: StudySpec, trials: Sequence[Trial], before: Race) -> Race:
    """The race to go on with: the one before, unless today's best are others; with more rounds it is not over.

    Args:
        spec: the study.
        trials: all its trials.
        before: the race as it was recorded.
    """
    fresh = begin_race(spec, trials)
    if not before.finalists or {one.number for one in before.finalists} != {one.number for one in fresh.finalists}:
        return fresh
    racing = [one for one in before.finalists if one.races]
    over = len(racing) < 2 or max(len(one.reruns) for one in racing) >= spec.config.sweep.finalists.rounds
    return Race(before.finalists, over)


def _finalist(values: dict[str, Any]) -> Finalist:
    finalist = Finalist(**{**values, "reruns": tuple(_rerun(one) for one in values["reruns"])})
    if not isinstance(finalist.number, int) or not isinstance(finalist.left, int | None):
        raise ValueError(f"trial {finalist.number!r}, left {finalist.left!r}")
    return finalist


def _rerun(values: dict[str, Any]) -> Rerun:
    numbers = {
        "score": None if values["score"] is None else float(values["score"]),
        "fold_scores": tuple(math.nan if score is None else float(score) for score in values["fold_scores"]),
        "seconds": float(values["seconds"]),
    }
    return Rerun(**{**values, **numbers})

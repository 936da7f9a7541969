"""A study at a glance: what its trials came to, how sure the best one is, what stopping early saved."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kagglerun.experiment.certainty import Certainty, Evidence, weigh
from kagglerun.sweep.finalists import Race
from kagglerun.sweep.objectives import pareto_front
from kagglerun.sweep.study import StudySpec
from kagglerun.sweep.trials import Trial, TrialState, best_trial


@dataclass(frozen=True)
class Best:
    """A study's best trial.

    Attributes:
        number: the trial.
        run_id: its run.
        value: its score.
        params: the values it tried.
        certainty: how sure its score is; of finalists, after their reruns.
    """

    number: int
    run_id: str
    value: float
    params: Mapping[str, Any]
    certainty: Certainty


@dataclass(frozen=True)
class StudySummary:
    """What a study's trials came to.

    Attributes:
        name: the study.
        slug: its competition.
        greater_is_better: direction of the scores.
        wanted: trials that it is to have, complete or stopped early.
        complete: number of trials with a score.
        pruned: number of trials that were stopped early.
        failed: number of trials that failed.
        in_work: number of trials that were proposed and have not ended.
        n_folds: folds of a whole trial.
        fits: folds that were trained; of a first fold that was stopped, the share of its epochs.
        fits_saved: folds that trials stopped early did not train.
        fold_seconds: time of all folds of the trials that ended well.
        failures: kind of failure to the numbers of its trials.
        best: the best trial; None before one is complete.
        front: with several objectives, the trials that no other one beats, best score first; else empty.
    """

    name: str
    slug: str
    greater_is_better: bool
    wanted: int
    complete: int
    pruned: int
    failed: int
    in_work: int
    n_folds: int
    fits: float
    fits_saved: float
    fold_seconds: float
    failures: Mapping[str, tuple[int, ...]]
    best: Best | None
    front: tuple[int, ...]

    @property
    def done(self) -> int:
        """Trials that count: complete or stopped early."""
        return self.complete + self.pruned

    @property
    def share_saved(self) -> float:
        """Share of the fold fits that stopping early saved, 0 to 1."""
        possible = self.fits + self.fits_saved
        return self.fits_saved / possible if possible else 0.0

    def as_metrics(self) -> dict[str, float]:
        """The summary as the few metrics of the study's MLflow run."""
        values = {
            "trials_complete": float(self.complete),
            "trials_pruned": float(self.pruned),
            "trials_failed": float(self.failed),
            "fold_fits": self.fits,
            "fold_fits_saved": self.fits_saved,
            "fold_hours": self.fold_seconds / 3600,
        }
        if self.best:
            values |= {"best_score": self.best.value, "best_trial": float(self.best.number)}
            if self.best.certainty.standard_error is not None:
                values["best_standard_error"] = self.best.certainty.standard_error
        return values


def summarise(spec: StudySpec, trials: Sequence[Trial], race: Race | None = None) -> StudySummary:
    """Work out what a study's trials came to.

    Args:
        spec: the study.
        trials: its trials so far.
        race: of its finalists, where there was one.
    """
    n_folds = n_folds_of(spec)
    failures: dict[str, list[int]] = {}
    for trial in trials:
        if trial.failure:
            failures.setdefault(trial.failure.kind, []).append(trial.number)
    ended = [trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    fits = sum(folds_done(trial, spec) for trial in ended)
    return StudySummary(
        name=spec.name,
        slug=spec.slug,
        greater_is_better=spec.greater_is_better,
        wanted=spec.config.sweep.trials,
        complete=_count(trials, TrialState.COMPLETE),
        pruned=_count(trials, TrialState.PRUNED),
        failed=_count(trials, TrialState.FAIL),
        in_work=_count(trials, TrialState.RUNNING),
        n_folds=n_folds,
        fits=fits,
        fits_saved=max(0.0, n_folds * len(ended) - fits),
        fold_seconds=sum(trial.seconds or 0.0 for trial in ended),
        failures={kind: tuple(numbers) for kind, numbers in failures.items()},
        best=_best(spec, trials, race or Race()),
        front=_front(spec, trials),
    )


def n_folds_of(spec: StudySpec) -> int:
    """Folds of a whole trial."""
    return len(spec.config.cv.folds or range(spec.config.cv.n_splits))


def folds_done(trial: Trial, spec: StudySpec) -> float:
    """Folds that an ended trial trained; of a first fold that was stopped, the share of its epochs."""
    if trial.state is TrialState.COMPLETE:
        return float(n_folds_of(spec))
    if trial.fold_scores or not trial.curve:
        return float(len(trial.fold_scores))
    epochs = trial.params.get("training.epochs", spec.config.training.epochs)
    return min(1.0, len(trial.curve) / max(1, int(epochs)))


def weigh_trials(spec: StudySpec, trials: Sequence[Trial], race: Race) -> dict[int, Certainty]:
    """How sure the score of each complete trial is; see `experiment.certainty`."""
    reruns = {one.number: one.reruns for one in race.finalists}
    evidence = [
        Evidence(
            spec.run_id(trial.number),
            trial.value,
            tuple(math.nan if score is None else score for score in trial.fold_scores),
            {
                place: (rerun.score, rerun.fold_scores)
                for place, rerun in enumerate(reruns.get(trial.number, ()), 1)
                if rerun.score is not None
            },
        )
        for trial in trials
        if trial.value is not None
    ]
    found = weigh(evidence, spec.greater_is_better)
    return {trial.number: found[spec.run_id(trial.number)] for trial in trials if trial.value is not None}


def _count(trials: Sequence[Trial], state: TrialState) -> int:
    return sum(trial.state is state for trial in trials)


def _front(spec: StudySpec, trials: Sequence[Trial]) -> tuple[int, ...]:
    objectives = spec.config.sweep.objectives
    if len(objectives) == 1:
        return ()
    return tuple(trial.number for trial in pareto_front(trials, objectives, spec.greater_is_better))


def _best(spec: StudySpec, trials: Sequence[Trial], race: Race) -> Best | None:
    """The winner of the race where there was one, else the trial with the best score."""
    leader = race.leader(spec.greater_is_better)
    best = trials[leader.number] if leader else best_trial(trials, spec.greater_is_better)
    if best is None or best.value is None:
        return None
    certainty = weigh_trials(spec, trials, race)[best.number]
    return Best(best.number, spec.run_id(best.number), best.value, best.params, certainty)

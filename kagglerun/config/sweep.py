"""What a config says of a sweep: how many trials, how they are proposed, stopped early, paid for and kept."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from kagglerun.config.section import Section

_LAG_OF_WORKERS = ((16, 2), (64, 3), (512, 4), (4096, 8))
"""Up to so many workers, so many trials a worker."""


class PruneConfig(Section):
    """When a trial is stopped before it has all its folds."""

    name_alone: ClassVar[str | None] = "method"

    method: Literal["paired", "halving", "none"] = "paired"
    """paired: worse than the best trial beyond doubt, by a test of paired per-sample losses after each fold.
    halving: not among the best 1/eta of the earlier trials at its rung (successive halving over folds and epochs)."""
    error: float = Field(0.04, gt=0, lt=0.5)
    """paired: chance to stop a trial that is as good as the best one, spent over all folds."""
    curves: bool = True
    """Stop inside the first fold where no earlier trial's learning curve rose enough from there; neural models."""
    eta: int = Field(3, ge=2, le=16)
    """halving: one trial in eta goes on at each rung."""


class FinalistsConfig(Section):
    """The best trials, rerun over further seeds and fold splits until their ranking is clear."""

    top: int = Field(0, ge=0, le=64)
    """Number of trials that race; 0 switches the race off."""
    rounds: int = Field(4, ge=1, le=64)
    """Most reruns of a finalist; each has another seed and another split into folds."""
    error: float = Field(0.05, gt=0, lt=0.5)
    """Chance to drop the best finalist."""


class SweepConfig(Section):
    """An Optuna study over the config. `kagglerun train` ignores it."""

    trials: int = Field(20, ge=1)
    """Number of trials that should end complete or pruned; fewer where the search space has fewer configs."""
    sampler: Literal["tpe", "gp", "cmaes", "qmc", "random", "grid"] = "tpe"
    """How configs are proposed. grid: every combination once; ranges need a step. gp and cmaes take no conditions,
    cmaes no choices."""
    objectives: tuple[Literal["score", "seconds_per_fold"], ...] = ("score",)
    """What is optimised. Seconds are measured, so a study with them differs a little from its repetition."""
    workers: Annotated[int, Field(ge=1, le=4096)] | Literal["auto"] = 1
    """Trials that run at the same time. auto: slots x GPUs; 1 without a GPU."""
    slots: Annotated[int, Field(ge=1, le=64)] | Literal["auto"] = 1
    """Trials that share one GPU. auto: as many as fit its memory, measured with the base config."""
    lag: int | None = Field(None, ge=1)
    """Trial n is proposed from trials 0..n-lag; twice the workers when left out, more for many. Part of the study."""
    prune: PruneConfig = PruneConfig()
    """When a trial is stopped early: {method: paired, error: 0.04}, or the method alone: none. Never where trials have
    different folds, or where more than the score is an objective."""
    finalists: FinalistsConfig = FinalistsConfig()
    """The race of the best at the end: {top: 3, rounds: 4}."""
    hours: float | None = Field(None, gt=0)
    """No trial is started after this many hours of work, over all attempts."""
    until: str | None = None
    """No trial is started after this time: 08:00 (the next one), or 2026-12-01 08:00."""
    gpu_hours: float | None = Field(None, gt=0)
    """No trial is started after this many hours of GPUs, over all attempts."""
    max_failures: int = Field(5, ge=1)
    """The sweep stops after this many failed trials in a row of the same kind, or twice as many of any kind."""
    keep: int | None = Field(5, ge=1)
    """The weights of so many best trials are kept, the others deleted; predictions stay. null keeps all."""
    gpus_per_trial: float | None = Field(None, ge=0)
    """On a Ray cluster: GPUs a trial reserves, e.g. 0.5; one a trial of `training.gpus` when left out."""
    cpus_per_trial: float | None = Field(None, gt=0)
    """On a Ray cluster: CPU cores a trial reserves; `training.cpu_threads` when left out."""
    enqueue: tuple[dict[str, Any], ...] = ()
    """Configs that are tried first, each as keys and values of the search space, the rest as in the base config, which
    is always trial 0."""
    warm_start: tuple[str, ...] = ()
    """Earlier studies of the same competition whose complete trials the sampler (tpe, gp, cmaes) knows: those that are
    configs of this search space, as they stand when the study begins."""
    search: dict[str, Any] = Field(default_factory=dict)
    """Key of the config to its range {low, high, log, step} or list of choices; see config/search.py."""

    @field_validator("until", mode="before")
    @classmethod
    def _as_text(cls, given: Any) -> Any:
        """YAML reads 18:00 as 1080 (minutes) and 2026-12-01 as a date."""
        if isinstance(given, int) and not isinstance(given, bool):
            return f"{given // 60:02d}:{given % 60:02d}"
        return given.isoformat() if isinstance(given, date) else given

    @property
    def n_workers(self) -> int:
        """Trials that run at the same time, once `workers` is settled."""
        assert isinstance(self.workers, int), "workers: auto is settled when the study begins"
        return self.workers

    @property
    def usual_lag(self) -> int:
        """The lag where none is given: with it the order of results keeps about 5 % of the workers waiting.

        The more workers, the longer the slowest of the trials before; measured by tests/benchmarks/coordinator.py.
        """
        times = next(times for most, times in _LAG_OF_WORKERS if self.n_workers <= most)
        return times * self.n_workers

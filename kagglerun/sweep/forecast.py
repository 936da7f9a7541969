"""How long a sweep takes: before it starts, from earlier runs or a profiled fold; then from its own trials."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kagglerun.config.differences import flat
from kagglerun.config.load import load_config
from kagglerun.config.schema import Config
from kagglerun.errors import ConfigError
from kagglerun.files import read_json
from kagglerun.jobs.child import visible_devices
from kagglerun.paths import FoldPaths
from kagglerun.sweep.study import StudySpec
from kagglerun.sweep.trials import Trial, TrialState, n_done
from kagglerun.workspace import RunPaths, Workspace

if TYPE_CHECKING:
    from kagglerun.experiment.prepare import Prepared

_RECENT_TRIALS = 50
_LEAST_WITH_A_RULE = 5
_NEWEST_RUNS = 50
_PASSES_OF_A_STEP = 3.0
"""A training step costs about three forward passes; predictions cost one."""
_OF_NO_MOMENT = ("name", "seed", "sweep", "optimizer", "schedule", "cv.seed", "cv.folds", "training.checkpoint")
"""Parts of a config that do not change how long a fold takes."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class FoldSeconds:
    """What a fold of the base config takes.

    Attributes:
        seconds: of one fold, until its predictions are there.
        source: where that is known from, in words.
    """

    seconds: float
    source: str


@dataclass(frozen=True)
class Forecast:
    """What a sweep will take if no trial is stopped early.

    Attributes:
        trials: trials to be run.
        n_folds: folds of each.
        at_the_same_time: trials that run at the same time.
        fold: what a fold takes.
        seconds: from the start to the end of the last trial.
        gpu_hours: hours of GPUs; 0 on a CPU.
    """

    trials: int
    n_folds: int
    at_the_same_time: int
    fold: FoldSeconds
    seconds: float
    gpu_hours: float


def forecast(config: Config, fold: FoldSeconds, done: int = 0, gpus_per_trial: float = 0.0) -> Forecast:
    """Say what a sweep will take.

    Args:
        config: resolved; `workers: auto` that is not settled yet counts as one.
        fold: what a fold takes.
        done: trials that the study has already.
        gpus_per_trial: GPUs, or the share of one, that a trial holds.
    """
    sweep = config.sweep
    trials = max(0, sweep.trials - done)
    n_folds = len(config.cv.folds or range(config.cv.n_splits))
    workers = sweep.workers if isinstance(sweep.workers, int) else 1
    at_once = max(1, min(workers, sweep.lag or 2 * workers, trials or 1))
    rounds = -(-trials // at_once)
    work = trials * n_folds * fold.seconds
    return Forecast(trials, n_folds, at_once, fold, rounds * n_folds * fold.seconds, work * gpus_per_trial / 3600)


def gpus_of_a_trial(config: Config) -> float:
    """GPUs, or the share of one, that a trial of this config holds on this machine; 0 on a CPU."""
    sweep, training = config.sweep, config.training
    if sweep.gpus_per_trial is not None:
        return sweep.gpus_per_trial
    if config.model.kind == "tabular_boosting" or training.device == "cpu" or not visible_devices():
        return 0.0
    slots = sweep.slots if isinstance(sweep.slots, int) else 1
    return training.gpus / slots


def earlier_fold_seconds(workspace: Workspace, config: Config) -> FoldSeconds | None:
    """What a fold took in earlier runs of the same competition whose configs take as long as this one.

    Configs count that have the same model, training, augmentation, number of folds and hooks; keys of the search space
    may differ. Looked at are the newest runs.

    Args:
        workspace: whose runs.
        config: resolved.

    Returns:
        The median over the runs; None where there is none.
    """
    assert config.competition is not None, "resolve_config fills the competition in"
    runs = sorted(workspace.all_runs(config.competition), key=_changed_at, reverse=True)[:_NEWEST_RUNS]
    wanted = _what_takes_time(config)
    found = [seconds for run in runs if (seconds := _seconds_per_fold(run, wanted, config.sweep.search)) is not None]
    if not found:
        return None
    runs_told = "an earlier run" if len(found) == 1 else f"the median of {len(found)} earlier runs"
    return FoldSeconds(statistics.median(found), runs_told)


def profiled_fold_seconds(workspace: Workspace, config: Config, seconds: float, tell: Tell) -> FoldSeconds:
    """Train the first fold of the base config for about so many seconds and say what a whole one takes.

    Neural models: updates are timed, and the passes that validate and predict are added. Trees: the fold is
    trained, and a longer one is extrapolated by the number of trees. Nothing is kept.

    Args:
        workspace: where the competition lives.
        config: resolved.
        seconds: measuring time; reading the data comes on top.
        tell: is told what is being done.

    Raises:
        KagglerunError: the config cannot be trained here.
    """
    from kagglerun.experiment.prepare import prepare
    from kagglerun.experiment.profile import measure_fold

    tell("reading the data")
    prepared = prepare(workspace, config)
    tell("training a part of the first fold")
    try:
        measured = measure_fold(prepared, config, seconds)
    except ConfigError:
        return _timed_fold(prepared, config, seconds)
    train_rows, valid_rows = prepared.fold_rows(prepared.chosen_folds[0])
    train, valid = len(train_rows), len(valid_rows)
    epochs = config.training.epochs
    passes = epochs * train + (epochs * valid + len(prepared.input.test)) / _PASSES_OF_A_STEP
    whole = measured.preparation_seconds + measured.throughput.warm_up_seconds
    whole += passes / measured.throughput.samples_per_second
    return FoldSeconds(whole, f"profiled: {measured.throughput.samples_per_second:.0f} samples a second")


def _timed_fold(prepared: Prepared, config: Config, seconds: float) -> FoldSeconds:
    """Train the first fold for at most so many seconds."""
    from kagglerun.experiment.fold import run_fold
    from kagglerun.training.loop import Stopped

    began = time.monotonic()
    steps = [0]

    def report(step: int, _values: Mapping[str, float]) -> None:
        steps[0] = step + 1

    with tempfile.TemporaryDirectory(prefix="kagglerun-forecast-") as folder:
        try:
            paths = FoldPaths(Path(folder))
            run_fold(prepared, prepared.chosen_folds[0], paths, report, lambda _: time.monotonic() - began > seconds)
            return FoldSeconds(time.monotonic() - began, "profiled: the first fold, whole")
        except Stopped:
            spent, done = time.monotonic() - began, max(1, steps[0])
    most = int(getattr(config.model, "n_estimators", config.training.epochs))
    return FoldSeconds(spent * most / done, f"profiled: {done} of at most {most} steps of the first fold")


def _changed_at(run: RunPaths) -> float:
    try:
        return run.metrics.stat().st_mtime
    except OSError:
        return 0.0


def _seconds_per_fold(run: RunPaths, wanted: Mapping[str, Any], search: Iterable[str]) -> float | None:
    """Seconds a fold of a finished run with such a config took."""
    try:
        metrics = read_json(run.metrics)
        own = _what_takes_time(load_config(run.config))
        seconds = float(metrics["seconds"]) / len(metrics["fold_scores"])
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError, ConfigError):
        return None  # not finished, or made by a version with other keys
    varied = tuple(search)
    differing = [key for key in own.keys() | wanted.keys() if own.get(key) != wanted.get(key)]
    return seconds if all(key.startswith(varied) for key in differing) else None


def _what_takes_time(config: Config) -> dict[str, Any]:
    return {
        key: value for key, value in flat(config.model_dump(mode="json")).items() if not key.startswith(_OF_NO_MOMENT)
    }


def trial_seconds(spec: StudySpec, trials: Sequence[Trial]) -> float | None:
    """What one more trial is expected to take, early stopping included.

    The mean over the newest trials. The first ones, proposed before any result was known, had no rule to stop them
    and are left out as soon as there are others.

    Returns:
        Seconds; None before any trial has ended.
    """
    timed = [trial for trial in trials if trial.seconds is not None]
    with_rule = [trial for trial in timed if trial.number >= spec.lag]
    counted = with_rule if len(with_rule) >= _LEAST_WITH_A_RULE else timed
    seconds = [trial.seconds for trial in counted[-_RECENT_TRIALS:] if trial.seconds is not None]
    return statistics.fmean(seconds) if seconds else None


def seconds_left(
    spec: StudySpec, trials: Sequence[Trial], in_work: Sequence[float] = (), overhead: float = 1.0
) -> float | None:
    """Seconds until the study has its trials.

    Args:
        spec: the study.
        trials: all its trials.
        in_work: share of each trial in work that is done, 0 to 1.
        overhead: time that passes for a second of a trial: what workers do beside folds, idle slots, failures.

    Returns:
        None before any trial has ended.
    """
    each = trial_seconds(spec, trials)
    if each is None:
        return None
    left = max(0, spec.config.sweep.trials - n_done(trials))
    if not left:
        return 0.0
    shares = sorted(in_work, reverse=True)[:left]
    work = (left - sum(shares)) * each
    at_once = min(spec.config.sweep.n_workers, spec.lag, left)
    longest = (1.0 - min(shares, default=0.0)) * each
    return max(work / at_once, longest) * max(1.0, overhead)


def busy_seconds(trials: Sequence[Trial]) -> float:
    """Time that the folds of ended trials took."""
    ended = (TrialState.COMPLETE, TrialState.PRUNED)
    return sum(trial.seconds or 0.0 for trial in trials if trial.state in ended)

"""Where a config's training time goes on this machine, and which settings would save some: measured, not guessed.

Nothing is written: no run, no tracking, no weights.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from kagglerun.config.schema import Config
from kagglerun.errors import ConfigError, KagglerunError
from kagglerun.experiment.prepare import Prepared, prepare
from kagglerun.experiment.profile_changes import Change, possible_changes
from kagglerun.models.base import FoldContext
from kagglerun.paths import FoldPaths
from kagglerun.training.loop import FitTask, Stopped
from kagglerun.training.memory import is_out_of_memory
from kagglerun.training.precision import resolve_device
from kagglerun.training.step import FitSettings
from kagglerun.training.step_trial import release
from kagglerun.training.throughput import Throughput, measure_throughput
from kagglerun.workspace import Workspace

_SHARE_FOR_STAGES = 0.3
"""Of the whole time; the rest is for the changes."""
_ROUNDS = 2
_LEAST_GAIN = 0.03
"""Less than this two measurements of the same differ by."""
_SHOWN = 3
_COMPILING_SECONDS = 120.0
"""With so much time inductor is tried on a CPU too."""
_ORDER = ("read", "copy", "augment", "wait for data", "forward", "backward", "optimizer")

Tell = Callable[[str], None]


@dataclass(frozen=True)
class StageShare:
    """A stage of an update.

    Attributes:
        name: what is done.
        milliseconds: of an update, on average.
        share: of the update's time; None for work beside it, in other threads.
    """

    name: str
    milliseconds: float
    share: float | None


@dataclass(frozen=True)
class Tried:
    """A change that was measured.

    Attributes:
        line: what to type.
        effect: what it does to results.
        samples_per_second: with it; 0 where it failed.
        gain: relative gain in samples per second over the current setting, measured in turns with it.
        is_certain: it was faster in every turn.
        failure: why it could not be measured.
    """

    line: str
    effect: str
    samples_per_second: float
    gain: float
    is_certain: bool
    failure: str | None = None


@dataclass(frozen=True)
class Profile:
    """What was measured.

    Attributes:
        device: name of the GPU, or "cpu".
        n_train: training samples of the fold.
        preparation_seconds: until training could begin: decoding or opening images, loading data.
        current: the config as it is.
        stages: where an update's time goes.
        tried: the changes, best first.
        left_out: lines of changes for which there was no time.
    """

    device: str
    n_train: int
    preparation_seconds: float
    current: Throughput
    stages: tuple[StageShare, ...]
    tried: tuple[Tried, ...]
    left_out: tuple[str, ...]

    @property
    def advice(self) -> tuple[Tried, ...]:
        """The three changes that help most; empty when nothing helps."""
        return tuple(item for item in self.tried if item.is_certain and item.gain >= _LEAST_GAIN)[:_SHOWN]


def profile(workspace: Workspace, config: Config, seconds: float, tell: Tell) -> Profile:
    """Measure a config for about so many seconds.

    Args:
        workspace: where its competition lives.
        config: resolved.
        seconds: for all measurements together; what slow updates need goes beyond it.
        tell: is told what is being done.

    Raises:
        ConfigError: the model does not train with kagglerun's loop.
        DataError: the data cannot be used.
    """
    began = time.monotonic()
    prepared = prepare(workspace, config)
    tell("measuring the config as it is")
    prepared_seconds = time.monotonic() - began
    current = measure_fold(prepared, config, _SHARE_FOR_STAGES * seconds, by_stage=True)
    device = resolve_device(config.training.device)
    n_train = len(prepared.fold_rows(prepared.chosen_folds[0])[0])
    changes = possible_changes(config, device, n_train, compile_on_cpu=seconds >= _COMPILING_SECONDS)
    plan = _plan(current, len(changes), seconds - (time.monotonic() - began))
    tried = _try_in_turns(prepared, config, changes[: plan.changes], plan, tell)
    return Profile(
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        n_train=n_train,
        preparation_seconds=prepared_seconds + current.preparation_seconds,
        current=current.throughput,
        stages=stage_shares(current.throughput),
        tried=tuple(sorted(tried, key=lambda item: item.gain, reverse=True)),
        left_out=tuple(change.line for change in changes[plan.changes :]),
    )


@dataclass(frozen=True)
class FoldMeasurement:
    """How fast a fold trains.

    Attributes:
        throughput: what was measured.
        preparation_seconds: from the call to the first update's beginning.
    """

    throughput: Throughput
    preparation_seconds: float


class _Measured(Exception):
    """Carries a measurement out of a model family, which would else go on to predict."""

    def __init__(self, result: FoldMeasurement) -> None:
        super().__init__("measured")
        self.result = result


def measure_fold(prepared: Prepared, config: Config, seconds: float, by_stage: bool = False) -> FoldMeasurement:
    """Train the first fold for about so many seconds and forget it.

    Args:
        prepared: the competition's data.
        config: the config, which may differ from the prepared one in its training section.
        seconds: measuring time.
        by_stage: tell where the time goes.

    Raises:
        ConfigError: the model does not train with kagglerun's loop.
        TrainingError: the config cannot train here.
        torch.OutOfMemoryError: a step does not fit the GPU.
    """
    if config.training.cpu_threads:
        torch.set_num_threads(config.training.cpu_threads)
    began = time.monotonic()

    def measure(task: FitTask, settings: FitSettings, *_: Any) -> None:
        ready = time.monotonic() - began
        raise _Measured(FoldMeasurement(measure_throughput(task, settings, seconds, by_stage), ready))

    with tempfile.TemporaryDirectory(prefix="kagglerun-profile-") as folder:
        try:
            prepared.family.fit_fold(measuring_context(prepared, config, Path(folder), measure))
        except _Measured as measured:
            return measured.result
        except Stopped:
            pass
    raise ConfigError(
        f"model.kind {config.model.kind!r} does not train with kagglerun's loop, so there are no updates to measure",
        hint="kagglerun profile is for image and tabular_neural models; kagglerun train shows seconds of the others",
    )


def measuring_context(prepared: Prepared, config: Config, folder: Path, trainer: Callable[..., Any]) -> FoldContext:
    """The first fold as a run has it, with another trainer than `fit` and an end for families without one."""
    fold = prepared.chosen_folds[0]
    train_rows, valid_rows = prepared.fold_rows(fold)
    return FoldContext(
        config=config,
        data=prepared.input,
        metric=prepared.metric,
        score=lambda _targets, predictions: prepared.score(valid_rows, predictions),
        fold=fold,
        train_rows=train_rows,
        valid_rows=valid_rows,
        paths=FoldPaths(folder),
        report=lambda _step, _values: None,
        # A family that does not use the trainer must not train for hours.
        should_stop=lambda _values: True,
        trainer=trainer,
    )


def stage_shares(measured: Throughput) -> tuple[StageShare, ...]:
    """Milliseconds an update of each stage, those beside training last, and what is left as "everything else"."""
    total = measured.seconds
    beside: list[StageShare] = []
    within: list[StageShare] = []
    for item in measured.stages:
        seconds = item.host_seconds if item.in_background or item.gpu_seconds is None else item.gpu_seconds
        each = 1000 * seconds / measured.updates
        (beside if item.in_background else within).append(
            StageShare(item.name, each, None if item.in_background else seconds / total)
        )
    rest = total - sum(item.milliseconds for item in within) * measured.updates / 1000
    rest = max(0.0, rest)
    known = {name: place for place, name in enumerate(_ORDER)}
    within.sort(key=lambda item: known.get(item.name, len(known)))
    within.append(StageShare("everything else, idle", 1000 * rest / measured.updates, rest / total))
    return (*within, *sorted(beside, key=lambda item: known.get(item.name, len(known))))


@dataclass(frozen=True)
class _Plan:
    """How much time each measurement gets.

    Attributes:
        changes: how many are tried.
        rounds: turns of each.
        seconds: of one measurement.
    """

    changes: int
    rounds: int
    seconds: float


def _plan(current: FoldMeasurement, changes: int, seconds_left: float) -> _Plan:
    """Two turns of each change and of the current setting; with slow updates one turn, then fewer changes."""
    one = current.throughput
    least = current.preparation_seconds + one.warm_up_seconds + 2 * one.seconds / one.updates
    for rounds in range(_ROUNDS, 0, -1):
        for count in (changes, changes - 1) if rounds > 1 else range(changes, 0, -1):
            each = seconds_left / (rounds * (count + 1))
            if count > 0 and each >= least:
                overhead = current.preparation_seconds + one.warm_up_seconds
                return _Plan(count, rounds, each - overhead)
    return _Plan(min(1, changes), 1, 2 * one.seconds / one.updates)


@dataclass
class _Turns:
    """Samples a second of a change and of the current setting in the same turn."""

    change: Change
    speeds: list[tuple[float, float]] = field(default_factory=list)
    failure: str | None = None

    def result(self) -> Tried:
        gains = [own / plain - 1 for own, plain in self.speeds]
        if self.failure is not None or not gains:
            return Tried(self.change.line, self.change.effect, 0.0, -1.0, False, self.failure or "not measured")
        speed = sum(own for own, _ in self.speeds) / len(gains)
        mean = sum(gains) / len(gains)
        return Tried(self.change.line, self.change.effect, speed, mean, min(gains) >= _LEAST_GAIN / 2)


def _try_in_turns(
    prepared: Prepared, config: Config, changes: Sequence[Change], plan: _Plan, tell: Tell
) -> list[Tried]:
    """Measure the current setting and each change, one after another, in every round."""
    turns = [_Turns(change) for change in changes]
    device = resolve_device(config.training.device)
    for number in range(plan.rounds if turns else 0):
        tell(f"current setting, turn {number + 1} of {plan.rounds}")
        release(device)
        plain = measure_fold(prepared, config, plan.seconds).throughput.samples_per_second
        for turn in turns:
            if turn.failure is not None:
                continue
            tell(f"{turn.change.line}, turn {number + 1} of {plan.rounds}")
            release(device)
            try:
                own = measure_fold(prepared, turn.change.config, plan.seconds).throughput.samples_per_second
                turn.speeds.append((own, plain))
            except KagglerunError as error:
                turn.failure = error.message
            except RuntimeError as error:
                turn.failure = "out of memory" if is_out_of_memory(error) else _first_line(error)
    return [turn.result() for turn in turns]


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__

"""The trials of a study in one file, the truth from which everything else is made again; and what counts of them.

A line is appended when a trial is proposed, and again, before anything depends on it, when it has ended; the last
line of a trial is how it stands. Who is killed in the middle of a line leaves a torn last line, which nothing
depended on: readers stop before it, and the next writer cuts it off.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from itertools import takewhile
from pathlib import Path
from typing import Any

from kagglerun.errors import JobError
from kagglerun.files import disk_full_named, sync
from kagglerun.sweep.objective import TrialScore
from kagglerun.workspace import StudyPaths

_FORMAT = 1
_BLOCK_BYTES = 1 << 16


class TrialState(StrEnum):
    """Optuna's names."""

    RUNNING = "RUNNING"
    """Proposed and not ended: in work, or waiting to be continued."""
    COMPLETE = "COMPLETE"
    PRUNED = "PRUNED"
    """Stopped early: it was not going to be the best."""
    FAIL = "FAIL"


@dataclass(frozen=True)
class Failure:
    """Why a trial failed.

    Attributes:
        kind: the error's class, e.g. "NonFiniteLoss".
        message: one line.
    """

    kind: str
    message: str


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes:
        number: counted from 0.
        params: config key to proposed value; keys whose condition does not hold are left out.
        state: how it stands.
        value: the run's score, when complete.
        fold_scores: the metric of each fold that was done; None where it is not a finite number.
        seconds: time the folds took, when complete or pruned.
        curve: validation score after each epoch of the first fold, where the model has epochs.
        stopped: why and where it was stopped, in a line, when pruned.
        failure: why it failed.
        raw_fold_scores: the metric of each fold before post-processing; empty where there is none.
        started_at: when it was proposed, in seconds since 1970; set when it is recorded.
        ended_at: when its end was recorded, likewise.
    """

    number: int
    params: Mapping[str, Any]
    state: TrialState = TrialState.RUNNING
    value: float | None = None
    fold_scores: tuple[float | None, ...] = ()
    seconds: float | None = None
    curve: tuple[float | None, ...] = ()
    stopped: str | None = None
    failure: Failure | None = None
    raw_fold_scores: tuple[float | None, ...] = ()
    # Two trials that differ in time only are equal: nothing may follow from time.
    started_at: float | None = field(default=None, compare=False)
    ended_at: float | None = field(default=None, compare=False)

    @property
    def is_finished(self) -> bool:
        """Whether it has ended, well or not."""
        return self.state is not TrialState.RUNNING

    @property
    def scores_on_the_way(self) -> tuple[float | None, ...]:
        """The metric of each fold as it was when the fold was done: what unfinished trials compare with."""
        return self.raw_fold_scores or self.fold_scores


def failed(trial: Trial, failure: Failure) -> Trial:
    """The trial as failed."""
    return replace(trial, state=TrialState.FAIL, failure=failure)


def scored(trial: Trial, score: TrialScore) -> Trial:
    """The trial as complete or pruned; failed where its score is no finite number."""
    if score.stopped is None and (score.value is None or not math.isfinite(score.value)):
        return failed(trial, Failure("NonFiniteScore", f"the score is {score.value}"))
    return replace(
        trial,
        state=TrialState.COMPLETE if score.stopped is None else TrialState.PRUNED,
        value=score.value if score.stopped is None else None,
        fold_scores=_finite(score.fold_scores),
        seconds=score.seconds,
        curve=_finite(score.curve),
        stopped=score.stopped,
        raw_fold_scores=_finite(score.raw_fold_scores),
    )


def _finite(values: Sequence[float]) -> tuple[float | None, ...]:
    return tuple(value if math.isfinite(value) else None for value in values)


def write_trial(paths: StudyPaths, trial: Trial) -> Trial:
    """Append a trial as it stands now; it is on disk when this returns.

    Returns:
        The trial with the time at which it was recorded.

    Raises:
        DiskFull: there is no room; the file is as it was.
    """
    (recorded,) = write_trials(paths, [trial])
    return recorded


def write_trials(paths: StudyPaths, trials: Sequence[Trial]) -> list[Trial]:
    """Append several trials for the price of one: one write, one sync. See `write_trial`."""
    now = time.time()
    recorded = [_recorded(trial, now) for trial in trials]
    _append(paths.trials, [asdict(trial) for trial in recorded])
    return recorded


def _recorded(trial: Trial, now: float) -> Trial:
    started = now if trial.started_at is None else trial.started_at
    return replace(trial, started_at=started, ended_at=now if trial.is_finished else None)


def read_trials(paths: StudyPaths) -> list[Trial]:
    """All trials of a study, by number. They may be read while they are written.

    Raises:
        JobError: the file is damaged.
    """
    latest: list[tuple[int, dict[str, Any]]] = []
    for line, values in _lines(paths.trials):
        number = values.get("number")
        if not isinstance(number, int) or not 0 <= number <= len(latest):
            raise _damaged(paths.trials, line, f"it is about trial {number!r}, and there are {len(latest)} before it")
        latest[number : number + 1] = [(line, values)]
    return [_parse(paths.trials, *at) for at in latest]


def study_id(paths: StudyPaths) -> str:
    """What tells this study from one of the same name in another workspace; it is made by the first call or trial.

    Raises:
        JobError: the file is damaged.
    """
    if _first_line(paths.trials) is None:
        _append(paths.trials, [])
    first = _first_line(paths.trials)
    assert first is not None
    return str(first["study"])


def _append(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Append whole lines, after the file's own first line where it is new."""
    with disk_full_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            size = _cut_off_torn_line(descriptor)
            first = [] if size else [{"format": _FORMAT, "study": uuid.uuid4().hex}]
            _write_or_undo(descriptor, size, b"".join(map(_encoded, [*first, *lines])))
            if not size:
                sync(path.parent)
        finally:
            os.close(descriptor)


def _encoded(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n"


def _cut_off_torn_line(descriptor: int) -> int:
    """Cut off what follows the last whole line, and return the size in bytes that is left."""
    size = end = os.fstat(descriptor).st_size
    while end:
        begin = max(0, end - _BLOCK_BYTES)
        newline = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if newline >= 0:
            end = begin + newline + 1
            break
        end = begin
    if end < size:
        os.ftruncate(descriptor, end)
    return end


def _write_or_undo(descriptor: int, size: int, content: bytes) -> None:
    """Append all of it and sync; on an error the file is cut to what it was."""
    try:
        left = content
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, size)
        raise


def _first_line(path: Path) -> Mapping[str, Any] | None:
    if not path.exists():
        return None
    with path.open("rb") as stream:
        line = stream.readline()
    return _checked_first(path, line) if line.endswith(b"\n") else None


def _checked_first(path: Path, line: bytes) -> Mapping[str, Any]:
    try:
        first = json.loads(line)
        if first["format"] != _FORMAT or not isinstance(first["study"], str):
            raise ValueError(f"it has the format {first['format']!r}, and {_FORMAT} is known")
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, 1, error) from error
    return dict(first)


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and content of every whole line after the first."""
    if not path.exists():
        return
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.endswith(b"\n"):
                return
            if number == 1:
                _checked_first(path, line)
                continue
            try:
                yield number, dict(json.loads(line.decode("utf-8")))
            except (ValueError, TypeError) as error:
                raise _damaged(path, number, error) from error


def _parse(path: Path, line: int, values: dict[str, Any]) -> Trial:
    try:
        failure = Failure(**values.pop("failure")) if values["failure"] else values.pop("failure")
        state = TrialState(values.pop("state"))
        values |= {name: tuple(values[name]) for name in ("fold_scores", "curve")}
        values["raw_fold_scores"] = tuple(values.get("raw_fold_scores", ()))  # older files have none
        trial = Trial(**values, state=state, failure=failure)
        _check(trial)
        return trial
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, line, error) from error


def _check(trial: Trial) -> None:
    """Refuse what no sweep writes, so that all who read trials may count on their types.

    Raises:
        ValueError: says which value it is.
    """
    if not isinstance(trial.params, dict):
        raise ValueError(f"params is {trial.params!r}")
    for name in ("value", "seconds", "started_at", "ended_at"):
        if not _is_number_or_none(getattr(trial, name)):
            raise ValueError(f"{name} is {getattr(trial, name)!r}")
    for name in ("fold_scores", "curve", "raw_fold_scores"):
        if not all(map(_is_number_or_none, getattr(trial, name))):
            raise ValueError(f"{name} is {list(getattr(trial, name))!r}")
    if (trial.value is None) is (trial.state is TrialState.COMPLETE):
        raise ValueError(f"it is {trial.state} and its value is {trial.value}")
    if (trial.failure is None) is (trial.state is TrialState.FAIL):
        raise ValueError(f"it is {trial.state} and its failure is {trial.failure}")


def _is_number_or_none(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and math.isfinite(value))


def _damaged(path: Path, line: int, error: object) -> JobError:
    error = f"it lacks {error}" if isinstance(error, KeyError) else error
    return JobError(f"line {line} of {path} is damaged: {error}", hint="put it back, or start with --new")


def told(trials: Sequence[Trial]) -> list[Trial]:
    """The trials whose results count so far: those that ended before the first one that has not."""
    return list(takewhile(lambda trial: trial.is_finished, trials))


def trailing_failures(trials: Sequence[Trial]) -> list[Trial]:
    """The failed trials at the end of those told, in order."""
    failed = list(takewhile(lambda trial: trial.state is TrialState.FAIL, reversed(told(trials))))
    return failed[::-1]


def is_wanted(trials: Sequence[Trial], lag: int, wanted: int) -> bool:
    """Whether one more trial is to be proposed now.

    Trial n needs the results of 0..n-lag; and it is wanted only when the study would not reach its number of
    trials even if all trials in work succeed. Both follow from the results in order alone, never from when they
    came.

    Args:
        trials: all trials so far.
        lag: the study's lag.
        wanted: number of trials that the study is to have, complete or pruned.
    """
    known = told(trials)
    in_work = len(trials) - len(known)
    return in_work < lag and n_done(known) + in_work < wanted


def n_done(trials: Sequence[Trial]) -> int:
    """Number of trials that count: complete or pruned."""
    return sum(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in trials)


def best_trial(trials: Sequence[Trial], greater_is_better: bool) -> Trial | None:
    """The complete trial with the best value; the first of equal ones."""
    complete = [trial for trial in trials if trial.value is not None]
    sign = -1.0 if greater_is_better else 1.0
    return min(complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number), default=None)

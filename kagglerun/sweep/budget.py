"""What a sweep may spend: hours of work, a time of day, hours of GPUs.

A budget ends a sweep after a prefix of its trials and changes none of them: with more of it the study goes on as
if there had been no end. What was spent is kept beside the study, over all attempts.
"""

from __future__ import annotations

import math
import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from kagglerun.config.schema import Config
from kagglerun.config.sweep import SweepConfig
from kagglerun.errors import ConfigError, DiskFull
from kagglerun.files import read_json, write_json
from kagglerun.sweep.trials import Trial
from kagglerun.workspace import StudyPaths

_HOUR = 3600.0
_SAVE_SECONDS = 30.0
_TIME_OF_DAY = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True)
class Spent:
    """What a study has taken so far.

    Attributes:
        seconds: time in which a coordinator worked on it.
        gpu_seconds: the same for each GPU that its trials held.
    """

    seconds: float = 0.0
    gpu_seconds: float = 0.0


def read_spent(paths: StudyPaths) -> Spent:
    """What a study has taken; nothing where that was never written or cannot be read."""
    try:
        values = read_json(paths.spent)
        spent = Spent(float(values["seconds"]), float(values["gpu_seconds"]))
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return Spent()
    is_account = all(math.isfinite(seconds) and seconds >= 0 for seconds in (spent.seconds, spent.gpu_seconds))
    return spent if is_account else Spent()


def settle_until(config: Config) -> Config:
    """The config with the moment that `until` names: 08:00 is the next one, counted from now and not from a resume.

    Raises:
        ConfigError: it is no time, or has passed.
    """
    if config.sweep.until is None:
        return config
    moment = parse_until(config.sweep.until, datetime.now())
    sweep = config.sweep.model_copy(update={"until": moment.isoformat(" ", "minutes")})
    return config.model_copy(update={"sweep": sweep})


def parse_until(text: str, now: datetime) -> datetime:
    """The moment that a text names, in local time: 08:00 (the next one), or 2026-12-01 08:00.

    Raises:
        ConfigError: it is neither, or has passed.
    """
    match = _TIME_OF_DAY.fullmatch(text.strip())
    if match:
        moment = now.replace(hour=int(match[1]), minute=int(match[2]), second=0, microsecond=0)
        return moment if moment > now else moment + timedelta(days=1)
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ConfigError(f"until is {text!r}", hint="--until 08:00    or: --until '2026-12-01 08:00'") from None
    if moment.tzinfo is not None:
        moment = moment.astimezone().replace(tzinfo=None)
    if moment <= now:
        raise ConfigError(f"until is {text!r}, which has passed", hint="--until 08:00    (the next one)")
    return moment


class Budget:
    """Keeps account of what a sweep spends, and says when it is over.

    Args:
        paths: the study.
        sweep: its limits; see `settle_until`.
        gpus_per_trial: GPUs that a trial holds while it runs, see `forecast.gpus_of_a_trial`; 0 without any.
        clock: seconds that never go back.
        wall: the time of day, in seconds since 1970.
    """

    def __init__(
        self,
        paths: StudyPaths,
        sweep: SweepConfig,
        gpus_per_trial: float,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._paths = paths
        self._sweep = sweep
        self._gpus = gpus_per_trial
        self._clock, self._wall = clock, wall
        self._spent = read_spent(paths)
        self._then = self._saved_at = clock()
        self._deadline = datetime.fromisoformat(sweep.until).timestamp() if sweep.until else None

    @property
    def spent(self) -> Spent:
        """What was spent so far, over all attempts."""
        return self._spent

    def tick(self, running: int, save: bool = False) -> None:
        """Count the time since the last call, in which so many trials ran."""
        now = self._clock()
        passed, self._then = max(0.0, now - self._then), now
        self._spent = Spent(self._spent.seconds + passed, self._spent.gpu_seconds + passed * running * self._gpus)
        if save or now - self._saved_at >= _SAVE_SECONDS:
            self._saved_at = now
            self._save()

    def is_over(self) -> str | None:
        """Why trials in work are to save where they are and end; None while there is something left."""
        left = self._seconds_left()
        if left is not None and left[0] <= 0:
            return left[1]
        gpu_hours = self._sweep.gpu_hours
        if gpu_hours and self._gpus and self._spent.gpu_seconds >= gpu_hours * _HOUR:
            return f"the budget of {gpu_hours:g} GPU-hours is spent"
        return None

    def is_too_short(self, trials: Sequence[Trial]) -> str | None:
        """Why no further trial is to be started: one would not be done in time, as far as earlier ones tell."""
        over = self.is_over()
        left = self._seconds_left()
        if over or left is None:
            return over
        known = [trial.seconds for trial in trials if trial.seconds is not None]
        expected = statistics.median(known) if known else 0.0
        return left[1] if expected > left[0] else None

    def _seconds_left(self) -> tuple[float, str] | None:
        """Seconds until the nearest limit of time, and its name."""
        limits = []
        if self._sweep.hours:
            limits.append((self._sweep.hours * _HOUR - self._spent.seconds, f"{self._sweep.hours:g} hours are spent"))
        if self._deadline is not None:
            limits.append((self._deadline - self._wall(), f"it is nearly {self._sweep.until}"))
        return min(limits, default=None)

    def _save(self) -> None:
        try:
            write_json(self._paths.spent, {"seconds": self._spent.seconds, "gpu_seconds": self._spent.gpu_seconds})
        except (OSError, DiskFull):
            # A full disk pauses the sweep where results are written; the account is written with the next one.
            self._saved_at = self._then - _SAVE_SECONDS

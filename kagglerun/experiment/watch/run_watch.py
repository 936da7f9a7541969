"""Watches a run while it trains: every ten seconds a line in its journal, so that a starved GPU is seen afterwards.

The steps of these values are seconds of work, over all attempts, so what happened lies on one axis without the hours
in which nobody worked on the run.
"""

from __future__ import annotations

import logging
import os
import threading
from types import TracebackType

from kagglerun.config.schema import Config
from kagglerun.experiment.watch.live import Live, forget_live, others_in_work, this_process, write_live
from kagglerun.experiment.watch.starved import Moment, StarvedGpus, Warned
from kagglerun.jobs.machine import MachineWatch, Stretch
from kagglerun.tracking import Tracker
from kagglerun.tracking.journal import Journal, Values
from kagglerun.training.pace import Pace, counted
from kagglerun.workspace import RunPaths

SYSTEM = "system/"
"""MLflow shows metrics whose names begin so under "System metrics"."""
_SECONDS = 10.0
_SECONDS_BETWEEN_LOOKS = 1.0
"""NVML averages the utilisation over 1/6 to 1 second, depending on the GPU."""
_TAG = "kagglerun.warning"

_log = logging.getLogger("kagglerun.experiment")
_starved = StarvedGpus()
"""Of this process: trials are shorter than ten minutes, the sweep whose worker executes them is not."""


class RunWatch:
    """Watches from a thread, within a `with` block.

    Args:
        paths: the run.
        tracker: gets the values.
        config: its config.
        seconds: length of a stretch; ten by default.
        starved: remembers whether its GPUs have enough to do.
    """

    def __init__(
        self,
        paths: RunPaths,
        tracker: Tracker,
        config: Config,
        seconds: float | None = None,
        starved: StarvedGpus | None = None,
    ) -> None:
        self._paths, self._tracker, self._config = paths, tracker, config
        self._seconds, self._starved = seconds or _SECONDS, starved or _starved
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="run-watch", daemon=True)
        self._worked = 0.0
        self._warning: str | None = None

    def __enter__(self) -> RunWatch:
        self._worked = worked_seconds(Journal(self._paths.journal))
        write_live(self._paths, this_process())
        # Opened here: loader processes that are forked while another thread imports would wait for ever.
        self._machine = MachineWatch(os.getpid())
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        self._machine.close()
        forget_live(self._paths)

    def _watch(self) -> None:
        before = counted()
        looks = max(1, round(self._seconds / _SECONDS_BETWEEN_LOOKS)) if self._machine.sees_gpus else 1
        while True:
            for _ in range(looks):
                if self._end.wait(self._seconds / looks):
                    return
                self._machine.look()
            now = counted()
            self._take(self._machine.stretch(), now.since(before))
            before = now

    def _take(self, machine: Stretch, pace: Pace) -> None:
        self._worked += machine.seconds
        values = values_of(machine, pace)
        self._tracker.log(values, round(self._worked))
        warned = self._starved.add(Moment(machine, pace), self._config)
        if warned is not None:
            self._warn(warned, {gpu.index for gpu in machine.gpus})
        write_live(self._paths, self._live(machine, pace))

    def _warn(self, warned: Warned, gpus: set[str]) -> None:
        self._tracker.tag({_TAG: f"{warned.text}; {warned.advice}"})
        # Trials that share a GPU find the same at about the same time: one of them says it.
        is_told = any(other.warning and gpus & set(other.gpus) for other in others_in_work(self._paths))
        self._warning = warned.text
        if not is_told:
            _log.warning("%s\n  → %s\n  → kagglerun profile measures what helps", warned.text, warned.advice)

    def _live(self, machine: Stretch, pace: Pace) -> Live:
        return this_process(
            loader_wait=pace.loader_wait,
            samples_per_second=pace.samples / machine.seconds if pace.updates else None,
            cores=machine.cores,
            gpus=tuple(gpu.index for gpu in machine.gpus),
            warning=self._warning,
        )


def values_of(machine: Stretch, pace: Pace) -> dict[str, float]:
    """A stretch of time as metrics, named as MLflow names its own where they mean the same."""
    values: dict[str, float | None] = {
        "cpu_cores_busy": machine.cores,
        "memory_gigabytes": machine.memory_bytes / 1e9,
        "loader_wait_percentage": None if pace.loader_wait is None else 100 * pace.loader_wait,
        "samples_per_second": pace.samples / machine.seconds if pace.updates else None,
    }
    for gpu in machine.gpus:
        values |= {
            f"gpu_{gpu.index}_utilization_percentage": None if gpu.utilisation is None else 100 * gpu.utilisation,
            f"gpu_{gpu.index}_memory_usage_megabytes": None if gpu.memory_bytes is None else gpu.memory_bytes / 1e6,
            f"gpu_{gpu.index}_power_usage_watts": gpu.watts,
            f"gpu_{gpu.index}_temperature_celsius": gpu.celsius,
        }
    return {f"{SYSTEM}{name}": round(value, 3) for name, value in values.items() if value is not None}


def worked_seconds(journal: Journal) -> float:
    """Seconds of work that a run's journal tells of; 0 for one that was never watched."""
    bodies = (entry.body for entry in journal.read())
    steps = [
        body.step for body in bodies if isinstance(body, Values) and any(key.startswith(SYSTEM) for key in body.values)
    ]
    return float(max(steps, default=0))

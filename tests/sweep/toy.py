"""A quick objective for sweeps in real processes; `hooks` of the config says how it behaves.

delay: seconds a fold takes
fail_at, crash_at, kill_at: numbers of trials that raise, end with a bug, or are killed
"""

from __future__ import annotations

import math
import os
import signal
import time
from pathlib import Path

from kagglerun.config.load import value_at
from kagglerun.config.schema import Config
from kagglerun.errors import TrainingError
from kagglerun.sweep.objective import TrialObserver, TrialScore, TrialStopped, TrialTask
from kagglerun.workspace import Workspace

N_FOLDS = 3


class Toy:
    is_tracked = False

    def resolve(self, workspace: Workspace, config: Config) -> Config:
        return config

    def greater_is_better(self, workspace: Workspace, config: Config) -> bool:
        return True

    def run(self, workspace: Workspace, task: TrialTask, observer: TrialObserver) -> TrialScore:
        behaviour = task.config.hooks
        note(workspace, f"{task.run_id} {os.getpid()}")
        print("printed by a trial")
        for fold in range(N_FOLDS):
            time.sleep(float(behaviour.get("delay", 0)))
            if observer.should_stop():
                raise TrialStopped
            observer.epoch(fold, 0, 1, {})
            observer.fold(fold, N_FOLDS, float(fold))
        if task.number in behaviour.get("fail_at", []):
            raise TrainingError("it was told to fail")
        if task.number in behaviour.get("crash_at", []):
            raise RuntimeError("a bug")
        if task.number in behaviour.get("kill_at", []):
            os.kill(os.getpid(), signal.SIGKILL)
        if task.number in behaviour.get("nan_at", []):
            return TrialScore(math.nan, (math.nan,) * N_FOLDS, 0.0)
        if behaviour.get("undefined_reruns") and "rerun" in task.tags:
            return TrialScore(math.nan, (math.nan,) * N_FOLDS, 0.0)
        value = score(task.config)
        return TrialScore(value, (value,) * N_FOLDS, 1.0)


class Broken(Toy):
    def __init__(self) -> None:
        if "KAGGLERUN_JOB_IS_WORKER" in os.environ or _is_worker():
            raise RuntimeError("cannot be made")


def _is_worker() -> bool:
    return "kagglerun.sweep.local_workers" in Path("/proc/self/cmdline").read_text()


def score(config: Config) -> float:
    """Best at lr = 1e-3, weight_decay = 0.1, momentum as high as may be."""
    rough = -((math.log10(config.optimizer.lr) + 3) ** 2) - (config.optimizer.weight_decay - 0.1) ** 2
    return rough + 0.01 * float(value_at(config, "training.batch_size")) / 256


def note(workspace: Workspace, text: str) -> None:
    with (workspace.root / "executions.txt").open("a") as stream:
        stream.write(text + "\n")

"""Trials an hour on digits: `kagglerun sweep` against the plain way, side by side, and how soon the next trial steps.

The plain way is what people write: a process for each trial that calls `study.optimize(objective, n_trials=1)` on a
SQLite study that all share, two at a time. Its objective is the same run with the same config and the same tracking,
so that processes, proposals and stopping are all that differs.

    python tests/benchmarks/throughput.py [--trials 48]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

from kagglerun.config.load import load_config, with_values
from kagglerun.config.schema import SweepConfig
from kagglerun.sweep.local_workers import LocalWorkers
from kagglerun.sweep.objective import Experiment, TrialObserver, TrialScore, TrialTask
from kagglerun.sweep.workers import TrialFailed, WorkerLost
from kagglerun.workspace import Workspace

COMMAND = [sys.executable, "-m", "kagglerun"]
WORKERS = 2
TRIALS_OF_GAPS = 8
STEPS = "steps.txt"
SMALL = (
    "model.image_size=16",
    "training.epochs=1",
    "training.cpu_threads=1",
    "cv.n_splits=2",
)
"""A trial of two seconds: what surrounds the training shows."""
USUAL = ("model.image_size=16", "training.epochs=2", "training.cpu_threads=1", "cv.n_splits=5")
"""Five folds, as a sweep has them: early stopping counts as well."""


def report(trials: int = 48) -> str:
    """A Markdown table of both ways, with and without early stopping; a quarter as many of the longer trials."""
    rows = [
        "### Trials an hour on digits, two workers",
        "",
        "The plain way: one process a trial, `study.optimize` on a shared SQLite study, the same runs and tracking.",
        "",
        "| trials | plain way | sweep, all folds | times | sweep, stopped early | times |",
        "|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory(prefix="kagglerun-bench-") as folder:
        workspace = make_workspace(Path(folder))
        try:
            for name, settings in (("1 epoch, 2 folds", SMALL), ("2 epochs, 5 folds", USUAL)):
                count = trials if settings is SMALL else max(1, trials // 4)
                plain = plain_way(workspace, settings, count)
                whole = sweep(workspace, [*settings, "sweep.prune=none", "name=whole"], count)
                pruned = sweep(workspace, [*settings, "name=pruned"], count)
                ratios = f"| {whole:.0f} | {whole / plain:.1f} | {pruned:.0f} | {pruned / plain:.1f} |"
                rows.append(f"| {count} of {name} | {plain:.0f} {ratios}")
            rows += ["", gap_sentence(workspace)]
        finally:
            call("practice", "stop", cwd=workspace)
    return "\n".join(rows)


def make_workspace(folder: Path) -> Path:
    """A workspace with digits in it."""
    workspace = folder / "workspace"
    call("init", str(workspace), cwd=folder)
    call("fetch", "practice/digits", cwd=workspace)
    return workspace


def call(*arguments: str, cwd: Path) -> None:
    """Run a command of kagglerun; its output is shown when it fails."""
    done = subprocess.run([*COMMAND, *arguments], cwd=cwd, capture_output=True, text=True, env=environment(cwd))
    if done.returncode:
        raise RuntimeError(f"kagglerun {' '.join(arguments)}:\n{done.stdout}{done.stderr}")


def environment(workspace: Path) -> dict[str, str]:
    """One thread for each process, as there are two on two cores."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "KAGGLERUN_WORKSPACE": str(workspace)}


def sweep(workspace: Path, settings: Sequence[str], trials: int) -> float:
    """Trials an hour of `kagglerun sweep`, its start and end counted in."""
    began = time.perf_counter()
    options = [f"sweep.trials={trials}", f"sweep.workers={WORKERS}", "sweep.keep=null"]
    call("sweep", "digits", "--foreground", "--new", *settings, *options, cwd=workspace)
    return 3600 * trials / (time.perf_counter() - began)


def plain_way(workspace: Path, settings: Sequence[str], trials: int) -> float:
    """Trials an hour of one process a trial."""
    study = f"sqlite:///{workspace}/plain-{time.time_ns()}.db"

    def one(_: int) -> None:
        command = [sys.executable, __file__, "--one", study, *settings]
        subprocess.run(command, cwd=workspace, check=True, capture_output=True, env=environment(workspace))

    began = time.perf_counter()
    _plain_study(study)  # two processes that make its tables at the same time fail
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(one, range(trials)))
    return 3600 * trials / (time.perf_counter() - began)


def one_trial(study: str, settings: Sequence[str]) -> None:
    """What a process of the plain way does."""
    import optuna

    from kagglerun.experiment.run import new_run_id, resolve_config, run_experiment

    workspace = Workspace.find()
    base = load_config(workspace.config_file("digits"), settings)

    def objective(trial: optuna.Trial) -> float:
        values = {
            "optimizer.lr": trial.suggest_float("lr", 3e-4, 3e-3, log=True),
            "training.augment": trial.suggest_categorical("augment", ["none", "light", "medium"]),
            "model.drop_rate": trial.suggest_float("drop_rate", 0.0, 0.3),
        }
        config = with_values(base, values).model_copy(update={"sweep": SweepConfig()})
        config = resolve_config(workspace, config)
        return run_experiment(workspace, config, new_run_id(config)).score

    _plain_study(study).optimize(objective, n_trials=1)


def _plain_study(storage: str) -> Any:
    import optuna

    return optuna.create_study(study_name="plain", storage=storage, direction="maximize", load_if_exists=True)


class Timed(Experiment):
    """A real trial that notes when it took its first step, and when it ended."""

    def run(self, workspace: Workspace, task: TrialTask, observer: TrialObserver) -> TrialScore:
        """See `Experiment.run`."""
        watched = FirstStep(observer)
        score = super().run(workspace, task, watched)
        with (workspace.root / STEPS).open("a") as stream:
            stream.write(f"{watched.first} {time.time()}\n")
        return score


class FirstStep:
    """Passes everything on, and notes the first time that it is asked for a stop: after the first update."""

    def __init__(self, observer: TrialObserver) -> None:
        self._observer = observer
        self.first: float | None = None

    def epoch(self, fold: int, epoch: int, epochs: int, values: Mapping[str, float]) -> None:
        """Pass it on."""
        self._observer.epoch(fold, epoch, epochs, values)

    def fold(self, fold: int, n_folds: int, score: float) -> None:
        """Pass it on."""
        self._observer.fold(fold, n_folds, score)

    def should_stop(self) -> bool:
        """Pass it on."""
        self.first = self.first or time.time()
        return self._observer.should_stop()


def gap_sentence(workspace: Path) -> str:
    """Seconds from a trial's end to the first update of the next one, in a real worker."""
    os.environ["OMP_NUM_THREADS"] = "1"
    found = Workspace(workspace)
    base = load_config(found.config_file("digits"), SMALL)
    base = Timed().resolve(found, base).model_copy(update={"sweep": SweepConfig()})
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    workers = LocalWorkers(found, "throughput:Timed", 1)
    try:
        for number in range(TRIALS_OF_GAPS):
            config = with_values(base, {"optimizer.lr": 1e-3 + 1e-5 * number})
            workers.submit(TrialTask(number, f"gap-{number}", config, None, {"study": "gap"}))
            while not workers.free:
                for event in workers.wait(1.0):
                    if isinstance(event, TrialFailed | WorkerLost):
                        raise RuntimeError(str(event))
    finally:
        workers.close()
    lines = (workspace / STEPS).read_text("utf-8").splitlines()
    times = [tuple(map(float, line.split())) for line in lines]
    gaps = [first - before[1] for before, (first, _) in pairwise(times)]
    # The second trial's start looks once through all that the first one imported.
    return (
        f"From a trial's end to the first update of the next one in a warm worker: median "
        f"{statistics.median(gaps[1:]):.2f} s, at most {max(gaps[1:]):.2f} s ({len(gaps) - 1} trials; the second trial "
        f"of a process {gaps[0]:.2f} s)."
    )


if __name__ == "__main__":
    if "--one" in sys.argv:
        one_trial(sys.argv[2], sys.argv[3:])
    else:
        parser = argparse.ArgumentParser(description=__doc__)
        parser.add_argument("--trials", type=int, default=48)
        print(report(parser.parse_args().trials))

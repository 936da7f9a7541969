"""Real sweeps whose processes are killed at random moments, to be compared with one that was left alone."""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil

from kagglerun.config.load import parse_config
from kagglerun.config.schema import Config
from kagglerun.files import write_text
from kagglerun.jobs.control import job_info
from kagglerun.jobs.launch import launch, relaunch
from kagglerun.jobs.records import JobState
from kagglerun.sweep.finalists import Race, read_race
from kagglerun.sweep.study import coordinator_argv, prepare_study, read_spec
from kagglerun.sweep.trials import best_trial, read_trials
from kagglerun.workspace import JobPaths, Workspace
from tests.experiment.made import seal, write_card

N_TRIALS = 10
_ROWS = 240
_KILLS = 3
_LONGEST_SECONDS = 240.0


@dataclass(frozen=True)
class Outcome:
    """What must not depend on kills.

    Attributes:
        trials: params, state, value, fold scores, curve and reason of each trial.
        race: the finalists with their reruns; seconds left out.
        files: out-of-fold and test predictions of the best run.
        kills: how often something was killed.
    """

    trials: list[tuple[Any, ...]]
    race: list[tuple[Any, ...]]
    files: tuple[pd.DataFrame, pd.DataFrame]
    kills: int

    def equals(self, other: Outcome) -> bool:
        """Whether both are the same study, to the last bit."""
        same_files = all(mine.equals(theirs) for mine, theirs in zip(self.files, other.files, strict=True))
        return (self.trials, self.race) == (other.trials, other.race) and same_files


def make_workspace(root: Path) -> Workspace:
    """A workspace with one small table that has something to learn."""
    workspace = Workspace(root)
    workspace.competitions.mkdir(parents=True)
    workspace.sweeps.mkdir()
    write_text(workspace.settings, "mlflow_uri: none\n", durable=False)
    paths = workspace.competition("made")
    paths.data.mkdir(parents=True)
    numbers = np.random.default_rng(0)
    table = pd.DataFrame(numbers.normal(size=(_ROWS + 40, 4)), columns=list("abcd")).round(4)
    table.insert(0, "id", range(len(table)))
    chance = 1 / (1 + np.exp(-2 * (table["a"] + table["b"] * table["c"])))
    labels = np.where(numbers.random(len(table)) < chance, "yes", "no")
    table[:_ROWS].assign(y=labels[:_ROWS]).to_csv(paths.data / "train.csv", index=False)
    table[_ROWS:].to_csv(paths.data / "test.csv", index=False)
    table[_ROWS:][["id"]].assign(y="no").to_csv(paths.data / "sample_submission.csv", index=False)
    write_card(paths, metric="accuracy")
    seal(paths)
    return workspace


def sweep_config(**sweep: Any) -> Config:
    """A small network with hopeless learning rates in its search space, so that some trials are stopped."""
    values: dict[str, Any] = {
        "competition": "made",
        "name": "killed",
        "cv": {"n_splits": 4},
        "model": {"kind": "tabular_neural", "width": 16, "depth": 1},
        "training": {
            "epochs": 6,
            "batch_size": 32,
            "cpu_threads": 1,
            "device": "cpu",
            "checkpoint_seconds": 0.05,
        },
        "sweep": {
            "trials": N_TRIALS,
            "lag": 3,
            "workers": 2,
            "keep": 2,
            "finalists": {"top": 2, "rounds": 1},
            "search": {
                "optimizer.lr": {"low": 1e-6, "high": 1e-1, "log": True},
                "model.dropout": {"low": 0.0, "high": 0.5},
            },
            **sweep,
        },
    }
    return parse_config(values, "the test's config")


def run_left_alone(root: Path, **sweep: Any) -> Outcome:
    """The study without a kill."""
    workspace = make_workspace(root)
    _until_done(workspace, _start(workspace, sweep_config(**sweep)), None)
    return _outcome(workspace, 0)


def run_killed(root: Path, seed: int, seconds: float, **sweep: Any) -> Outcome:
    """The study with kills at random moments.

    Args:
        root: a new folder.
        seed: of the moments and of what is killed.
        seconds: kills come within this time of each start.
        sweep: changes to the sweep section.
    """
    workspace = make_workspace(root)
    kills = _until_done(workspace, _start(workspace, sweep_config(**sweep)), (random.Random(seed), seconds))
    return _outcome(workspace, kills)


def _start(workspace: Workspace, config: Config) -> JobPaths:
    paths, _ = prepare_study(workspace, config)
    return launch(workspace, "sweep", coordinator_argv(paths), what="sweep that is killed")


def _until_done(workspace: Workspace, job: JobPaths, chance: tuple[random.Random, float] | None) -> int:
    """Kill and resume until it is done; the number of kills."""
    kills = 0
    deadline = time.monotonic() + _LONGEST_SECONDS
    while job_info(job).state is not JobState.DONE:
        assert time.monotonic() < deadline, job.log.read_text("utf-8")
        if chance and kills < _KILLS:
            _wait(job, chance[0].uniform(0.0, chance[1]))
            kills += _kill_something(job, chance[0])
        if not job_info(job).state.is_alive and job_info(job).state is not JobState.DONE:
            assert job_info(job).state is JobState.KILLED, job.log.read_text("utf-8")
            relaunch(workspace, job)
        time.sleep(0.05)
    return kills


def _wait(job: JobPaths, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and job_info(job).state.is_alive:
        time.sleep(0.02)


def _kill_something(job: JobPaths, chance: random.Random) -> int:
    """Kill a worker or the coordinator; whether there was something to kill."""
    pid = job_info(job).pid
    if pid is None or not job_info(job).state.is_alive:
        return 0
    try:
        workers = psutil.Process(pid).children(recursive=True)
        if workers and chance.random() < 0.5:
            chance.choice(workers).kill()
        else:
            os.kill(pid, signal.SIGKILL)
            while job_info(job).state.is_alive:
                time.sleep(0.02)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return 0
    return 1


def _outcome(workspace: Workspace, kills: int) -> Outcome:
    paths = workspace.study("made", "made-killed")
    spec, trials = read_spec(paths), read_trials(paths)
    best = best_trial(trials, spec.greater_is_better)
    assert best is not None
    run = workspace.run("made", spec.run_id(best.number))
    return Outcome(
        [(dict(t.params), t.state, t.value, t.fold_scores, t.curve, t.stopped, t.failure) for t in trials],
        _race_of(read_race(paths)),
        (pd.read_parquet(run.oof), pd.read_parquet(run.test)),
        kills,
    )


def _race_of(race: Race) -> list[tuple[Any, ...]]:
    return [
        (one.number, one.left, one.why, [(rerun.score, rerun.fold_scores) for rerun in one.reruns])
        for one in race.finalists
    ]

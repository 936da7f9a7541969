"""Sweeps whose processes are really killed, at any moment, end with the study of one left alone."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable

import psutil
import pytest

from kagglerun.config.load import with_values
from kagglerun.config.schema import Config
from kagglerun.jobs.control import job_info, stop_job
from kagglerun.jobs.launch import launch, relaunch
from kagglerun.jobs.records import JobState
from kagglerun.sweep.study import prepare_study
from kagglerun.sweep.trials import Trial, read_trials
from kagglerun.workspace import JobPaths, Workspace
from tests.sweep.conftest import toy_config
from tests.sweep.test_sweep_coordinator import TOY, stored, sweep

N_TRIALS = 14


def start(workspace: Workspace, config: Config) -> JobPaths:
    paths, _ = prepare_study(workspace, config, objective=TOY)
    return launch(workspace, "sweep", ["kagglerun.sweep.coordinator", paths.slug, paths.name], what="toy sweep")


def workers_of(job: JobPaths) -> list[psutil.Process]:
    try:
        return psutil.Process(job_info(job).pid).children()
    except psutil.NoSuchProcess:
        return []


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def n_finished(workspace: Workspace) -> int:
    return sum(trial.is_finished for trial in read_trials(workspace.study("digits", "digits-toy")))


def told_study(trials: list[Trial]) -> list[object]:
    return [(trial.params, trial.value, trial.state) for trial in trials]


@pytest.mark.parametrize("seed", [0])
def test_a_sweep_killed_at_random_moments_ends_with_the_same_study(workspace: Workspace, seed: int) -> None:
    config = toy_config(N_TRIALS, hooks={"delay": 0.02, "fail_at": [5]}, workers=2, lag=3)
    job = start(workspace, config)
    chance = random.Random(seed)
    for target in (2, 5, 9):
        wait_until(lambda target=target: n_finished(workspace) >= target)
        time.sleep(chance.uniform(0, 0.1))
        workers = workers_of(job)
        if workers and chance.random() < 0.5:
            workers[chance.randrange(len(workers))].kill()
            time.sleep(chance.uniform(0, 0.1))
        os.kill(job_info(job).pid or 0, signal.SIGKILL)
        wait_until(lambda: job_info(job).state is JobState.KILLED)
        relaunch(workspace, job)
    wait_until(lambda: not job_info(job).state.is_alive)
    assert job_info(job).state is JobState.DONE, job.log.read_text()
    killed = read_trials(workspace.study("digits", "digits-toy"))
    whole = sweep(workspace, with_values(config, {"name": "whole", "hooks.delay": 0}))
    assert told_study(killed) == told_study(whole)
    assert len(killed) == N_TRIALS + 1
    assert [(t.state, t.value) for t in killed] == [(state, value) for state, _, value in stored(workspace)]


def test_a_killed_worker_costs_no_trial(workspace: Workspace) -> None:
    job = start(workspace, toy_config(3, hooks={"delay": 0.3}))
    wait_until(lambda: "fold 1" in job_info(job).progress or n_finished(workspace) > 0)
    workers_of(job)[0].kill()
    wait_until(lambda: not job_info(job).state.is_alive)
    assert job_info(job).state is JobState.DONE
    assert n_finished(workspace) == 3
    assert "its worker was lost (killed by SIGKILL (out of memory?))" in job.log.read_text()


def test_workers_die_with_their_coordinator(workspace: Workspace) -> None:
    job = start(workspace, toy_config(4, hooks={"delay": 30}, workers=2))
    wait_until(lambda: len(workers_of(job)) == 2)
    workers = workers_of(job)
    os.kill(job_info(job).pid or 0, signal.SIGKILL)
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []


def test_a_stopped_job_saves_and_goes_on(workspace: Workspace) -> None:
    job = start(workspace, toy_config(4, hooks={"delay": 0.1}))
    wait_until(lambda: n_finished(workspace) >= 1)
    assert stop_job(job).state is JobState.STOPPED
    assert n_finished(workspace) < 4
    relaunch(workspace, job)
    wait_until(lambda: not job_info(job).state.is_alive)
    assert (job_info(job).state, job_info(job).attempts, n_finished(workspace)) == (JobState.DONE, 2, 4)


def test_stop_now_ends_a_job_that_does_not_listen(workspace: Workspace) -> None:
    job = start(workspace, toy_config(4, hooks={"delay": 600}))
    wait_until(lambda: len(workers_of(job)) == 1)
    assert stop_job(job, now=True).state is JobState.STOPPED


def test_a_second_sigterm_ends_a_job_at_once(workspace: Workspace) -> None:
    job = start(workspace, toy_config(4, hooks={"delay": 600}))
    wait_until(lambda: len(workers_of(job)) == 1)
    workers, pid = workers_of(job), job_info(job).pid or 0
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: "stopping" in job.log.read_text())
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not job_info(job).state.is_alive)
    assert job_info(job).state is JobState.STOPPED
    psutil.wait_procs(workers, timeout=30)

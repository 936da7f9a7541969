"""Worker processes of this machine: what they say, how they die, what reaches them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from kagglerun.sweep.local_workers import LocalWorkers
from kagglerun.sweep.objective import TrialTask
from kagglerun.sweep.workers import (
    EpochDone,
    Event,
    FoldDone,
    TrialDone,
    TrialFailed,
    TrialInterrupted,
    WorkerLost,
)
from kagglerun.workspace import Workspace
from tests.sweep.conftest import toy_config

TOY = "tests.sweep.toy:Toy"
BROKEN = "tests.sweep.toy:Broken"


@pytest.fixture
def make(workspace: Workspace) -> Iterator[Callable[..., LocalWorkers]]:
    """Makes workers that are gone after the test."""
    made: list[LocalWorkers] = []

    def workers(objective: str = TOY, count: int = 1) -> LocalWorkers:
        made.append(LocalWorkers(workspace, objective, count, log=None, devices=tuple))
        return made[-1]

    yield workers
    for one in made:
        one.close()


def task(number: int = 0, **behaviour: object) -> TrialTask:
    return TrialTask(number, f"digits-toy-{number:04d}", toy_config(hooks=behaviour), None, {})


def until(workers: LocalWorkers, kind: type[Event] | tuple[type[Event], ...]) -> list[Event]:
    """All events to the first of this kind."""
    events: list[Event] = []
    deadline = time.monotonic() + 60
    while not any(isinstance(event, kind) for event in events):
        assert time.monotonic() < deadline, events
        events += workers.wait(0.2)
    return events


def processes() -> Sequence[psutil.Process]:
    """Of workers; other tests of this process may have left children of other kinds."""
    return [child for child in psutil.Process().children() if _is_worker(child)]


def _is_worker(child: psutil.Process) -> bool:
    try:
        return child.status() != psutil.STATUS_ZOMBIE and "kagglerun.sweep.local_workers" in child.cmdline()
    except psutil.NoSuchProcess:
        return False


def test_a_trial_tells_of_its_epochs_and_folds_and_ends_with_its_score(make: Callable[..., LocalWorkers]) -> None:
    workers = make(count=2)
    assert workers.free == 2
    workers.submit(task(3))
    assert workers.free == 1
    events = until(workers, TrialDone)
    assert [type(event) for event in events] == [EpochDone, FoldDone] * 3 + [TrialDone]
    assert {event.number for event in events} == {3}
    assert workers.free == 2


def test_an_idle_process_gets_the_next_task_and_no_other_is_started(make: Callable[..., LocalWorkers]) -> None:
    workers = make(count=2)
    for number in range(2):
        workers.submit(task(number))
        until(workers, TrialDone)
    assert len(processes()) == 1


def test_an_error_on_purpose_keeps_the_process_and_a_bug_ends_it(make: Callable[..., LocalWorkers]) -> None:
    workers = make()
    workers.submit(task(0, fail_at=[0]))
    assert TrialFailed(0, "TrainingError", "it was told to fail") in until(workers, TrialFailed)
    (before,) = processes()
    workers.submit(task(1, crash_at=[1]))
    assert TrialFailed(1, "RuntimeError", "a bug") in until(workers, TrialFailed)
    workers.submit(task(2))
    events = until(workers, TrialDone)
    assert not any(isinstance(event, WorkerLost) for event in events)
    (after,) = processes()
    assert before.pid != after.pid


def test_a_process_that_is_killed_is_one_event_and_is_replaced(make: Callable[..., LocalWorkers]) -> None:
    workers = make()
    workers.submit(task(0, kill_at=[0]))
    lost = [event for event in until(workers, WorkerLost) if isinstance(event, WorkerLost)]
    assert lost == [WorkerLost(0, "killed by SIGKILL (out of memory?)", was_ready=True)]
    workers.submit(task(1))
    until(workers, TrialDone)


def test_an_idle_process_that_dies_is_no_event(make: Callable[..., LocalWorkers]) -> None:
    workers = make()
    workers.submit(task(0))
    until(workers, TrialDone)
    (process,) = processes()
    process.kill()
    process.wait(10)
    assert list(workers.wait(1.0)) == []
    workers.submit(task(1))
    until(workers, TrialDone)


def test_a_process_that_cannot_start_says_that_it_was_never_ready(make: Callable[..., LocalWorkers]) -> None:
    workers = make(BROKEN)
    workers.submit(task(0))
    (lost,) = until(workers, WorkerLost)
    assert lost == WorkerLost(0, "ended with code 1", was_ready=False)


def test_tasks_end_where_they_are_when_asked_to(make: Callable[..., LocalWorkers]) -> None:
    workers = make()
    workers.submit(task(0, delay=0.1))
    until(workers, FoldDone)
    workers.ask_to_stop()
    assert TrialInterrupted(0) in until(workers, TrialInterrupted)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_that_reach_all_processes_of_a_job_leave_trials_to_the_coordinator(
    make: Callable[..., LocalWorkers], number: signal.Signals
) -> None:
    workers = make()
    workers.submit(task(0, delay=0.1))
    until(workers, FoldDone)
    (process,) = processes()
    process.send_signal(number)
    assert not any(isinstance(event, WorkerLost) for event in until(workers, TrialDone))
    assert processes() == [process]


def test_a_trial_whose_helpers_die_of_a_shutdown_was_interrupted_and_has_not_failed(
    make: Callable[..., LocalWorkers],
) -> None:
    workers = make()
    workers.submit(task(0, delay=0.1, fail_at=[0]))
    until(workers, FoldDone)
    (process,) = processes()
    process.send_signal(signal.SIGTERM)
    ends = [event for event in until(workers, (TrialInterrupted, TrialFailed)) if not isinstance(event, EpochDone)]
    assert ends[-1] == TrialInterrupted(0)
    workers.submit(task(1, fail_at=[1]))  # the next one fails as it would have
    assert TrialFailed(1, "TrainingError", "it was told to fail") in until(workers, TrialFailed)


def test_what_a_process_printed_before_its_death_is_read(make: Callable[..., LocalWorkers]) -> None:
    workers = make()
    workers.submit(task(0, kill_at=[0]))
    time.sleep(0.5)
    while processes():
        time.sleep(0.05)
    events = until(workers, WorkerLost)
    assert [type(event) for event in events] == [EpochDone, FoldDone] * 3 + [WorkerLost]


def test_closing_ends_processes_that_are_at_work(make: Callable[..., LocalWorkers]) -> None:
    workers = make(count=2)
    workers.submit(task(0, delay=30))
    workers.submit(task(1, delay=30))
    until_ready = time.monotonic() + 30
    while len(processes()) < 2 and time.monotonic() < until_ready:
        workers.wait(0.1)
    workers.close()
    assert processes() == []


@pytest.mark.long
def test_a_process_leaves_when_its_parent_is_gone(workspace: Workspace, tmp_path: Path) -> None:
    program = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from tests.sweep.test_local_workers import LocalWorkers, Workspace, task\n"
        "workers = LocalWorkers(Workspace.find(), 'tests.sweep.toy:Toy', 1, devices=tuple)\n"
        "workers.submit(task(0, delay=60))\n"
        "import psutil\n"
        "print(psutil.Process().children()[0].pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=tmp_path)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    child.wait(20)
    assert not child.is_running()

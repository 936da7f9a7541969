"""A hundred processes are really killed, and what comes of their runs has the bits of runs that were left alone.

With averaged weights, accumulation, dropout, mixup and batch norm (images), early stopping, and checkpoints every few
milliseconds beside those at each epoch's end.
"""

from __future__ import annotations

import itertools
import socket
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from kagglerun.experiment.nursery import Child, Nursery
from kagglerun.experiment.tiny_competition import tiny_workspace
from kagglerun.randomness import generator
from kagglerun.workspace import Workspace
from tests.experiment import killing

TRAINING = {"epochs": 3, "checkpoint_seconds": 0.004, "ema": 0.9, "early_stopping": 1}
MODULES = ("tests.experiment.killing", "kagglerun.models.image", "kagglerun.models.tabular_neural")
SECONDS = 240.0
RANDOM_KILLS = {"image": 24, "table": 32}
TEAM_KILLS = 16


class Patient:
    """A config whose runs are killed, and the bits of a run that was left alone."""

    def __init__(self, nursery: Nursery, workspace: Workspace, name: str, kind: str, **training: object) -> None:
        self.nursery, self.workspace, self.name, self.kind = nursery, workspace, name, kind
        killing.write_config(workspace, name, kind, **{**TRAINING, **training})
        self.numbers = itertools.count()
        self.run_id = "whole"
        began = time.monotonic()
        assert self.start().wait(SECONDS) == 0
        self.seconds = time.monotonic() - began
        self.whole = killing.bits(workspace, kind, self.run_id)
        self.next_run()

    def start(self, trap: str = "") -> Child:
        """An attempt at the run under way."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        (self.workspace.root / f"{self.run_id}.port").write_text(str(port))
        arguments = [str(self.workspace.root), self.name, self.run_id, trap]
        return self.nursery.start("tests.experiment.killing:attempt", arguments)

    def next_run(self) -> None:
        """From now on another run."""
        self.run_id = f"{self.name}-{next(self.numbers)}"

    def end_and_compare(self) -> None:
        """Let the run end, undisturbed, and hold that its bits are those of the run left alone."""
        assert self.start().wait(SECONDS) == 0
        self.compare()

    def compare(self) -> None:
        """Hold that the finished run's bits are those of the run left alone; then begin another."""
        assert killing.bits(self.workspace, self.kind, self.run_id) == self.whole
        self.next_run()

    def kill_at(self, seconds: float) -> list[str] | None:
        """Kill an attempt after so many seconds; where that hit it, or None when it had ended well before."""
        child = self.start()
        code = child.wait(seconds)
        stack = child.kill() if code is None else ""
        code = child.wait(SECONDS)
        if code == 0:
            return None
        assert code == -9, "it failed by itself"
        return killing.phases_of(stack)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery(modules=MODULES) as n:
        yield n


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return tiny_workspace(tmp_path_factory.mktemp("kills") / "workspace")


@pytest.fixture(scope="module", params=["image", "table"])
def patient(request: pytest.FixtureRequest, nursery: Nursery, tiny: Workspace) -> Patient:
    return Patient(nursery, tiny, request.param, request.param)


def kill_at_random(patient: Patient, kills: int) -> Counter[str]:
    """Kill attempts at moments drawn over a whole run, until so many were hit; each run that ends is compared."""
    moments, hits = generator(0, "kills", patient.name), Counter[str]()
    done = 0
    while done < kills:
        found = patient.kill_at(float(moments.uniform(0, patient.seconds)))
        if found is None:
            patient.compare()
            continue
        done += 1
        hits.update(found)
    patient.end_and_compare()
    return hits


def test_a_run_killed_at_any_moment_ends_with_the_same_bits(
    patient: Patient, capsys: pytest.CaptureFixture[str]
) -> None:
    hits = kill_at_random(patient, RANDOM_KILLS[patient.kind])
    with capsys.disabled():
        print(f"\n{patient.name}: {dict(hits.most_common())}")
    assert sum(hits.values()) >= RANDOM_KILLS[patient.kind]


def test_a_run_killed_where_it_hurts_most_ends_with_the_same_bits(patient: Patient) -> None:
    """One run is killed at all places one after another, another one at each place's second or third time."""
    numbers = generator(0, "traps", patient.name)
    for first in (True, False):
        sprung = 0
        for trap in killing.TRAPS:
            which = 1 if first else int(numbers.integers(2, 4))
            code = patient.start(f"{trap}:{which}").wait(SECONDS)
            assert code in (-9, 0)
            if code == 0:
                patient.compare()
            sprung += code == -9
        patient.end_and_compare()
        assert sprung >= len(killing.TRAPS) - (0 if first else 4)


def test_two_processes_that_share_each_update_are_killed_and_end_with_the_same_bits(
    nursery: Nursery, tiny: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    team = Patient(nursery, tiny, "team", "image", gpus=2, batch_size=2)
    hits = kill_at_random(team, TEAM_KILLS)
    with capsys.disabled():
        print(f"\nteam: {dict(hits.most_common())}")

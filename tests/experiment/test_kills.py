"""A hundred processes are really killed, and what comes of their runs has the bits of runs that were left alone.

With averaged weights, accumulation, dropout, mixup and batch norm (images), early stopping, and checkpoints every few
milliseconds beside those at each epoch's end.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from kagglerun.experiment.rerun.nursery import Child, Nursery
from kagglerun.experiment.rerun.tiny_competition import tiny_workspace
from kagglerun.randomness import generator
from kagglerun.workspace import Workspace
from tests.experiment import killing

pytestmark = pytest.mark.long

TRAINING = {"epochs": 3, "checkpoint_seconds": 0.004, "ema": 0.9, "early_stopping": 1}
MODULES = ("tests.experiment.killing", "kagglerun.models.image", "kagglerun.models.tabular_neural")
SECONDS = 120.0
RANDOM_KILLS = {"image": 20, "table": 32}
TEAM_KILLS = 16

hits: Counter[str] = Counter()
"""How many kills hit what, over all tests of this module."""


class Patient:
    """A config whose runs are killed, and the bits of a run that was left alone."""

    def __init__(self, nursery: Nursery, workspace: Workspace, name: str, kind: str, **training: object) -> None:
        self.nursery, self.workspace, self.name, self.kind = nursery, workspace, name, kind
        killing.write_config(workspace, name, kind, **{**TRAINING, **training})
        self.numbers = itertools.count()
        self.run_id = f"{name}-whole"  # two patients may be of one competition
        began = time.monotonic()
        self.run_to_its_end()
        self.seconds = time.monotonic() - began
        self.whole = killing.bits(workspace, kind, self.run_id)
        self.next_run()

    def start(self, trap: str = "") -> Child:
        """An attempt at the run under way."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        (self.workspace.root / f"{self.run_id}.port").write_text(str(port))
        (self.workspace.root / f"{self.run_id}.pid").unlink(missing_ok=True)
        arguments = [str(self.workspace.root), self.name, self.run_id, trap]
        return self.nursery.start("tests.experiment.killing:attempt", arguments)

    def run_to_its_end(self) -> None:
        """An attempt that nothing disturbs."""
        child = self.start()
        code = child.wait(SECONDS)
        assert code == 0, f"it does not end: {code}\n{child.kill()}"

    def next_run(self) -> None:
        """From now on another run."""
        self.run_id = f"{self.name}-{next(self.numbers)}"

    def end_and_compare(self) -> None:
        """Let the run end, undisturbed, and hold that its bits are those of the run left alone."""
        self.run_to_its_end()
        self.compare()

    def compare(self) -> None:
        """Hold that the finished run's bits are those of the run left alone; then begin another."""
        found = killing.bits(self.workspace, self.kind, self.run_id)
        assert {name: (found[name], self.whole[name]) for name in found if found[name] != self.whole[name]} == {}
        self.next_run()

    def kill_at(self, seconds: float, only_last: bool = False) -> list[str] | None:
        """Kill an attempt after so many seconds; where that hit it, or None when it had ended well before.

        Args:
            seconds: when.
            only_last: of a team's processes only the last one; the others end by themselves once they are a team.
        """
        child = self.start()
        code = child.wait(seconds)
        pid = self.workspace.root / f"{self.run_id}.pid"
        if only_last and code is None and pid.exists():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid.read_text()), signal.SIGKILL)
            if child.wait(3.0) is None:
                child.kill()  # before they had met, the other would wait for long; whoever started them ends it
            code = child.wait(SECONDS)
            assert code in (0, killing.PEER_LOST, -signal.SIGKILL, -signal.SIGSEGV)
            return None if code == 0 else ["one of two processes"]
        assert code in (0, None), "it failed by itself"
        stack = child.kill() if code is None else ""
        # faulthandler, which tells the place, reads frames that other threads change: it may die of that, as suddenly.
        code = child.wait(SECONDS)
        assert code in (0, -signal.SIGKILL, -signal.SIGSEGV), "it failed by itself"
        return killing.phases_of(stack) if code else None


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


def kill_at_random(patient: Patient, kills: int, teams: bool = False) -> None:
    """Kill attempts at moments drawn over a whole run, until so many were hit; each run that ends is compared."""
    moments, done = generator(0, "kills", patient.name), 0
    while done < kills:
        found = patient.kill_at(float(moments.uniform(0, patient.seconds)), only_last=teams and done % 2 == 1)
        if found is None:
            patient.compare()
            continue
        done += 1
        hits.update(["kills", *found])
    patient.end_and_compare()


def test_a_run_killed_at_any_moment_ends_with_the_same_bits(patient: Patient) -> None:
    kill_at_random(patient, RANDOM_KILLS[patient.kind])


def test_a_run_killed_where_it_hurts_most_ends_with_the_same_bits(patient: Patient) -> None:
    """At all places one after another; then, on a table, where each happens for the second or third time."""
    numbers = generator(0, "traps", patient.name)
    rounds = (False,) if patient.kind == "image" else (False, True)
    for later in rounds:
        sprung = 0
        for trap, phase in killing.PHASES_OF_TRAPS.items():
            which = int(numbers.integers(2, 4)) if later else 1  # not all happen so often in what is left
            code = patient.start(f"{trap}:{which}").wait(SECONDS)
            if code == 0:
                patient.compare()
                continue
            assert code == -9
            sprung += 1
            hits.update(["kills", phase])
        patient.end_and_compare()
        assert sprung >= (len(killing.TRAPS) // 2 if later else len(killing.TRAPS))


def test_two_processes_that_share_each_update_are_killed_and_end_with_the_same_bits(
    nursery: Nursery, tiny: Workspace
) -> None:
    """Both at once, and one alone in turns."""
    kill_at_random(Patient(nursery, tiny, "team", "image", gpus=2, batch_size=2), TEAM_KILLS, teams=True)


def test_a_hundred_processes_were_killed_in_all_that_a_run_does(capsys: pytest.CaptureFixture[str]) -> None:
    if not hits:
        pytest.skip("the kills are made by the tests before this one")
    with capsys.disabled():
        print(f"\nkilled: {dict(hits.most_common())}")
    assert hits["kills"] >= 100
    assert all(hits[phase] >= 4 for phase in set(killing.PHASES_OF_TRAPS.values()))
    assert hits["one of two processes"] >= TEAM_KILLS // 4

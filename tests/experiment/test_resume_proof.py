"""Processes that are killed for real, and the proof that runs end the same after it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kagglerun.cli.main import run as kagglerun
from kagglerun.experiment.rerun import resume_proof
from kagglerun.experiment.rerun.nursery import Nursery
from kagglerun.experiment.rerun.resume_proof import Kill, Proof, first_difference, prove_resume
from kagglerun.experiment.rerun.tiny_competition import tiny_config, tiny_workspace
from kagglerun.experiment.run import run_experiment
from kagglerun.files import read_json, write_json

pytestmark = pytest.mark.long


def sleep_with_a_child(path: str) -> None:
    """Start a process, write down both ids, and sleep."""
    child = os.fork()
    if child == 0:
        time.sleep(600)
    Path(path).write_text(f"{os.getpid()} {child}")
    time.sleep(600)


def end_with(code: str) -> int:
    """Print something and end."""
    sys.stdout.write("printed by a child\n")
    sys.stdout.flush()
    return int(code)


def fail() -> None:
    """End by an error."""
    raise ValueError("on purpose")


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as found:
        yield found


HERE = "tests.experiment.test_resume_proof"


def test_a_child_ends_with_the_code_that_its_function_gives(
    nursery: Nursery, capfd: pytest.CaptureFixture[str]
) -> None:
    children = [nursery.start(f"{HERE}:end_with", [str(code)]) for code in (0, 3, 7)]
    assert [child.wait() for child in reversed(children)] == [7, 3, 0]
    assert nursery.start(f"{HERE}:fail", []).wait() == 1
    assert nursery.start(f"{HERE}:no_such_function", []).wait() == 1
    assert "printed by a child" not in capfd.readouterr().out


def test_a_kill_ends_all_that_the_child_started_and_tells_what_it_did(nursery: Nursery, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    child = nursery.start(f"{HERE}:sleep_with_a_child", [str(pids)])
    while not pids.exists() or not pids.read_text():
        time.sleep(0.01)
    assert child.wait(0.01) is None
    stack = child.kill()
    assert "sleep_with_a_child" in stack and child.wait() == -signal.SIGKILL
    own, inner = map(int, pids.read_text().split())
    assert own == child.pid
    deadline = time.monotonic() + 30
    while _lives(inner) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _lives(inner)


def test_a_child_that_has_ended_can_be_killed(nursery: Nursery) -> None:
    child = nursery.start(f"{HERE}:end_with", ["0"])
    assert child.wait() == 0
    child.kill()
    assert child.wait() == 0


def test_children_do_not_outlive_their_nursery(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with Nursery() as short:
        child = short.start(f"{HERE}:sleep_with_a_child", [str(pids)])
        while not pids.exists() or not pids.read_text():
            time.sleep(0.01)
    deadline = time.monotonic() + 30
    while _lives(child.pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _lives(child.pid)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_killed_runs_end_with_the_same_bits() -> None:
    proofs = list(prove_resume(kills=2, seed=3))
    assert [proof.kind for proof in proofs] == ["image", "table"]
    assert [proof.difference for proof in proofs] == [None, None]
    assert all(kill.seconds >= 0 and kill.where.startswith("fold ") for proof in proofs for kill in proof.kills)
    assert [len(proof.kills) for proof in proofs] == [1, 1]


def test_every_difference_of_two_runs_is_found(tmp_path: Path) -> None:
    workspace = tiny_workspace(tmp_path / "tiny")
    config = tiny_config(workspace, "table", epochs=1)
    for name in ("one", "two"):
        run_experiment(workspace, config, name)
    one, two = workspace.run("tiny-table", "one"), workspace.run("tiny-table", "two")
    assert first_difference(one, two) is None
    digests = read_json(two.fold(1).digests)
    write_json(two.fold(1).digests, digests | {"oof": "0" * 64})
    assert first_difference(one, two) == "fold 1, digests"
    write_json(two.fold(1).digests, digests)
    two.test.write_bytes(two.oof.read_bytes())
    assert first_difference(one, two) == "test.parquet"
    result = read_json(two.fold(0).result)
    result["history"][0]["valid_loss"] += 1e-12
    write_json(two.fold(0).result, result)
    assert str(first_difference(one, two)).startswith("fold 0, epoch 0, valid_loss: ")
    two.metrics.unlink()
    assert first_difference(one, two) == "it has not ended"


def test_what_a_process_did_is_read_from_its_stack() -> None:
    frames = [("a/kagglerun/files", "sync"), ("a/kagglerun/training/checkpoint", "_write_files")]
    main = [("b/torch/nn", "f"), ("a/kagglerun/training/step", "Stepper.update")]
    threads = ["\n".join(f'  File "/{file}.py", line 9 in {name}' for file, name in stack) for stack in (frames, main)]
    assert resume_proof._doing("\n\n".join(threads)) == "in an update while writing a checkpoint"
    assert resume_proof._doing("") == "before or after the training"


@pytest.mark.parametrize(
    ("difference", "code"), [(None, 0), ("fold 0, epoch 1, train_loss: 1.0 in the run, 2.0 now", 1)]
)
def test_doctor_tells_each_kill_and_fails_on_a_difference(
    difference: str | None, code: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    proof = Proof("image", (Kill(0.5, "fold 0, epoch 1, 2 updates on, in an update"),), difference)
    monkeypatch.setattr(resume_proof, "prove_resume", lambda kills, seed: iter([proof] * kills))
    assert kagglerun(["doctor", "--resume", "--kills", "2", "--seed", "5"]) == code
    shown = capfd.readouterr().out
    assert "killed after  0.50 s  fold 0, epoch 1, 2 updates on, in an update" in shown
    assert ("2 kills, 2 equal results" if difference is None else "2 of 2 runs differ after 2 kills") in shown

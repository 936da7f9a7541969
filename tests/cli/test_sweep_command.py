"""`kagglerun sweep` in the terminal: what it refuses at once, what it leaves, whom it tells."""

from __future__ import annotations

import errno
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kagglerun.cli.main import run
from kagglerun.errors import JobError
from kagglerun.files import write_text
from kagglerun.jobs.control import stop_job
from kagglerun.sweep.budget import read_spent
from kagglerun.sweep.trials import read_trials
from kagglerun.workspace import JobPaths, Workspace

ROOT = Path(__file__).parents[2]
TOY = ("--objective", "tests.sweep.toy:Toy")


@pytest.fixture(autouse=True)
def toy(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A config for a toy sweep of three trials, here and in other processes."""
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (workspace.sweeps / "toy.yaml").write_text(
        "competition: digits\nsweep: {trials: 3, search: {optimizer.lr: {low: 1e-5, high: 0.1, log: true}}}\n"
    )


@pytest.mark.parametrize("address", ["", "nowhere", ":6379", "host:0", "host:99999", "host:6379/x", "http://host:8265"])
def test_what_is_no_address_of_a_cluster_is_refused_before_anything_begins(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    assert run(["sweep", "toy", *TOY, "--ray", address]) == 2
    said = capsys.readouterr().err
    assert "is no address" in said
    assert "HOST:6379" in said
    assert not workspace.state.exists()


def test_a_job_that_never_reached_its_cluster_is_no_job(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(workspace: Workspace, job: JobPaths, address: str) -> None:
        raise JobError(f"the Ray cluster at {address!r} does not take the job")

    monkeypatch.setattr("kagglerun.sweep.ray.submit.submit", refuse)
    assert run(["sweep", "toy", *TOY, "--ray-submit"]) == 1
    assert list(workspace.all_jobs()) == []
    assert list(workspace.jobs.iterdir()) == []


def test_a_job_that_a_cluster_took_stays_also_where_it_did_not_begin(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def take_and_fail(workspace: Workspace, job: JobPaths, address: str) -> None:
        write_text(job.cluster, json.dumps({"url": "http://127.0.0.1:1", "submission": "x"}))
        raise JobError("the cluster has not started the job")

    monkeypatch.setattr("kagglerun.sweep.ray.submit.submit", take_and_fail)
    assert run(["sweep", "toy", *TOY, "--ray-submit"]) == 1
    assert len(list(workspace.all_jobs())) == 1


def told(workspace: Workspace, *changes: str) -> tuple[int, list[dict[str, Any]]]:
    """Exit code of a sweep in the foreground, and what people were told meanwhile."""
    write_text(workspace.settings, "notify_command: cat >> told.txt; echo >> told.txt\n")
    command = [sys.executable, "-m", "kagglerun", "sweep", "toy", "--foreground", *TOY, *changes]
    code = subprocess.run(command, capture_output=True, check=False).returncode
    lines = (workspace.root / "told.txt").read_text().splitlines()
    return code, [json.loads(line) for line in lines]


def test_people_are_told_that_a_sweep_in_the_foreground_is_done(workspace: Workspace) -> None:
    code, events = told(workspace)
    assert code == 0
    assert [event["event"] for event in events if event["event"] != "new best"] == ["done"]
    assert events[-1]["text"].startswith("sweep digits-toy (3 trials) is done. 3/3 trials  best ")
    assert events[-1]["numbers"]["trials_done"] == 3
    assert events[-1]["job"] is None


@pytest.mark.long
def test_people_are_told_that_a_sweep_in_the_foreground_failed(workspace: Workspace) -> None:
    code, events = told(workspace, "hooks={fail_at: [0, 1]}", "sweep.max_failures=2")
    assert code == 1
    assert [event["event"] for event in events] == ["failed"]
    assert "2 trials in a row failed" in events[0]["text"]


def test_two_sweeps_that_are_typed_at_once_are_one_job(workspace: Workspace) -> None:
    command = [sys.executable, "-m", "kagglerun", "sweep", "toy", *TOY, "hooks={delay: 0.3}"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate() for process in both]
    assert sorted(process.returncode for process in both) == [0, 1], said
    assert any("works on the study digits-toy already" in err for _, err in said)
    (job,) = workspace.all_jobs()
    assert stop_job(job, now=True).attempts == 1


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_workspace_that_cannot_be_written_is_named(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), str(workspace.studies / "digits"))

    monkeypatch.setattr("kagglerun.sweep.study.prepare_study", refuse)
    assert run(["sweep", "toy", *TOY]) == 1
    said = capsys.readouterr().err
    assert f"{workspace.studies / 'digits'} cannot be used: {os.strerror(number)}" in " ".join(said.split())
    assert f"ls -ld '{workspace.studies}'" in " ".join(said.split())


def test_a_name_that_no_file_system_takes_is_refused(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sweep", "toy", *TOY, f"name={'n' * 300}"]) == 2
    assert "has 307 characters" in capsys.readouterr().err


@pytest.mark.long
def test_a_terminal_that_is_closed_ends_its_sweep_as_ctrl_c_does(workspace: Workspace) -> None:
    command = [sys.executable, "-m", "kagglerun", "sweep", "toy", "--foreground", *TOY, "hooks={delay: 0.3}"]
    terminal, its_end = pty.openpty()
    process = subprocess.Popen(command, stdin=its_end, stdout=its_end, stderr=its_end)
    os.close(its_end)
    said = b""
    while b"trial 0:" not in said:
        said += os.read(terminal, 4096)
    os.close(terminal)
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) > 0  # by its own will, not by the signal
    paths = workspace.study("digits", "digits-toy")
    assert read_spent(paths).seconds > 0
    assert run(["sweep", "toy", "--foreground", *TOY, "hooks={delay: 0.3}"]) == 0
    assert [trial.is_finished for trial in read_trials(paths)] == [True] * 3

"""`kagglerun train --detach` and `reproduce --detach`: killed and resumed, they end as the plain commands do."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from kagglerun.cli.main import run
from kagglerun.files import write_text
from kagglerun.jobs.control import find_job, job_info
from kagglerun.jobs.records import JobState
from kagglerun.workspace import JobPaths, Workspace
from tests.experiment.made import seal, write_card

pytestmark = pytest.mark.long

NET = (
    "competition: made\ncv: {{n_splits: 2}}\nmodel: {{kind: tabular_neural, width: 8, depth: 1}}\n"
    "training: {{epochs: {epochs}, batch_size: 8, cpu_threads: 1, device: cpu}}\n"
)


@pytest.fixture(autouse=True)
def a_competition(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """`made`, with a config for a network."""
    monkeypatch.setenv("KAGGLERUN_MLFLOW_URI", "none")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    paths, numbers = workspace.competition("made"), np.random.default_rng(0)
    table = pd.DataFrame({"id": np.arange(60), "x": numbers.normal(size=60)})
    table["y"] = np.where(table["x"] > 0, "yes", "no")
    paths.data.mkdir(parents=True)
    table.iloc[:48].to_csv(paths.data / "train.csv", index=False)
    table.iloc[48:].drop(columns="y").to_csv(paths.data / "test.csv", index=False)
    table.iloc[48:][["id"]].assign(y="no").to_csv(paths.data / "sample_submission.csv", index=False)
    write_card(paths)
    seal(paths)
    write_text(workspace.sweeps / "net.yaml", NET.format(epochs=60))


def wait_until(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def ended(job: JobPaths) -> JobState:
    wait_until(lambda: not job_info(job).state.is_alive)
    return job_info(job).state


def test_a_detached_run_that_is_killed_and_stopped_ends_as_the_plain_command_does(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "net", "--run", "plain"]) == 0
    capsys.readouterr()
    assert run(["train", "net", "--run", "job", "--detach"]) == 0
    job = find_job(workspace, None)
    said = capsys.readouterr().out
    assert f"started {job.job_id}" in said and f"kagglerun logs -f {job.job_id}" in said
    paths = workspace.run("made", "job")
    # What is changed now does not reach it.
    write_text(workspace.sweeps / "net.yaml", NET.format(epochs=3))
    wait_until(lambda: any(paths.fold(0).checkpoints.glob("0*")) or paths.fold(0).result.exists())
    os.kill(job_info(job).pid or 0, signal.SIGKILL)
    assert ended(job) is JobState.KILLED
    assert run(["resume", job.job_id]) == 0
    wait_until(lambda: "folds" in job_info(job).progress)
    assert run(["stop", job.job_id]) == 0
    assert job_info(job).state in (JobState.STOPPED, JobState.DONE)
    if job_info(job).state is JobState.STOPPED:
        assert json.loads(paths.status.read_text())["state"] == "KILLED"
        assert run(["resume", job.job_id, "--follow"]) == 0
    assert "OOF score" in job_info(job).progress
    assert paths.oof.read_bytes() == workspace.run("made", "plain").oof.read_bytes()


def test_a_run_has_one_job(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "net", "training.epochs=5000", "--run", "one", "-d"]) == 0
    job = find_job(workspace, None)
    assert run(["train", "net", "training.epochs=5000", "--run", "one", "-d"]) == 1
    assert f"the job {job.job_id} works on the run one already" in capsys.readouterr().err
    assert run(["stop", "--now"]) == 0
    assert run(["train", "net", "--run", "one", "--detach"]) == 2
    assert "was made with another config: training.epochs" in capsys.readouterr().err


def test_a_wrong_config_is_an_error_here_and_starts_nothing(workspace: Workspace) -> None:
    assert run(["train", "net", "training.epochz=3", "--detach"]) == 2
    assert list(workspace.all_jobs()) == []


def test_a_run_is_made_again_by_a_job_whose_log_says_what_came(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "net", "training.epochs=2", "--run", "one"]) == 0
    assert run(["reproduce", "one", "--json", "--detach"]) == 2
    oof = workspace.run("made", "one").fold(0).oof
    table = pd.read_parquet(oof)
    table.iloc[0, -1] += 0.25
    table.to_parquet(oof)
    assert run(["reproduce", "one", "--detach"]) == 0
    job = find_job(workspace, None)
    assert ended(job) is JobState.FAILED
    assert str(job_info(job).error).startswith("not equal: fold 0")
    capsys.readouterr()
    assert run(["logs"]) == 0
    said = capsys.readouterr().out
    assert "fold 0: differs" in said and "fold 1: equal" in said

"""`kagglerun train`: what it refuses, and what Ctrl-C leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from kagglerun.cli.main import run
from kagglerun.files import write_text
from kagglerun.workspace import Workspace
from tests.experiment.made import seal, write_card


@pytest.fixture(autouse=True)
def a_competition(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """`made`, with a config for a network that trains for long."""
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
    write_text(
        workspace.sweeps / "net.yaml",
        "competition: made\ncv: {n_splits: 2}\nmodel: {kind: tabular_neural, width: 8, depth: 1}\n"
        "training: {epochs: 5000, batch_size: 8, cpu_threads: 1, device: cpu}\n",
    )


def test_wrong_uses_of_several_gpus_are_usage_errors_that_say_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "net", "--gpus", "64", "training.device=auto"]) == 2
    assert "this machine shows" in capsys.readouterr().err
    assert run(["train", "net", "--gpus", "2", "--folds-parallel"]) == 2
    assert "choose one" in capsys.readouterr().err
    assert run(["train", "net", "--gpus", "2", "training.effective_batch=24"]) == 2
    said = capsys.readouterr().err
    assert "effective_batch is 24, batch_size 8, gpus 2" in said and "= 16" in said


def test_ctrl_c_saves_every_fold_under_way_and_says_how_to_go_on(workspace: Workspace) -> None:
    words = ["train", "net", "--run", "one", "--processes", "2"]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "kagglerun", *words], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    paths = workspace.run("made", "one")
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not all(any(paths.fold(k).checkpoints.glob("0*")) for k in (0, 1)):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "go on with: kagglerun train net --run one --processes 2" in said
    assert json.loads(paths.status.read_text())["state"] == "KILLED"

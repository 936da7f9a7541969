"""A Python of a platform's own, and a competition at home."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kagglerun.files import write_text
from kagglerun.workspace import Workspace
from tests.experiment.made import seal, write_card
from tests.notebooks.session_platform import make_python

NET = """\
competition: made
cv: {scheme: stratified, n_splits: 3}
model: {kind: tabular_neural, width: 8, depth: 1}
training: {epochs: 120, batch_size: 8, cpu_threads: 1, checkpoint_seconds: 0.2}
"""


@pytest.fixture(scope="session")
def platform_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_python(tmp_path_factory.mktemp("platform") / "python")


@pytest.fixture
def made(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace with the small competition `made` and `net.yaml`, a network that trains for some seconds."""
    monkeypatch.setenv("KAGGLERUN_MLFLOW_URI", "none")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    paths, numbers = workspace.competition("made"), np.random.default_rng(0)
    table = pd.DataFrame({"id": np.arange(90), "x": numbers.normal(size=90), "z": numbers.normal(size=90)})
    table["y"] = np.where(table["x"] + table["z"] ** 2 > 0.5, "yes", "no")
    paths.data.mkdir(parents=True)
    table.iloc[:72].to_csv(paths.data / "train.csv", index=False)
    table.iloc[72:].drop(columns="y").to_csv(paths.data / "test.csv", index=False)
    table.iloc[72:][["id"]].assign(y="no").to_csv(paths.data / "sample_submission.csv", index=False)
    write_card(paths, source="kaggle")
    seal(paths)
    write_text(workspace.sweeps / "net.yaml", NET)
    return workspace

"""A small competition on disk, as fetch leaves it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from kagglerun.workspace import CompetitionPaths, Workspace
from tests.experiment.made import seal, write_card


@pytest.fixture
def competition(workspace: Workspace) -> CompetitionPaths:
    """`made`: 90 training and 20 test rows, two classes, a signal in two columns."""
    paths = workspace.competition("made")
    numbers = np.random.default_rng(1)
    table = pd.DataFrame({"id": np.arange(110), "x": numbers.normal(size=110), "word": numbers.choice(["a", "b"], 110)})
    noise = numbers.normal(scale=0.3, size=110)
    table["y"] = np.where(table["x"] + (table["word"] == "a") + noise > 0.5, "yes", "no")
    paths.data.mkdir(parents=True)
    table.iloc[:90].to_csv(paths.data / "train.csv", index=False)
    table.iloc[90:].drop(columns="y").to_csv(paths.data / "test.csv", index=False)
    table.iloc[90:][["id"]].assign(y="no").to_csv(paths.data / "sample_submission.csv", index=False)
    write_card(paths)
    seal(paths)
    workspace.set_current("made")
    return paths

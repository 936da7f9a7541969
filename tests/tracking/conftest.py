"""A workspace with MLflow's database in place, and a look into it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from kagglerun.tracking.mlflow_store import Store, prepare_database
from kagglerun.workspace import RunPaths, Workspace


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database as a workspace's first run makes it; making one takes seconds."""
    made = Workspace(tmp_path_factory.mktemp("template"))
    prepare_database(made)
    return made.mlflow_db


@pytest.fixture
def tracked(workspace: Workspace, empty_database: Path) -> Workspace:
    """A workspace whose MLflow database exists."""
    workspace.mlflow_db.parent.mkdir(parents=True)
    shutil.copy(empty_database, workspace.mlflow_db)
    return workspace


@pytest.fixture
def run(workspace: Workspace) -> RunPaths:
    """The folder of a run."""
    paths = workspace.run("digits", "20261121-a1")
    paths.folder.mkdir(parents=True)
    paths.config.write_text("seed: 1\n")
    return paths


class Mlflow:
    """What MLflow's database holds."""

    def __init__(self, workspace: Workspace) -> None:
        self.client = Store(workspace).client()

    def runs(self, slug: str = "digits") -> list[Any]:
        """All runs of a competition, the oldest first."""
        experiment = self.client.get_experiment_by_name(slug)
        return list(reversed(self.client.search_runs([experiment.experiment_id]))) if experiment else []

    def only(self) -> Any:
        """The one run there is."""
        (found,) = self.runs()
        return found

    def history(self, run_id: str, key: str) -> list[tuple[int, float]]:
        """Steps and values of a metric."""
        return [(point.step, point.value) for point in self.client.get_metric_history(run_id, key)]

    def artifacts(self, run_id: str, folder: str | None = None) -> list[str]:
        """Paths of a run's artifacts."""
        return [item.path for item in self.client.list_artifacts(run_id, folder)]


@pytest.fixture
def mlflow(tracked: Workspace) -> Mlflow:
    """A look into the workspace's MLflow."""
    return Mlflow(tracked)

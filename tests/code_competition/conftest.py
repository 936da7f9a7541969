"""One finished run that several modules freeze; nobody changes it."""

from __future__ import annotations

import pytest

from kagglerun.workspace import RunPaths, Workspace
from tests.code_competition.packaging_runs import train, write_table_competition


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, RunPaths]:
    """A workspace and a run of boosted trees in it."""
    workspace = Workspace(tmp_path_factory.mktemp("a workspace"))
    write_table_competition(workspace)
    return workspace, train(workspace, "tabular_boosting")

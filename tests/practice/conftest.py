"""A practice server for the whole session."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from kagglerun.practice.paths import PracticePaths
from kagglerun.practice.server import ensure_running, stop
from kagglerun.workspace import Workspace
from tests.practice.official import Official
from tests.practice.small import Client, small_table


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server that runs for the whole session. Tests make competitions of their own on it."""
    workspace = Workspace(tmp_path_factory.mktemp("practice workspace"))
    server = ensure_running(workspace)
    assert urlsplit(server.url).hostname == "127.0.0.1"
    yield Client(server, PracticePaths(workspace.practice))
    stop(workspace)


@pytest.fixture
def paths(workspace: Workspace) -> PracticePaths:
    """The practice folder of a fresh workspace, without a server."""
    return PracticePaths(workspace.practice)


@pytest.fixture
def slug(request: pytest.FixtureRequest) -> str:
    """A slug of the test's own."""
    return re.sub("[^a-z0-9]+", "-", request.node.name.lower())[:90].strip("-")


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """A labelled CSV file."""
    path = tmp_path / "all rows.csv"
    small_table().to_csv(path, index=False)
    return path


@pytest.fixture
def official(client: Client, tmp_path: Path) -> Official:
    """The official command; it works in the test's own folder."""
    return Official(client, tmp_path)

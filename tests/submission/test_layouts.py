"""A practice competition of every layout: trained, submitted by the command, scored, and read back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kagglerun.practice.server import stop
from kagglerun.workspace import Workspace
from tests.submission.layouts import LAYOUTS, Layout, compete


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """One workspace and practice server for all layouts."""
    found = Workspace(tmp_path_factory.mktemp("layouts"))
    found.competitions.mkdir()
    found.sweeps.mkdir()
    yield found
    stop(found)


@pytest.mark.long
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.slug)
def test_every_layout_is_submitted_scored_and_read_back(
    served: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, layout: Layout
) -> None:
    monkeypatch.setenv("KAGGLERUN_WORKSPACE", str(served.root))
    found = compete(served, layout, tmp_path)
    assert found.server == pytest.approx(found.own, abs=1e-5)
    assert found.same_file and found.like_sample
    assert [one for one in found.findings if "are empty" not in one] == []
    assert found.agrees

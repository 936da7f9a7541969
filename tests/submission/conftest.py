"""Fixtures for the tests of submissions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from local_kaggle import ScriptedKaggle

from kagglerun.config.card import Card, CardFiles
from kagglerun.workspace import CompetitionPaths, Workspace

MakeCard = Callable[..., Card]


@pytest.fixture
def paths(workspace: Workspace) -> CompetitionPaths:
    """The files of a competition."""
    found = workspace.competition("coins")
    found.data.mkdir(parents=True)
    return found


@pytest.fixture
def make_card(paths: CompetitionPaths) -> MakeCard:
    """Write a sample submission and return a card for it; by default three coins, heads or tails."""

    def make(sample: str = "id,face\n1,heads\n2,heads\n3,heads\n", **fields: Any) -> Card:
        (paths.data / "sample.csv").write_text(sample)
        values: dict[str, Any] = {
            "slug": "coins",
            "source": "practice",
            "ids": ("id",),
            "targets": ("face",),
            "submission_columns": ("face",),
            "task": "binary",
            "classes": ("heads", "tails"),
            "modality": "table",
            "metric": "accuracy",
            "greater_is_better": True,
            "files": CardFiles(sample_submission="sample.csv"),
        }
        return Card(**{**values, **fields})

    return make


@pytest.fixture
def scripted() -> Iterator[ScriptedKaggle]:
    """A server that answers as told."""
    server = ScriptedKaggle()
    yield server
    server.close()

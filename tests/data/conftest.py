"""Competitions made in place: files by name, a card understood from them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pytest

from kagglerun.config.card import Card, CompetitionFacts
from kagglerun.data.understand import understand
from kagglerun.workspace import CompetitionPaths

Content = str | bytes | pd.DataFrame


@pytest.fixture
def competition(tmp_path: Path) -> Callable[[Mapping[str, Content]], CompetitionPaths]:
    """A function from file names and contents to a competition that holds them."""

    def make(files: Mapping[str, Content]) -> CompetitionPaths:
        paths = CompetitionPaths(tmp_path / "demo")
        shutil.rmtree(paths.data, ignore_errors=True)
        paths.data.mkdir(parents=True)
        for name, content in files.items():
            path = paths.data / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, pd.DataFrame):
                content.to_csv(path, index=False)
            elif isinstance(content, str):
                path.write_text(content, "utf-8")
            else:
                path.write_bytes(content)
        return paths

    return make


@pytest.fixture
def understood(competition: Callable[..., CompetitionPaths]) -> Callable[..., Card]:
    """A function from files, Kaggle's name of the metric and a written card to the card that is inferred."""

    def make(files: Mapping[str, Content], metric: str | None = None, written: Card | None = None) -> Card:
        paths = competition(files)
        facts = CompetitionFacts(slug="demo", evaluation_metric=metric)
        return understand(paths, facts, written, "kaggle")

    return make

"""Columns, classes and rows of a user's file that are mixed up, seen against a finished run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kagglerun.config.card import Card
from kagglerun.experiment.predictions import Predictions, write_predictions
from kagglerun.files import write_json, write_text
from kagglerun.submission.guard import inspect_file
from kagglerun.workspace import CompetitionPaths, Workspace

MakeCard = Callable[..., Card]
ROWS = 400
WIDE: dict[str, Any] = {
    "task": "multiclass",
    "classes": ("a", "b", "c"),
    "submission_columns": ("c", "a", "b"),
    "metric": "log_loss",
}


@pytest.fixture
def numbers() -> np.random.Generator:
    return np.random.default_rng(0)


def _run(workspace: Workspace, values: np.ndarray, names: tuple[str, ...]) -> None:
    """A finished run with these test predictions."""
    run = workspace.run("coins", "first")
    write_text(run.config, "model: {kind: tabular_boosting}\n")
    write_json(run.status, {"state": "FINISHED", "started": "2026-01-01T00:00:00+00:00"})
    write_json(run.metrics, {"score": 0.5, "fold_scores": [], "metric": "auc", "greater_is_better": True})
    write_predictions(run.test, Predictions(pd.DataFrame({"id": np.arange(ROWS)}), values, names))


def _said(workspace: Workspace, paths: CompetitionPaths, card: Card, table: pd.DataFrame) -> list[str]:
    mine = paths.folder / "mine.csv"
    table.insert(0, "id", np.arange(ROWS))
    table.to_csv(mine, index=False)
    return list(inspect_file(mine, paths, card, workspace=workspace).warnings)


def _sample(columns: str, value: str) -> str:
    return f"id,{columns}\n" + "".join(f"{row},{value}\n" for row in range(ROWS))


def test_a_file_that_runs_against_the_run_is_told_and_one_that_agrees_is_not(
    workspace: Workspace, paths: CompetitionPaths, make_card: MakeCard, numbers: np.random.Generator
) -> None:
    card = make_card(_sample("face", "0.5"), metric="auc")
    truth = numbers.uniform(size=ROWS)
    _run(workspace, np.clip(truth + numbers.normal(0, 0.2, ROWS), 0, 1)[:, None], ("face",))
    ours = np.clip(truth + numbers.normal(0, 0.2, ROWS), 0.01, 0.99)
    assert _said(workspace, paths, card, pd.DataFrame({"face": ours})) == []
    [inverted] = _said(workspace, paths, card, pd.DataFrame({"face": 1 - ours}))
    assert "'face' runs against the run first's (rank correlation -0." in inverted
    [shuffled] = _said(workspace, paths, card, pd.DataFrame({"face": np.random.default_rng(5).permutation(ours)}))
    assert "has nothing in common with the run first's" in shuffled


def test_swapped_probability_columns_are_named(
    workspace: Workspace, paths: CompetitionPaths, make_card: MakeCard, numbers: np.random.Generator
) -> None:
    card = make_card(_sample("c,a,b", "0,0,0"), **WIDE)
    values = numbers.dirichlet((1, 1, 1), ROWS)
    _run(workspace, values, ("a", "b", "c"))
    assert _said(workspace, paths, card, pd.DataFrame({"c": values[:, 2], "a": values[:, 0], "b": values[:, 1]})) == []
    said = _said(workspace, paths, card, pd.DataFrame({"c": values[:, 2], "a": values[:, 1], "b": values[:, 0]}))
    assert len(said) == 1 and "'a' goes with 'b' of the run first (rank correlation 1.00)" in said[0]


def test_classes_that_are_renamed_and_rows_that_are_shuffled_are_told_of_labels(
    workspace: Workspace, paths: CompetitionPaths, make_card: MakeCard, numbers: np.random.Generator
) -> None:
    card = make_card(_sample("face", "heads"))
    chance = numbers.uniform(size=ROWS)
    _run(workspace, chance[:, None], ("face",))
    right = np.where(chance + numbers.normal(0, 0.1, ROWS) >= 0.5, "tails", "heads")
    assert _said(workspace, paths, card, pd.DataFrame({"face": right})) == []
    wrong = np.where(right == "heads", "tails", "heads")
    [said] = _said(workspace, paths, card, pd.DataFrame({"face": wrong}))
    assert "where the file says 'tails', the run first says 'heads'" in said or "says 'heads', the run first" in said
    [shuffled] = _said(workspace, paths, card, pd.DataFrame({"face": numbers.permutation(right)}))
    assert "has nothing in common with the run first's (they agree for" in shuffled


def test_numbers_of_a_regression_are_compared_too(
    workspace: Workspace, paths: CompetitionPaths, make_card: MakeCard, numbers: np.random.Generator
) -> None:
    card = make_card(_sample("face", "0"), task="regression", classes=None, metric="rmse")
    values = numbers.normal(size=ROWS)
    _run(workspace, values[:, None], ("face",))
    assert _said(workspace, paths, card, pd.DataFrame({"face": values * 2 + 1})) == []
    assert len(_said(workspace, paths, card, pd.DataFrame({"face": -values}))) == 1


def test_a_run_whose_predictions_do_not_fit_any_more_is_no_reference(
    workspace: Workspace, paths: CompetitionPaths, make_card: MakeCard, numbers: np.random.Generator
) -> None:
    card = make_card(_sample("face", "0.5"), metric="auc")
    _run(workspace, numbers.uniform(size=(ROWS, 1)), ("face",))
    run = workspace.run("coins", "first")
    write_predictions(run.test, Predictions(pd.DataFrame({"id": np.arange(9)}), np.zeros((9, 1)), ("face",)))
    assert _said(workspace, paths, card, pd.DataFrame({"face": numbers.uniform(size=ROWS)})) == []

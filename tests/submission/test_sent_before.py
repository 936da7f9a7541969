"""A file against those that were sent before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kagglerun.config.card import Card
from kagglerun.files import sha256_of_file
from kagglerun.submission.guard import inspect_file
from kagglerun.submission.ledger import LedgerEntry, add_entry
from kagglerun.workspace import CompetitionPaths, Workspace

MakeCard = Callable[..., Card]
ROWS = 1000


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(0).uniform(0.05, 0.95, ROWS)


def _text(values: Any) -> str:
    return "id,face\n" + "".join(f"{row},{value}\n" for row, value in enumerate(values, start=1))


def _sent(workspace: Workspace, file: Path, text: str, state: Any = "sent", score: float | None = 0.81) -> None:
    file.write_text(text)
    entry = LedgerEntry(
        "practice/coins", sha256_of_file(file), str(file), "a-run", "", state, ref=7, public_score=score
    )
    add_entry(workspace.ledger, entry)


def _said(workspace: Workspace, paths: CompetitionPaths, card: Card, text: str) -> list[str]:
    mine = paths.folder / "mine.csv"
    mine.write_text(text)
    return list(inspect_file(mine, paths, card, workspace=workspace).warnings)


def _card(make_card: MakeCard, metric: str = "log_loss") -> Card:
    return make_card(_text([0.5] * ROWS), metric=metric)


def test_the_same_file_and_the_same_values_are_told_with_the_score_they_got(
    workspace: Workspace, paths: CompetitionPaths, make_card: MakeCard, values: np.ndarray
) -> None:
    card, text = _card(make_card), _text(values.round(3))
    _sent(workspace, paths.folder / "earlier.csv", text)
    [same] = _said(workspace, paths, card, text)
    assert "the very same file was sent before: submission 7 of 20" in same and "public score is 0.81000" in same
    [alike] = _said(workspace, paths, card, _text([f"{value:.3f}0" for value in values.round(3)]))
    assert alike.startswith("it holds the same values as submission 7") and "from the run a-run" in alike


def test_nearly_the_same_numbers_are_told_and_other_ones_are_not(
    workspace: Workspace, paths: CompetitionPaths, make_card: MakeCard, values: np.ndarray
) -> None:
    card, numbers = _card(make_card), np.random.default_rng(1)
    _sent(workspace, paths.folder / "earlier.csv", _text(values))
    [near] = _said(workspace, paths, card, _text(values + numbers.normal(0, 1e-4, ROWS)))
    assert "its ranks agree to 1.00000 (Spearman) with those of submission 7" in near
    assert _said(workspace, paths, card, _text(np.clip(values + numbers.normal(0, 0.02, ROWS), 0.01, 0.99))) == []


def test_the_same_order_is_the_same_score_where_only_the_order_counts(
    workspace: Workspace, paths: CompetitionPaths, make_card: MakeCard, values: np.ndarray
) -> None:
    _sent(workspace, paths.folder / "earlier.csv", _text(values))
    squared = _text(values**2)
    [said] = _said(workspace, paths, _card(make_card, "auc"), squared)
    assert "puts the rows into the same order, which is all that auc sees, as submission 7" in said
    assert _said(workspace, paths, _card(make_card), squared) == []


def test_labels_are_compared_cell_by_cell(
    workspace: Workspace, paths: CompetitionPaths, make_card: MakeCard, values: np.ndarray
) -> None:
    card = make_card(_text(["heads"] * ROWS))
    labels = np.where(values > 0.5, "heads", "tails")
    _sent(workspace, paths.folder / "earlier.csv", _text(labels), score=None)
    other = labels.copy()
    other[:3] = np.where(labels[:3] == "heads", "tails", "heads")
    [said] = _said(workspace, paths, card, _text(other))
    assert "99.7% of its cells are those of submission 7" in said and "public score is not known" in said
    other[:10] = np.where(labels[:10] == "heads", "tails", "heads")
    assert _said(workspace, paths, card, _text(other)) == []


def test_what_was_not_sent_or_is_gone_or_changed_counts_for_nothing(
    workspace: Workspace, paths: CompetitionPaths, make_card: MakeCard, values: np.ndarray
) -> None:
    card = _card(make_card)
    _sent(workspace, paths.folder / "failed.csv", _text(values), state="failed")
    _sent(workspace, paths.folder / "gone.csv", _text(values.round(8)))
    (paths.folder / "gone.csv").unlink()
    _sent(workspace, paths.folder / "changed.csv", _text(values.round(9)))
    (paths.folder / "changed.csv").write_text(_text(values))
    assert _said(workspace, paths, card, _text(values.round(7))) == []


def test_rows_in_another_order_are_compared_by_their_ids(
    workspace: Workspace, paths: CompetitionPaths, make_card: MakeCard, values: np.ndarray
) -> None:
    card = _card(make_card)
    _sent(workspace, paths.folder / "earlier.csv", _text(values))
    header, *rows = _text(values).splitlines()
    said = _said(workspace, paths, card, "\n".join([header, *reversed(rows), ""]))
    assert [line for line in said if "the same values as submission 7" in line]

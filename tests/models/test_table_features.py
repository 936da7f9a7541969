from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from kagglerun import metrics
from kagglerun.config.card import Task
from kagglerun.models.table_features import encode_tables
from kagglerun.models.tabular_neural import NumberScaling
from kagglerun.models.targets import Head, TargetTransform


def make_tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    train = pd.DataFrame(
        {
            "number": [1.0, np.nan, np.inf, 4.0],
            "flag": [True, False, True, True],
            "word": ["b", "a", None, "b"],
            "constant": [7, 7, 7, 7],
            "day": pd.to_datetime(["2024-01-01", "2024-02-29", None, "2024-12-31"]),
        }
    )
    test = pd.DataFrame(
        {
            "number": [5.0],
            "flag": [False],
            "word": ["never seen in training"],
            "constant": [7],
            "day": pd.to_datetime(["2025-01-01"]),
        }
    )
    return train, test


def test_columns_become_numbers_and_codes_the_same_way_in_both_tables() -> None:
    train, test, notes = encode_tables(*make_tables())
    assert train.names == ("number", "flag", "day.year", "day.month", "day.day", "day.weekday", "day.days", "word")
    assert train.names == test.names and train.sizes == test.sizes == (3,)
    assert np.isnan(train.numbers[1:3, 0]).all(), "missing and infinite values are missing"
    assert train.numbers[1, 2:6].tolist() == [2024, 2, 29, 3]
    assert train.codes[:, 0].tolist() == [1, 0, -1, 1] and test.codes[0, 0] == 2
    assert notes == ("column constant left out: it has a single value",)
    assert train.category_positions == [7] and np.isnan(train.matrix()[2, 7])


def test_names_and_free_text_are_left_out_with_a_note() -> None:
    names = pd.DataFrame({"name": [f"person {number}" for number in range(100)], "x": range(100)})
    train, _, notes = encode_tables(names.iloc[:80], names.iloc[80:])
    assert train.names == ("x",)
    assert "column name left out" in notes[0]


def test_tables_without_columns_are_no_error() -> None:
    train, _, _ = encode_tables(pd.DataFrame(index=range(3)), pd.DataFrame(index=range(2)))
    assert train.names == () and train.matrix().shape == (3, 0)


def test_numbers_are_scaled_by_the_training_rows_and_missing_ones_flagged() -> None:
    numbers = np.array([[1.0, np.nan, np.nan], [3.0, 2.0, np.nan]])
    scaling = NumberScaling.fit(numbers)
    scaled = scaling.apply(np.array([[3.0, np.nan, 5.0], [1e9, 2.0, np.nan]]))
    assert scaled.dtype == np.float32 and scaled.shape == (2, 5)
    assert scaled[0].tolist() == [1.0, 0.0, 5.0, 1.0, 0.0]
    assert scaled[1, 0] == 5.0, "outliers are clipped"


@pytest.mark.parametrize("name", ["rmsle", "rmse"])
def test_what_is_learnt_turns_back_into_the_targets(name: str) -> None:
    targets = np.array([[10.0], [200.0], [3000.0]])
    transform = TargetTransform.fit(targets, metrics.get(name), standardise=True)
    assert transform.logarithm == (name == "rmsle")
    assert np.allclose(transform.inverse(transform.forward(targets)), targets)
    assert np.allclose(transform.forward(targets).std(), 1)


def test_a_constant_target_is_no_division_by_zero() -> None:
    targets = np.full((4, 1), 3.0)
    transform = TargetTransform.fit(targets, metrics.get("rmse"), standardise=True)
    assert np.isfinite(transform.forward(targets)).all()


def test_heads_turn_logits_into_predictions_of_the_task() -> None:
    logits = torch.tensor([[0.0, 2.0], [1.0, 1.0]], dtype=torch.float64)
    multiclass = Head(Task.MULTICLASS, metrics.get("accuracy"), None, 0.0)
    assert torch.allclose(multiclass.activate(logits).sum(dim=1), torch.ones(2, dtype=torch.float64))
    multilabel = Head(Task.MULTILABEL, metrics.get("columnwise_auc"), None, 0.0)
    assert torch.allclose(multilabel.activate(logits), logits.sigmoid())
    assert multilabel.tensor(np.array([[1.0, 0.0]])).dtype == torch.float32
    binary = Head(Task.BINARY, metrics.get("auc"), None, 0.1)
    assert binary.tensor(np.array([0, 1])).shape == (2, 1)
    smoothed = binary.loss(torch.tensor([[20.0]]), torch.tensor([[1.0]]))
    plain = Head(Task.BINARY, metrics.get("auc"), None, 0.0).loss(torch.tensor([[20.0]]), torch.tensor([[1.0]]))
    assert float(smoothed) > float(plain)
    median = Head(Task.REGRESSION, metrics.get("mae"), None, 0.0)
    assert float(median.loss(torch.tensor([[3.0]]), torch.tensor([[1.0]]))) == 2.0

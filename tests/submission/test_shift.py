"""Predictions for test rows against out-of-fold ones: alarms where something is wrong, and seldom where nothing is."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kagglerun.config.card import Card
from kagglerun.experiment.predictions import Predictions, read_predictions, write_predictions
from kagglerun.files import write_json
from kagglerun.randomness import generator
from kagglerun.submission.drift import effective_size, estimate_drift
from kagglerun.submission.findings import Finding
from kagglerun.submission.shift import LEVEL, check_shift, distance
from kagglerun.workspace import RunPaths, Workspace

FOLDS = 5


def _world(number: int, n: int = 1000, m: int = 600, drift: float = 0.0) -> SimpleNamespace:
    """Training and test features; with a drift the first one moves."""
    numbers = generator(number, "a world")
    train, test = numbers.normal(size=(n, 4)), numbers.normal(size=(m, 4))
    test[:, 0] += drift
    tables = [pd.DataFrame(rows, columns=list("abcd")) for rows in (train, test)]
    card = Card(slug="made", ids=("id",), targets=("y",), submission_columns=("y",))
    return SimpleNamespace(train=tables[0], test=tables[1], features=tuple("abcd"), groups=None, card=card)


def _predict(rows: np.ndarray, fold: int, noise: np.random.Generator) -> np.ndarray:
    """What the model of a fold says: each weighs the features a little otherwise."""
    weights = np.array([1.0, 0.6, -0.4, 0.2]) + generator(fold, "a model").normal(0, 0.1, 4)
    return 1 / (1 + np.exp(-(rows @ weights + noise.normal(0, 0.3, len(rows)))))


def _write(workspace: Workspace, number: int, data: Any, spoil: Any = None, folds: bool = True) -> RunPaths:
    """A run's predictions; `spoil` changes the test features before they are predicted, as a fault would."""
    run = workspace.run("made", f"run-{number}")
    numbers = generator(number, "predictions")
    train, test = data.train.to_numpy(), data.test.to_numpy().copy()
    if spoil is not None:
        spoil(test)
    of_fold = numbers.permutation(len(train)) % FOLDS
    oof, mean = np.zeros(len(train)), np.zeros(len(test))
    for fold in range(FOLDS):
        rows = np.flatnonzero(of_fold == fold)
        oof[rows], predicted = _predict(train[rows], fold, numbers), _predict(test, fold, numbers)
        mean += predicted / FOLDS
        if folds:
            valid = Predictions(pd.DataFrame({"id": rows}), oof[rows, None], ("y",), np.full(len(rows), fold), rows)
            write_predictions(run.fold(fold).oof, valid)
            write_predictions(run.fold(fold).test, Predictions(_ids(test), predicted[:, None], ("y",)))
    every = np.arange(len(train))
    write_predictions(run.oof, Predictions(pd.DataFrame({"id": every}), oof[:, None], ("y",), of_fold, every))
    write_predictions(run.test, Predictions(_ids(test), mean[:, None], ("y",)))
    write_json(run.metrics, {"folds": list(range(FOLDS)) if folds else []}, durable=False)
    return run


def _ids(test: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"id": np.arange(len(test)) + 10**6})


def _zero(test: np.ndarray) -> None:
    test[:, 0] = 0.0


def _found(workspace: Workspace, number: int, *, drift: float = 0.0, **how: Any) -> list[Finding]:
    data = _world(number, drift=drift)
    return list(check_shift(_write(workspace, number, data, **how), data.card, lambda: data))


def test_a_feature_that_is_made_otherwise_for_test_rows_is_a_warning(workspace: Workspace) -> None:
    [finding] = _found(workspace, 1, spoil=_zero)
    assert "the mean of 'y' is" in finding.what and "Kolmogorov-Smirnov" in finding.what
    assert "once in 100 runs" in finding.why


@pytest.mark.parametrize("folds", [True, False])
def test_a_drift_of_the_features_explains_a_shift_of_the_predictions(workspace: Workspace, folds: bool) -> None:
    assert _found(workspace, 2, drift=0.6, folds=folds) == []
    data = _world(2, drift=0.6)
    assert estimate_drift(data).auc > 0.6


def test_a_fault_is_found_behind_a_drift(workspace: Workspace) -> None:
    [finding] = _found(workspace, 3, drift=0.6, spoil=_zero)
    assert "after training rows are weighted" in finding.what


def test_predictions_of_several_models_are_compared_by_their_means(workspace: Workspace) -> None:
    assert _found(workspace, 4, folds=False) == []

    def moved(test: np.ndarray) -> None:
        test += 1.0

    assert len(_found(workspace, 5, folds=False, spoil=moved)) == 1


def test_rows_of_a_group_count_once(workspace: Workspace) -> None:
    """Ten groups that differ are ten draws: their spread is no shift."""
    numbers = generator(6, "groups")
    data = _world(6, n=1000, m=1000)
    for table in (data.train, data.test):
        table["g"] = np.repeat(np.arange(10), 100)
        table["a"] = np.repeat(numbers.normal(0, 2, 10), 100)
    grouped = SimpleNamespace(**{**vars(data), "groups": data.train["g"].to_numpy()})
    grouped.card = data.card.model_copy(update={"group": "g"})
    features = SimpleNamespace(**{**vars(data), "train": data.train[list("abcd")], "test": data.test[list("abcd")]})
    run = _write(workspace, 6, features)
    assert list(check_shift(run, grouped.card, lambda: grouped)) == []


def test_columns_that_part_the_tables_are_left_out_and_named() -> None:
    data = _world(7)
    data.train["when"], data.test["when"] = np.arange(1000), np.arange(600) + 5000
    data.train["word"], data.test["word"] = "x", "y"
    drift = estimate_drift(SimpleNamespace(**{**vars(data), "features": (*data.features, "when", "word")}))
    assert drift is not None and drift.apart == ("when", "word") and drift.auc < 0.6


def test_weights_make_training_rows_look_like_test_rows() -> None:
    data = _world(8, n=4000, m=4000, drift=0.5)
    drift = estimate_drift(data)
    assert drift is not None
    assert np.average(data.train["a"], weights=drift.weights) == pytest.approx(0.5, abs=0.12)
    assert 0.4 * 4000 < effective_size(drift.weights) < 4000


def test_the_distance_is_that_of_kolmogorov_and_smirnov() -> None:
    from scipy.stats import ks_2samp

    numbers = generator(9, "values")
    first, second = numbers.normal(size=80).round(1), numbers.normal(0.3, size=50).round(1)
    assert distance(first, second) == pytest.approx(ks_2samp(first, second).statistic)
    assert distance(first, second, np.ones(80)) == pytest.approx(distance(first, second))
    assert distance(np.array([0.0, 1.0]), np.array([1.0]), np.array([1.0, 3.0])) == pytest.approx(0.25)


@pytest.mark.long
def test_without_a_drift_alarms_are_as_rare_as_stated(workspace: Workspace) -> None:
    alarms = sum(bool(_found(workspace, number, folds=number % 2 == 0)) for number in range(100, 280))
    assert alarms <= 180 * LEVEL + 3 * np.sqrt(180 * LEVEL)


def test_repeated_ids_count_once(workspace: Workspace) -> None:
    data = _world(10, n=1000, m=60)
    run = _write(workspace, 10, data)
    for fold in range(FOLDS):
        test = read_predictions(run.fold(fold).test)
        many = np.tile(np.arange(60), 50)
        spread = replace(test, ids=test.ids.iloc[many].reset_index(drop=True), values=test.values[many])
        write_predictions(run.fold(fold).test, spread)
    assert list(check_shift(run, data.card, lambda: data)) == []

"""How much more likely a training row would be among the test rows: weights that undo the drift of the features.

A classifier tells training from test rows (adversarial validation); its odds are the ratio of the two densities
(Sugiyama, Suzuki & Kanamori 2012, Density Ratio Estimation in Machine Learning, ch. 4). Each row's odds come from
models that were fitted without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from kagglerun.data.tables import CompetitionData, is_text
from kagglerun.randomness import generator

_MOST_ROWS = 20_000
"""Rows a side that the classifier sees; more change a weight by little."""
_PARTS = 4
_ROWS_OF_A_TREE = 40
"""Fewer rows get fewer trees, so that chance does not become a weight."""
_APART = 0.98
"""A column that alone tells the two sets apart this surely (AUC) leaves nothing to weight by."""
_MOST_ODDS = 50.0
_MOST_CATEGORIES = 200


@dataclass(frozen=True)
class Drift:
    """How training and test rows differ.

    Attributes:
        weights: (n_train,) float64, one on average; NaN for rows that were not looked at.
        auc: how surely the two sets are told apart, 0.5 for not at all.
        apart: columns that part the two sets by themselves and are left out.
    """

    weights: NDArray[np.float64]
    auc: float
    apart: tuple[str, ...]


def estimate_drift(data: CompetitionData, rows: NDArray[np.int64] | None = None) -> Drift | None:
    """Weight training rows so that their features look like the test rows'.

    Args:
        data: the competition's tables; their shared columns are compared as they are, before any hooks.
        rows: the training rows that matter, (n,) positions; all by default.

    Returns:
        The drift; None where the tables share no column that says anything.
    """
    chosen = np.arange(len(data.train)) if rows is None else np.asarray(rows)
    train_rows, test_rows = _some(chosen, "train"), _some(np.arange(len(data.test)), "test")
    train, test = _encoded(data.train.iloc[train_rows], data.test.iloc[test_rows], list(data.features))
    n_train, is_test = len(train), np.repeat([0, 1], [len(train), len(test)])
    both = pd.concat([train, test], ignore_index=True)
    apart = [str(name) for name in both if _parts(both[name].to_numpy(np.float64), is_test)]
    both = both.drop(columns=apart)
    if both.empty or not len(both.columns):
        return None
    odds = _odds(both.to_numpy(np.float64), is_test)
    weights = np.full(len(data.train), np.nan)
    weights[train_rows] = odds[:n_train] / odds[:n_train].mean()
    return Drift(weights, _auc(odds, is_test), tuple(apart))


def effective_size(weights: NDArray[np.float64]) -> float:
    """How many rows of equal weight would tell as much (Kish 1965)."""
    return float(weights.sum() ** 2 / (weights**2).sum()) if len(weights) else 0.0


def _some(rows: NDArray[np.int64], which: str) -> NDArray[np.int64]:
    if len(rows) <= _MOST_ROWS:
        return rows
    return np.sort(generator(0, "drift rows", which).choice(rows, _MOST_ROWS, replace=False))


def _encoded(train: pd.DataFrame, test: pd.DataFrame, names: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The columns as numbers: categories by how often they come, other text by its length."""
    both = pd.concat([train[names], test[names]], ignore_index=True)
    made = {str(name): _numbers(both[name]) for name in names}
    table = pd.DataFrame(made).dropna(axis="columns", how="all")
    return table.iloc[: len(train)].reset_index(drop=True), table.iloc[len(train) :].reset_index(drop=True)


def _numbers(column: pd.Series[Any]) -> NDArray[np.float64]:
    if pd.api.types.is_datetime64_any_dtype(column):
        return np.asarray(column.astype("int64"), dtype=np.float64)
    if not is_text(column) and not isinstance(column.dtype, pd.CategoricalDtype):
        values = np.asarray(pd.to_numeric(column, errors="coerce"), dtype=np.float64)
        return np.where(np.isfinite(values), values, np.nan)
    texts = column.astype(object).map(str).where(column.notna())
    counts = texts.value_counts()
    if len(counts) > _MOST_CATEGORIES:
        return np.asarray(texts.str.len(), dtype=np.float64)
    return np.asarray(texts.map({text: float(place) for place, text in enumerate(counts.index)}), dtype=np.float64)


def _parts(values: NDArray[np.float64], is_test: NDArray[np.int64]) -> bool:
    found = _auc(np.where(np.isnan(values), -np.inf, values), is_test)
    return max(found, 1 - found) > _APART


def _auc(values: NDArray[np.float64], is_test: NDArray[np.int64]) -> float:
    """Area under the ROC curve (the Mann-Whitney statistic)."""
    ranks, n_test = rankdata(values), int(is_test.sum())
    n_train = len(is_test) - n_test
    return float((ranks[is_test == 1].sum() - n_test * (n_test + 1) / 2) / (n_test * n_train))


def _odds(features: NDArray[np.float64], is_test: NDArray[np.int64]) -> NDArray[np.float64]:
    """p(test) / p(train) of each row, of a classifier that was fitted on the other rows."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    part = generator(0, "drift parts").permutation(len(features)) % _PARTS
    share = float(is_test.mean())
    odds = np.ones(len(features))
    trees = int(np.clip(len(features) / _ROWS_OF_A_TREE, 20, 80))
    for number in range(_PARTS):
        model = HistGradientBoostingClassifier(max_iter=trees, max_leaf_nodes=8, l2_regularization=1.0, random_state=0)
        with threadpool_limits(1):  # on a busy machine threads that wait for one another take ten times as long
            model.fit(features[part != number], is_test[part != number])
            chance = np.clip(model.predict_proba(features[part == number])[:, 1], 1e-3, 1 - 1e-3)
        odds[part == number] = chance / (1 - chance) * (1 - share) / share
    return np.clip(odds, 1 / _MOST_ODDS, _MOST_ODDS)

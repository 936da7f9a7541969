from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from kagglerun import metrics
from kagglerun.config.postprocess import PostprocessConfig
from kagglerun.experiment.postprocess.fit import fit
from kagglerun.experiment.postprocess.nested import nested
from tests.experiment.postprocess.problems import made_card, problem, sigmoid


def drawn(numbers: np.random.Generator, n_rows: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rare positives and probabilities that know a little of them."""
    odds = numbers.normal(-2.2, 1.0, n_rows)
    return (numbers.random(n_rows) < sigmoid(odds)).astype(np.int64), sigmoid(odds)[:, None]


def test_the_nested_score_is_not_optimistic_while_the_naive_one_is() -> None:
    numbers = np.random.default_rng(11)
    card = made_card("f1", "binary", classes=["no", "yes"])
    fresh_truths, fresh = drawn(numbers, 30_000)
    naive, honest, raw = [], [], []
    for _ in range(150):
        truths, values = drawn(numbers, 200)
        one, rows = problem(card, truths), np.arange(200)
        found = nested(one, rows, rows % 5, values)
        assert found is not None
        true = metrics.get("f1")(fresh_truths, (found.postprocess.apply(fresh)[:, 0] >= 0.5).astype(int))
        naive.append(one.score(rows, found.postprocess.apply(values)) - true)
        honest.append(found.score - true)
        raw.append(found.raw_score - true)
    error = np.std(honest) / np.sqrt(len(honest))
    assert np.mean(honest) < 2 * error, "the nested score promises no more than new rows give"
    assert np.mean(honest) > -0.04, "nor much less"
    assert np.mean(naive) > 0.03 > 4 * error, "what is judged on the rows it was fitted on promises too much"
    assert np.mean(raw) < -0.1, "without a threshold of its own F1 is far lower"


def test_no_row_is_mapped_by_what_was_fitted_on_it() -> None:
    truths, values = drawn(np.random.default_rng(2), 300)
    card, rows = made_card("f1", "binary", classes=["no", "yes"]), np.arange(300)
    folds = rows % 3
    first = nested(problem(card, truths), rows, folds, values)
    turned = np.where(folds == 1, 1 - truths, truths)
    second = nested(problem(card, turned), rows, folds, values)
    assert first is not None and second is not None
    assert (first.values[folds == 1] == second.values[folds == 1]).all()
    assert (first.values[folds != 1] != second.values[folds != 1]).any()
    for fold in range(3):
        others = folds != fold
        own = fit(problem(card, truths), rows[others], values[others])
        assert (first.values[~others] == own.apply(values[~others])).all()


def test_scores_are_those_of_the_mapped_values_in_the_order_asked() -> None:
    truths, values = drawn(np.random.default_rng(3), 300)
    card, rows = made_card("f1", "binary", classes=["no", "yes"]), np.arange(300)
    one = problem(card, truths)
    found = nested(one, rows, rows % 3, values, [2, 0, 1])
    assert found is not None
    assert found.score == one.score(rows, found.values) and found.raw_score == one.score(rows, values)
    for fold, score, raw in zip([2, 0, 1], found.fold_scores, found.raw_fold_scores, strict=True):
        mask = rows % 3 == fold
        assert score == one.score(rows[mask], found.values[mask]) and raw == one.score(rows[mask], values[mask])


def test_a_run_of_one_fold_is_judged_in_parts() -> None:
    truths, values = drawn(np.random.default_rng(4), 300)
    card, rows = made_card("f1", "binary", classes=["no", "yes"]), np.arange(300)
    found = nested(problem(card, truths), rows, np.full(300, 3), values)
    assert found is not None and len(found.fold_scores) == 1
    assert found.fold_scores[0] == found.score
    maps = {tuple(found.values[rows * 5 // 300 == part][:, 0] > 0.5) for part in range(5)}
    assert len(maps) == 5


def test_what_needs_nothing_gets_nothing() -> None:
    truths, values = drawn(np.random.default_rng(5), 60)
    rows = np.arange(60)
    for metric in ("auc", "log_loss", "accuracy"):
        assert nested(problem(made_card(metric, "binary", classes=["a", "b"]), truths), rows, rows % 3, values) is None
    card = made_card("f1", "binary", classes=["no", "yes"])
    assert nested(problem(card, truths, PostprocessConfig(method="none")), rows, rows % 3, values) is None


@pytest.mark.parametrize("truth", [0, 1])
def test_folds_without_one_of_the_classes_are_no_trouble(truth: int) -> None:
    values = np.random.default_rng(6).random((40, 1))
    card, rows = made_card("f1", "binary", classes=["no", "yes"]), np.arange(40)
    truths = np.full(40, truth)
    truths[0] = 1 - truth
    found = nested(problem(card, truths), rows, rows % 4, values)
    assert found is not None and np.isfinite(found.values).all()

"""Scoring a submission against a solution: alignment by id, and the errors Kaggle would give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kagglerun import metrics
from kagglerun.errors import DataError

SOLUTION = pd.DataFrame({"id": [1, 2, 3, 4], "y": [0, 1, 1, 0], "Usage": ["Public", "Public", "Private", "Private"]})


def score(name: str, submission: dict[str, Any], solution: pd.DataFrame = SOLUTION, **more: Any) -> float:
    return metrics.get(name).score_frames(pd.DataFrame(submission), solution, ["id"], **more)


def test_rows_are_aligned_by_id() -> None:
    assert score("accuracy", {"id": [4, 3, 2, 1], "y": [0, 1, 1, 1]}) == 0.75


def test_ids_as_text_equal_ids_as_numbers() -> None:
    assert score("accuracy", {"id": ["4", "3", "2", "1"], "y": [0, 1, 1, 0]}) == 1.0
    solution = pd.DataFrame({"id": ["007", "7"], "y": [0, 1]})
    assert score("accuracy", {"id": ["7", "007"], "y": [1, 0]}, solution) == 1.0


@pytest.mark.parametrize(
    ("truth", "predicted"),
    [
        ([0, 1, 1, 0], ["0", "1", "1", "0"]),
        (["0", "1", "1", "0"], [0, 1, 1, 0]),
        ([0, 1, 1, 0], [0.0, 1.0, 1.0, 0.0]),
        ([False, True, True, False], ["False", "True", "True", "False"]),
        (["FALSE", "TRUE", "TRUE", "FALSE"], [False, True, True, False]),
        (["cat", "dog", "dog", "cat"], ["cat", "dog", "dog", "cat"]),
    ],
)
def test_labels_compare_by_what_they_say(truth: list, predicted: list) -> None:
    solution = pd.DataFrame({"id": [1, 2, 3, 4], "y": truth})
    for name in ("accuracy", "f1", "mcc", "f1_macro", "balanced_accuracy"):
        assert score(name, {"id": [1, 2, 3, 4], "y": predicted}, solution) == 1.0


def test_the_greater_of_two_labels_is_the_positive_one_unless_classes_say_otherwise() -> None:
    solution = pd.DataFrame({"id": [1, 2], "y": ["bad", "good"]})
    assert score("auc", {"id": [1, 2], "y": [0.1, 0.9]}, solution) == 1.0
    assert score("auc", {"id": [1, 2], "y": [0.1, 0.9]}, solution, classes=("good", "bad")) == 0.0


def test_one_probability_column_scores_against_labels() -> None:
    assert score("log_loss", {"id": [1, 2, 3, 4], "y": [0.5] * 4}) == pytest.approx(np.log(2))
    assert score("auc", {"id": [1, 2, 3, 4], "y": [0.1, 0.9, 0.8, 0.3]}) == 1.0


def test_wide_probabilities_score_against_one_label_column() -> None:
    solution = pd.DataFrame({"id": [1, 2], "label": ["dog", "cat"], "Usage": "Public"})
    wide = {"id": [2, 1], "cat": [3.0, 1.0], "dog": [1.0, 3.0], "fox": [0.0, 0.0]}
    assert score("log_loss", wide, solution) == pytest.approx(-np.log(0.75))


def test_wide_probabilities_score_against_columns_named_by_numbers() -> None:
    solution = pd.DataFrame({"id": [1, 2], "label": [1, 0]})
    assert score("log_loss", {"id": [1, 2], "0": [0.5, 0.5], "1": [0.5, 0.5]}, solution) == pytest.approx(np.log(2))


def test_wide_probabilities_score_against_one_hot_columns() -> None:
    solution = pd.DataFrame({"id": [1, 2], "cat": [0, 1], "dog": [1, 0]})
    wide = {"id": [1, 2], "dog": [0.75, 0.25], "cat": [0.25, 0.75]}
    assert score("log_loss", wide, solution) == pytest.approx(-np.log(0.75))
    with pytest.raises(DataError, match="not one-hot"):
        score("log_loss", wide, solution.assign(cat=1))


def test_several_targets_are_paired_by_name() -> None:
    solution = pd.DataFrame({"id": [1, 2], "a": [0, 1], "b": [1, 0]})
    flipped = {"id": [1, 2], "b": [0.9, 0.1], "a": [0.2, 0.7]}
    assert score("columnwise_auc", flipped, solution) == 1.0
    assert score("columnwise_rmse", flipped, solution) == pytest.approx((np.sqrt(0.065) + 0.1) / 2)


def test_a_submission_without_one_of_the_targets_is_not_scored_on_the_others() -> None:
    solution = pd.DataFrame({"id": [1, 2], "a": [0, 1], "b": [1, 0]})
    for name in ("columnwise_auc", "rmse", "columnwise_rmse"):
        with pytest.raises(DataError, match="it lacks b"):
            score(name, {"id": [1, 2], "a": [0.2, 0.7]}, solution)


def test_qwk_uses_the_ratings_own_distances() -> None:
    solution = pd.DataFrame({"id": [1, 2, 3], "y": [1, 2, 9]})
    expected = metrics.get("qwk")([1, 2, 9], [1, 9, 9])
    assert score("qwk", {"id": [1, 2, 3], "y": ["1", "9", "9"]}, solution) == pytest.approx(expected)


def test_qwk_counts_words_by_the_order_of_the_classes() -> None:
    solution = pd.DataFrame({"id": [1, 2, 3], "y": ["low", "mid", "top"]})
    classes = ("low", "mid", "top")
    expected = metrics.get("qwk")([0, 1, 2], [0, 2, 2])
    submission = {"id": [1, 2, 3], "y": ["low", "top", "top"]}
    assert score("qwk", submission, solution, classes=classes) == pytest.approx(expected)
    with pytest.raises(DataError, match="none of low, mid, top"):
        score("qwk", {"id": [1, 2, 3], "y": ["low", "top", "best"]}, solution, classes=classes)
    with pytest.raises(DataError, match="not numbers in column 'y'"):
        score("qwk", submission, solution)


def test_two_id_columns_name_a_row_together() -> None:
    solution = pd.DataFrame({"store": [1, 1, 2], "day": ["a", "b", "a"], "sales": [1.0, 2.0, 3.0]})
    submission = solution.iloc[::-1]
    assert metrics.get("rmse").score_frames(submission, solution, ["store", "day"]) == 0.0
    wrong = solution.assign(day=["a", "c", "a"])
    with pytest.raises(DataError, match=r"1 ids are missing, e\.g\. 1, b; 1 ids are not in the solution, e\.g\. 1, c"):
        metrics.get("rmse").score_frames(wrong, solution, ["store", "day"])


def test_without_ids_rows_pair_by_position() -> None:
    rmse = metrics.get("rmse")
    assert rmse.score_frames(pd.DataFrame({"y": [1.0, 2.0]}), pd.DataFrame({"y": [1.0, 2.0]}), []) == 0.0
    with pytest.raises(DataError, match="must have 2 rows; it has 1"):
        rmse.score_frames(pd.DataFrame({"y": [1.0]}), pd.DataFrame({"y": [1.0, 2.0]}), [])


@pytest.mark.parametrize(
    ("submission", "message"),
    [
        ({"id": [1, 2, 3], "y": [0, 1, 1]}, r"must have 4 rows; it has 3; 1 ids are missing, e\.g\. 4"),
        ({"id": [1, 2, 3, 4, 5], "y": [0, 1, 1, 0, 0]}, r"must have 4 rows; it has 5; 1 ids are not in the solution"),
        ({"id": [1, 2, 3, 9], "y": [0, 1, 1, 0]}, r"1 ids are missing, e\.g\. 4; 1 ids are not in .* e\.g\. 9"),
        ({"id": [1, 2, 3, 3], "y": [0, 1, 1, 0]}, r"duplicate ids: 1 rows, e\.g\. 3"),
        ({"id": [1, 2, 3, 4], "y": [0, None, 1, 0]}, "null values: 1 in column 'y'"),
        ({"id": [1, 2, 3, None], "y": [0, 1, 1, 0]}, "null values: 1 in column 'id'"),
        ({"id": [1, 2, 3, 4], "z": [0, 1, 1, 0]}, "it lacks y and z is not expected"),
        ({"id": [1, 2, 3, 4]}, "no column of predictions"),
        ({"Id": [1, 2, 3, 4], "y": [0, 1, 1, 0]}, "no column 'id'; it has: Id, y"),
        ({"id": [1, 2, 3, 4], "y": [0, 1, 1, 0], "more": [0, 0, 0, 0]}, "more is not expected"),
    ],
)
def test_a_submission_that_does_not_fit_is_refused(submission: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        score("accuracy", submission)


@pytest.mark.parametrize("value", ["high", np.inf])
def test_values_that_are_no_numbers_are_refused(value: object) -> None:
    with pytest.raises(DataError, match="not numbers in column 'y'"):
        score("rmse", {"id": [1, 2, 3, 4], "y": [0.0, 1.0, value, 1.0]})


@settings(max_examples=25, deadline=None)
@given(st.permutations(list(range(8))), st.integers(0, 2**32 - 1))
def test_the_order_of_a_submissions_rows_and_columns_does_not_matter(order: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    solution = pd.DataFrame({"id": [f"r{i}" for i in range(8)], "a": [0, 1] * 4, "b": [1, 1, 0, 0] * 2})
    submission = pd.DataFrame({"id": solution["id"], "a": rng.random(8), "b": rng.random(8)})
    shuffled = submission.iloc[order][["b", "id", "a"]]
    for name in ("columnwise_auc", "columnwise_log_loss", "mae"):
        metric = metrics.get(name)
        straight = metric.score_frames(submission, solution, ["id"])
        assert metric.score_frames(shuffled, solution, ["id"]) == straight

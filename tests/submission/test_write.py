"""Submission files: rows, order and columns of the sample; labels as the training table has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kagglerun.config.card import Card
from kagglerun.errors import DataError
from kagglerun.experiment.predictions import Predictions
from kagglerun.submission.label_spelling import label_texts
from kagglerun.submission.write import write_submission
from kagglerun.workspace import CompetitionPaths

MakeCard = Callable[..., Card]


def _predictions(ids: Any, values: Any) -> Predictions:
    table = ids if isinstance(ids, pd.DataFrame) else pd.DataFrame({"id": ids})
    array = np.asarray(values, dtype=np.float64)
    array = array[:, None] if array.ndim == 1 else array
    return Predictions(table, array, tuple(map(str, range(array.shape[1]))))


def _written(paths: CompetitionPaths, card: Card, predictions: Predictions) -> str:
    return write_submission(paths, card, predictions, paths.folder / "submission.csv").read_text()


def test_rows_come_in_the_samples_order_whatever_the_predictions_order(
    paths: CompetitionPaths, make_card: MakeCard
) -> None:
    card = make_card("id,face\n3,heads\n1,heads\n2,heads\n")
    assert _written(paths, card, _predictions([1, 2, 3], [0.1, 0.9, 0.6])) == "id,face\n3,tails\n1,heads\n2,tails\n"


def test_ids_are_copied_as_they_are_written(paths: CompetitionPaths, make_card: MakeCard) -> None:
    card = make_card('id,face\n007,heads\n"010",heads\n')
    assert _written(paths, card, _predictions(["007", "010"], [0, 1])) == "id,face\n007,heads\n010,tails\n"


def test_ids_read_as_floats_find_their_rows(paths: CompetitionPaths, make_card: MakeCard) -> None:
    card = make_card("id,face\n1,heads\n2,heads\n")
    assert _written(paths, card, _predictions([2.0, 1.0], [1, 0])) == "id,face\n1,heads\n2,tails\n"


def test_several_id_columns_name_a_row_together(paths: CompetitionPaths, make_card: MakeCard) -> None:
    card = make_card("day,shop,face\n1,a,heads\n1,b,heads\n", ids=("day", "shop"))
    ids = pd.DataFrame({"day": [1, 1], "shop": ["b", "a"]})
    assert _written(paths, card, _predictions(ids, [1, 0])) == "day,shop,face\n1,a,heads\n1,b,tails\n"


def test_columns_that_are_not_predicted_are_copied(paths: CompetitionPaths, make_card: MakeCard) -> None:
    card = make_card('id,note,face\n1,"a, b",heads\n')
    assert _written(paths, card, _predictions([1], [1])) == 'id,note,face\n1,"a, b",tails\n'


@pytest.mark.parametrize(
    ("classes", "sample", "texts"),
    [
        ((0, 1), ["0", "0"], ("0", "1")),
        ((0.0, 1.0), ["0", "1"], ("0", "1")),
        ((0.0, 1.0), ["0.0"], ("0.0", "1.0")),
        ((False, True), ["False"], ("False", "True")),
        ((False, True), ["false"], ("false", "true")),
        ((False, True), ["TRUE"], ("FALSE", "TRUE")),
        ((False, True), ["0"], ("0", "1")),
        (("yes", "no"), ["no"], ("yes", "no")),
        ((0.5, 1.5), ["0.5"], ("0.5", "1.5")),
    ],
)
def test_labels_are_written_as_the_training_table_has_them(
    classes: tuple[Any, ...], sample: list[str], texts: tuple[str, ...]
) -> None:
    assert label_texts(classes, sample) == texts


def test_one_probability_column(paths: CompetitionPaths, make_card: MakeCard) -> None:
    card = make_card("id,face\n1,0.5\n2,0.5\n", metric="auc")
    assert _written(paths, card, _predictions([2, 1], [0.1, 0.30000000000000004])) == (
        "id,face\n1,0.30000000000000004\n2,0.1\n"
    )


WIDE = {"task": "multiclass", "metric": "log_loss", "classes": ("C", "CL", "D")}


@pytest.mark.parametrize("columns", [("D", "C", "CL"), ("Status_D", "Status_C", "Status_CL"), ("D_p", "C_p", "CL_p")])
def test_wide_probabilities_go_to_the_column_of_their_class(
    paths: CompetitionPaths, make_card: MakeCard, columns: tuple[str, ...]
) -> None:
    card = make_card(f"id,{','.join(columns)}\n1,0,0,0\n", submission_columns=columns, **WIDE)
    text = _written(paths, card, _predictions([1], [[0.25, 0.5, 0.125]]))
    assert text == f"id,{','.join(columns)}\n1,0.125,0.25,0.5\n"


def test_both_probabilities_of_a_binary_target(paths: CompetitionPaths, make_card: MakeCard) -> None:
    columns = ("tails", "heads")
    card = make_card("id,tails,heads\n1,0,0\n", submission_columns=columns, metric="log_loss")
    assert _written(paths, card, _predictions([1], [0.75])) == "id,tails,heads\n1,0.75,0.25\n"


def test_columns_that_are_not_the_classes_are_refused(paths: CompetitionPaths, make_card: MakeCard) -> None:
    card = make_card("id,A,B,C\n1,0,0,0\n", submission_columns=("A", "B", "C"), **WIDE)
    with pytest.raises(DataError, match="are not the classes"):
        _written(paths, card, _predictions([1], [[0.2, 0.3, 0.5]]))


def test_several_targets_go_by_name_else_by_position(paths: CompetitionPaths, make_card: MakeCard) -> None:
    shared = {"task": "regression", "metric": "rmse", "classes": None, "targets": ("a", "b")}
    predictions = _predictions([1], [[1.5, 2.5]])
    by_name = make_card("id,b,a\n1,0,0\n", submission_columns=("b", "a"), **shared)
    assert _written(paths, by_name, predictions) == "id,b,a\n1,2.5,1.5\n"
    by_position = make_card("id,x,y\n1,0,0\n", submission_columns=("x", "y"), **shared)
    assert _written(paths, by_position, predictions) == "id,x,y\n1,1.5,2.5\n"


def test_a_row_without_prediction_is_refused_and_nothing_is_written(
    paths: CompetitionPaths, make_card: MakeCard
) -> None:
    with pytest.raises(DataError, match="1 of 3 rows of the sample submission have no prediction, the first is id '2'"):
        _written(paths, make_card(), _predictions([1, 3], [0, 1]))
    assert not (paths.folder / "submission.csv").exists()


def test_an_id_predicted_twice_is_refused(paths: CompetitionPaths, make_card: MakeCard) -> None:
    with pytest.raises(DataError, match="1 ids twice"):
        _written(paths, make_card(), _predictions([1, 2, 3, 3], [0, 1, 0, 1]))


def test_the_same_predictions_give_the_same_bytes(paths: CompetitionPaths, make_card: MakeCard) -> None:
    card, predictions = make_card(metric="auc"), _predictions([1, 2, 3], [0.1, 1 / 3, 0.9])
    assert _written(paths, card, predictions) == _written(paths, card, predictions)


def test_a_sample_without_ids_is_filled_row_by_row(paths: CompetitionPaths, make_card: MakeCard) -> None:
    card = make_card("face\n0\n0\n", ids=(), metric="auc")
    rows = pd.DataFrame({"row": [0, 1]})
    assert _written(paths, card, _predictions(rows, [0.25, 0.5])) == "face\n0.25\n0.5\n"
    with pytest.raises(DataError, match="has 2 rows and no ids, and there are 1 predictions"):
        _written(paths, card, _predictions(rows[:1], [0.25]))

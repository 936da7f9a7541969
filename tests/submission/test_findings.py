"""What a look at a submission's columns, rows and values finds, each as an error or a warning with its reason."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kagglerun.config.card import Card, CardFiles
from kagglerun.errors import SubmissionInvalid
from kagglerun.submission.findings import Finding, Level
from kagglerun.submission.guard import check_file, inspect_file
from kagglerun.workspace import CompetitionPaths

MakeCard = Callable[..., Card]
TRAINED = CardFiles(sample_submission="sample.csv", train_table="train.csv")
PRICES: dict[str, Any] = {"task": "regression", "classes": None, "metric": "rmse", "files": TRAINED}
LABELS: dict[str, Any] = {"files": TRAINED}


def _found(paths: CompetitionPaths, card: Card, text: str) -> tuple[Finding, ...]:
    path = paths.folder / "mine.csv"
    path.write_text(text)
    found = inspect_file(path, paths, card).findings
    assert all(finding.why for finding in found)
    return found


def _file(values: list[Any]) -> str:
    return "id,face\n" + "".join(f"{row},{value}\n" for row, value in enumerate(values, start=1))


def _train(paths: CompetitionPaths, values: list[Any]) -> None:
    (paths.data / "train.csv").write_text(_file(values))


def test_all_errors_are_named_in_three_lines_at_most(paths: CompetitionPaths, make_card: MakeCard) -> None:
    wide = {"task": "multilabel", "targets": ("a", "b", "c"), "submission_columns": ("a", "b", "c"), "classes": None}
    card = make_card("id,a,b,c\n1,0,0,0\n2,0,0,0\n", metric="columnwise_auc", **wide)
    path = paths.folder / "mine.csv"
    path.write_text("id,a,b,c\n1,2,x,\n9,0,0,0\n")
    with pytest.raises(SubmissionInvalid) as caught:
        check_file(path, paths, card)
    lines = caught.value.message.splitlines()
    assert len(lines) == 3 and lines[-1].endswith("(and 2 more errors: kagglerun submit --check)")
    assert sum(one.level is Level.ERROR for one in inspect_file(path, paths, card).findings) == 5


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (",id,face\n0,1,heads\n1,2,heads\n2,3,tails\n", "index=False"),
        ("ID,face\n1,heads\n2,heads\n3,tails\n", "rename 'ID' to 'id'"),
        ("id,face\n1.0,heads\n2.0,tails\n3.0,heads\n", "written otherwise"),
        ("id,face\n1,heads\n2,Tails\n3,heads\n", "write 'tails' for 'Tails'"),
    ],
)
def test_the_usual_slips_are_known_by_name(paths: CompetitionPaths, make_card: MakeCard, text: str, hint: str) -> None:
    assert hint in str(_found(paths, make_card(), text)[0].hint)


def test_without_ids_the_number_of_rows_must_agree(paths: CompetitionPaths, make_card: MakeCard) -> None:
    card = make_card("face\nheads\nheads\nheads\n", ids=())
    [finding] = _found(paths, card, "face\nheads\ntails\n")
    assert finding.what == "the file has 2 rows, the sample submission 3" and finding.level is Level.ERROR


@pytest.mark.parametrize(
    ("values", "says", "hint"),
    [
        ([11, 15, 900], r"1 value of 'face' is far outside .* \(10 to 29\), the first is 900 in line 4", "clip"),
        ([2.7, 3.1, 2.9], r"the median of 'face' is 2.9; nearly all training targets lie from 10", "expm1"),
        ([1100, 1500, 1900], "the median of 'face' is 1500", ""),
        ([15, 15, 15], "every value of 'face' is 15", ""),
    ],
)
def test_numbers_that_the_training_targets_do_not_know_are_warnings(
    paths: CompetitionPaths, make_card: MakeCard, values: list[float], says: str, hint: str
) -> None:
    _train(paths, list(range(10, 30)))
    [finding] = _found(paths, make_card(_file([0, 0, 0]), **PRICES), _file(values))
    assert finding.level is Level.WARNING and hint in (finding.hint or "")
    assert re.search(says, finding.what)


def test_numbers_below_0_are_told_where_no_training_target_is(paths: CompetitionPaths, make_card: MakeCard) -> None:
    _train(paths, list(range(30)))
    [finding] = _found(paths, make_card(_file([0, 0, 0]), **PRICES), _file([11, 15, -1]))
    assert finding.what == "1 value of 'face' is below 0, the first in line 4; no training target is"


def test_numbers_within_the_training_targets_are_fine(paths: CompetitionPaths, make_card: MakeCard) -> None:
    _train(paths, list(range(10, 30)))
    assert _found(paths, make_card(_file([0, 0, 0]), **PRICES), _file([11, 35, 20.5])) == ()


def test_rounded_numbers_are_told_where_the_targets_have_fractions(
    paths: CompetitionPaths, make_card: MakeCard
) -> None:
    _train(paths, [row + 0.3 for row in range(30)])
    card = make_card(_file([0] * 3), **PRICES)
    assert [one.what for one in _found(paths, card, _file([11.2, 15, 4]))] == []
    [finding] = _found(paths, card, _file([11, 15, 4]))
    assert finding.what == "every value of 'face' is a whole number, and most training targets are not"


def test_rows_that_nobody_predicted_are_told(paths: CompetitionPaths, make_card: MakeCard) -> None:
    values = np.random.default_rng(0).uniform(0.1, 0.9, 500)
    card = make_card(_file([0.5] * 500), metric="auc")
    assert _found(paths, card, _file(list(values))) == ()
    assert _found(paths, card, _file(list(values.round(2)))) == ()
    left = values.copy()
    left[100:140] = 0.5
    [finding] = _found(paths, card, _file(list(left)))
    assert finding.what == "40 values of 'face' are the sample submission's own, 0.5"
    left[100:140] = 0.25
    [finding] = _found(paths, card, _file(list(left)))
    assert finding.what == "40 neighbouring values of 'face', lines 102 to 141, are all 0.25"


def test_a_common_class_that_is_never_predicted_is_a_warning(paths: CompetitionPaths, make_card: MakeCard) -> None:
    labels = ["heads", "tails", "edge"]
    _train(paths, labels * 20)
    card = make_card(_file(["heads"] * 90), **LABELS, classes=("edge", "heads", "tails"), task="multiclass")
    [finding] = _found(paths, card, _file(["heads", "tails"] * 45))
    assert "no row is predicted to be 'edge', which 33% of the training rows are" in finding.what
    assert _found(paths, card, _file(labels * 30)) == ()


@pytest.mark.parametrize(
    ("values", "metric", "level", "says"),
    [
        (["0,5", "0,2", "0,1"], "auc", Level.ERROR, "no finite number"),
        ([50, 20, 80], "auc", Level.ERROR, "no probability from 0 to 1"),
        ([0, 1, 1], "auc", Level.WARNING, "every probability is 0 or 1"),
        ([0, 0.3, 1], "log_loss", Level.WARNING, "2 probabilities are exactly 0 or 1"),
    ],
)
def test_probabilities_are_looked_at_as_the_metric_would(
    paths: CompetitionPaths, make_card: MakeCard, values: list[Any], metric: str, level: Level, says: str
) -> None:
    text = _file([f'"{value}"' for value in values])
    [finding] = _found(paths, make_card(_file([0.5] * 3), metric=metric), text)
    assert finding.level is level and says in finding.what
    if says == "no finite number":
        assert "decimal points" in str(finding.hint)
    if values == [50, 20, 80]:
        assert "divide them by 100" in str(finding.hint)


def test_probabilities_where_labels_are_compared_are_an_error(paths: CompetitionPaths, make_card: MakeCard) -> None:
    several = {"task": "multilabel", "targets": ("a", "b"), "submission_columns": ("a", "b"), "classes": None}
    card = make_card("id,a,b\n1,0,0\n2,0,0\n", metric="f1_samples", **several)
    [finding] = _found(paths, card, "id,a,b\n1,0.9,0\n2,1,1\n")
    assert finding.level is Level.ERROR and "neither 0 nor 1, the first is 0.9 in line 2" in finding.what


def test_every_broken_cell_of_a_column_is_counted(paths: CompetitionPaths, make_card: MakeCard) -> None:
    masks = {"task": "segmentation", "classes": None, "submission_layout": "run_lengths", "metric": "dice"}
    [finding] = _found(paths, make_card(_file(["1 1"] * 3), **masks), _file(["1 2", "1 2 3", "5"]))
    assert "in line 3 is refused: run lengths come in pairs" in finding.what
    assert "(1 more lines have such a problem)" in finding.what


def test_empty_masks_that_training_rows_write_otherwise_are_told(paths: CompetitionPaths, make_card: MakeCard) -> None:
    masks = {"task": "segmentation", "classes": None, "submission_layout": "run_lengths", "metric": "dice"}
    _train(paths, ["1 2", "-1"])
    [finding] = _found(paths, make_card(_file(["1 1"] * 2), **masks, files=TRAINED), _file(["1 2", ""]))
    assert finding.level is Level.WARNING and finding.hint == "training rows write '-1' for it"


def test_columns_of_mixed_up_classes_are_told_by_their_shares(paths: CompetitionPaths, make_card: MakeCard) -> None:
    numbers = np.random.default_rng(0)
    _train(paths, ["a"] * 70 + ["b"] * 20 + ["c"] * 10)
    fields = {"task": "multiclass", "classes": ("a", "b", "c"), "submission_columns": ("a", "b", "c")}
    rows = numbers.dirichlet((7, 2, 1), 100)
    card = make_card(
        "id,a,b,c\n" + "".join(f"{n},0,0,0\n" for n in range(100)), **fields, metric="log_loss", files=TRAINED
    )

    def text(order: list[int]) -> str:
        lines = [f"{n},{','.join(f'{row[k]:.6f}' for k in order)}\n" for n, row in enumerate(rows)]
        return "id,a,b,c\n" + "".join(lines)

    assert [one.what for one in _found(paths, card, text([0, 1, 2])) if "average" in one.what] == []
    [finding] = [one for one in _found(paths, card, text([1, 0, 2])) if "average" in one.what]
    assert "they would fit 'b'" in finding.what and finding.level is Level.WARNING

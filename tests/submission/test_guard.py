"""Every check that keeps a slot from being wasted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kagglerun.config.card import Card, CompetitionFacts, Unresolved
from kagglerun.errors import AllowanceUsedUp, SubmissionInvalid, SubmissionRefused, UnresolvedCard
from kagglerun.kaggle_api.limits import Allowance
from kagglerun.submission.eligibility import check_allowance, check_open
from kagglerun.submission.guard import check_file
from kagglerun.workspace import CompetitionPaths

MakeCard = Callable[..., Card]
PROBABILITY: dict[str, Any] = {"metric": "auc"}


def _file(paths: CompetitionPaths, text: str) -> Path:
    path = paths.folder / "mine.csv"
    path.write_text(text)
    return path


def test_a_fitting_file_passes(paths: CompetitionPaths, make_card: MakeCard) -> None:
    checked = check_file(_file(paths, "id,face\n1,tails\n2,heads\n3,tails\n"), paths, make_card())
    assert (checked.rows, checked.columns, checked.warnings) == (3, ("id", "face"), ())
    assert len(checked.sha256) == 64


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id,side\n1,heads\n", r"lacks 'face' and has 'side' too many; the sample submission has 'id', 'face'"),
        ("face,id\nheads,1\n", "its columns in the order 'face', 'id'"),
        ("id,face\n1,heads\n2,heads\n", r"1 value of 'id' is missing, the first is '3'; the file has 2 rows, .* 3"),
        (
            "id,face\n1,heads\n2,heads\n2,heads\n3,heads\n",
            r"1 value of 'id' is there twice, the first is '2'; the file has 4",
        ),
        ("id,face\n1,heads\n2,heads\n3,heads\n9,heads\n", r"1 value of 'id' is not in the sample submission, .* '9'"),
        ("id,face\n1.0,heads\n2.0,heads\n3.0,heads\n", r"3 values of 'id' are missing"),
        ("id,face\n1,heads\n2,\n3,heads\n", r"1 value of 'face' is missing, the first in line 3"),
        ("id,face\n1,heads\n2,nan\n3,heads\n", r"1 value of 'face' is missing, the first in line 3"),
        (
            "id,face\n1,heads\n2,Tails\n3,heads\n",
            r"no class, the first is 'Tails' in line 3; classes: 'heads', 'tails'",
        ),
        ("", "cannot be read as CSV"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    paths: CompetitionPaths, make_card: MakeCard, text: str, says: str
) -> None:
    with pytest.raises(SubmissionInvalid, match=says) as caught:
        check_file(_file(paths, text), paths, make_card())
    assert caught.value.exit_code == 3
    assert len(caught.value.message.splitlines()) <= 2


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ("0.5,0.5,1.5", r"no probability from 0 to 1, the first is 1\.5 in line 4"),
        ("0.5,-0.1,0.5", "no probability"),
        ("0.5,inf,0.5", "no finite number, the first is 'inf' in line 3"),
        ("0.5,high,0.5", "no finite number, the first is 'high'"),
        ("0.5,NaN,0.5", "missing"),
    ],
)
def test_values_that_are_no_probabilities_are_refused(
    paths: CompetitionPaths, make_card: MakeCard, values: str, says: str
) -> None:
    rows = "".join(f"{row + 1},{value}\n" for row, value in enumerate(values.split(",")))
    with pytest.raises(SubmissionInvalid, match=says):
        check_file(_file(paths, "id,face\n" + rows), paths, make_card(**PROBABILITY))


def test_another_order_of_rows_is_told_and_may_be_sent(paths: CompetitionPaths, make_card: MakeCard) -> None:
    checked = check_file(_file(paths, "id,face\n1,heads\n3,tails\n2,heads\n"), paths, make_card())
    [warning] = checked.warnings
    assert "another order" in warning and "row 2 is '3' instead of '2'" in warning and checked.may_be_sent


def test_a_class_called_none_is_a_label_and_not_missing(paths: CompetitionPaths, make_card: MakeCard) -> None:
    card = make_card("id,face\n1,None\n2,None\n", classes=("None", "tails"))
    assert check_file(_file(paths, "id,face\n1,None\n2,tails\n"), paths, card).rows == 2


def test_labels_written_as_floats_are_refused(paths: CompetitionPaths, make_card: MakeCard) -> None:
    card = make_card("id,face\n1,0\n2,0\n", classes=(0, 1))
    with pytest.raises(SubmissionInvalid, match=r"'0\.0'"):
        check_file(_file(paths, "id,face\n1,0.0\n2,1.0\n"), paths, card)


def test_constant_predictions_are_a_warning(paths: CompetitionPaths, make_card: MakeCard) -> None:
    checked = check_file(_file(paths, "id,face\n1,heads\n2,heads\n3,heads\n"), paths, make_card())
    assert checked.warnings == ("every value of 'face' is heads",)


def test_rows_of_probabilities_that_do_not_add_up_are_a_warning(paths: CompetitionPaths, make_card: MakeCard) -> None:
    wide = {"task": "multiclass", "metric": "log_loss", "submission_columns": ("heads", "tails", "edge")}
    card = make_card("id,heads,tails,edge\n1,0,0,0\n2,0,0,0\n", classes=("edge", "heads", "tails"), **wide)
    checked = check_file(_file(paths, "id,heads,tails,edge\n1,0.5,0.5,0.5\n2,0.2,0.3,0.4\n"), paths, card)
    assert "do not add up to 1" in checked.warnings[0]


def test_a_file_that_is_not_there_is_named(paths: CompetitionPaths, make_card: MakeCard) -> None:
    with pytest.raises(SubmissionInvalid, match=r"there is no file .*mine\.csv"):
        check_file(paths.folder / "mine.csv", paths, make_card())


def test_an_unresolved_card_stops_and_asks(paths: CompetitionPaths, make_card: MakeCard) -> None:
    gap = Unresolved(field="task", because="two rules disagree", fill_in="task: binary")
    with pytest.raises(UnresolvedCard, match="two rules disagree"):
        check_file(_file(paths, "id,face\n"), paths, make_card(unresolved=(gap,)))


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"notebooks_only": True}, "notebooks only"),
        ({"submissions_disabled": True}, "no submissions any more"),
        ({"deadline": "2020-01-01T00:00:00Z"}, "deadline of coins was 2020-01-01"),
    ],
)
def test_a_competition_that_takes_no_files_is_refused(facts: dict[str, Any], says: str) -> None:
    with pytest.raises(SubmissionRefused, match=says):
        check_open(CompetitionFacts(slug="coins", user_has_entered=True, **facts), "coins")


def test_late_submissions_are_sent_when_asked_for() -> None:
    facts = CompetitionFacts(slug="coins", deadline="2020-01-01T00:00:00Z", user_has_entered=True)
    check_open(facts, "coins", late=True)


def test_a_used_up_allowance_is_refused_with_the_time_it_comes_back() -> None:
    resets = datetime(2026, 5, 5, tzinfo=UTC)
    with pytest.raises(AllowanceUsedUp, match=r"\(5 of 5 used today\); the count starts again at 2026-05-05 00:00 UTC"):
        check_allowance(Allowance(0, 5, 5, resets), "coins")
    check_allowance(Allowance(1, 4, 5, resets), "coins")
    check_allowance(Allowance(None, 4, None, resets), "coins")

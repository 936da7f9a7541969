"""Kaggle's words for what went wrong with a submission, and what they are taken for."""

from __future__ import annotations

import pytest

from kagglerun.kaggle_api.usual_meanings import MEANINGS, usual_meaning


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("Submission not allowed: Your team has used its daily Submission allowance (5) today", "midnight UTC"),
        ("Submission not allowed: Your team has used its Submission allowance (100)", "in all"),
        ("This competition only accepts Submissions from Notebooks.", "notebooks only"),
        ("Submission not allowed: You have submissions in progress", "still run"),
        ("Submission not allowed: The competition is over", "--late"),
        ("Submission not allowed: The upload is not complete", "did not arrive whole"),
        ("Submission file exceeds the size limit", "larger"),
        ("Submission CSV Not Found", "wrote no file"),
        ("Notebook Out of Memory: Your notebook tried to allocate more memory than is available", "hidden test set"),
        ("Notebook Exceeded Allowed Compute", "more compute"),
        ("Notebook Timeout: Your notebook hit the allowed run-time limit", "took longer"),
        (
            "Notebook Threw Exception: While rerunning your code, your notebook threw an unhandled exception",
            "rehearsal",
        ),
        ("Evaluation Exception: Submission must have 418 rows", "rows of the sample submission"),
        ("ERROR: Unable to find 1459 required key values in the 'Id' column", "lacks rows"),
        ("ERROR: The value '7' in the key column 'Id' has already been defined (Line 3, Column 1)", "twice"),
        ("ERROR: The column 'SalePrize' was not expected (Line 1, Column 4)", "column names"),
        ("Evaluation Exception: Input contains NaN", "no finite number"),
        ("ERROR: Could not parse 'True' as a valid number", "another type"),
        ("'utf-8' codec can't decode byte 0xff in position 0", "UTF-8"),
        ("Submission Scoring Error: incorrect format", "the host's metric"),
        ("Evaluation metric raised an unexpected error", "the host's metric"),
        ("You must verify your phone number", "settings"),
    ],
)
def test_what_kaggle_says_is_explained(said: str, means: str) -> None:
    assert means in str(usual_meaning(said))


def test_what_nobody_has_seen_yet_is_not_explained() -> None:
    assert usual_meaning("Something else") is None
    assert usual_meaning("") is None


def test_each_meaning_is_one_sentence() -> None:
    assert all(len(one.usually) < 200 and not one.usually.endswith(".") for one in MEANINGS)

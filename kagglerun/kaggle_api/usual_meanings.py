"""What Kaggle's refusals of submissions usually mean: one table of texts.

Kaggle's words name the symptom. What stands here is what most often lies behind it, as its documentation on code
competitions' errors and users' reports have it; the server's own words are always shown beside it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Meaning:
    """A text of Kaggle's and what it usually means.

    Attributes:
        pattern: found somewhere in the text, whatever the case.
        usually: what lies behind it and what to do, one sentence without a period.
    """

    pattern: str
    usually: str


MEANINGS = (
    Meaning(
        r"daily submission allowance|submissions? (limit|allowance).*today|per day",
        "your team, on any machine or in the browser, used up the day; the count starts again at midnight UTC",
    ),
    Meaning(
        r"(total|lifetime|maximum number of) submission|submission allowance",
        "the competition's number of submissions in all is used up; merged teams share one number",
    ),
    Meaning(
        r"only (accepts?|allows?).*(notebook|kernel|code)|notebooks? only|made (from|through|with) .*(notebook|kernel)",
        "it takes notebooks only: kagglerun submit packages the run as a notebook there",
    ),
    Meaning(
        r"(pending|in progress|concurrent|still (running|processing)).*submission|submission.*(pending|in progress)",
        "earlier submissions still run; wait for them (kagglerun submissions)",
    ),
    Meaning(
        r"deadline|competition (is|has) (over|ended|closed)|no longer accept|submissions? (are|is) (closed|disabled)",
        "the deadline is over, or its host closed it; where late submissions are allowed, add --late",
    ),
    Meaning(
        r"not complete|upload(ed)? file was not found|blob|token",
        "the upload did not arrive whole, or its address grew old; nothing was spent",
    ),
    Meaning(
        r"too large|file size|exceeds.*(size|bytes|MB|GB)",
        "the file is larger than it takes: write fewer decimals, or send it as .zip",
    ),
    Meaning(
        r"submission.{0,12}(csv|parquet|file).{0,12} not found|did not (output|produce|generate)|output file",
        "the notebook wrote no file under the name that the competition asks for, or not into its working folder",
    ),
    Meaning(
        r"out of memory|exceeded .*memory|allocate more memory",
        "the hidden test set is larger than the public one: predict in chunks (kagglerun package does)",
    ),
    Meaning(
        r"exceeded allowed compute",
        "the rerun used more compute than allowed: internet, a GPU type or a time that the rules do not give",
    ),
    Meaning(
        r"time ?out|timed out|run-?time limit|exceeded .*time",
        "the rerun on the hidden test set, often several times the public one, took longer than allowed: "
        "leave out members or TTA views (kagglerun package --hours)",
    ),
    Meaning(
        r"threw (an )?exception|unhandled exception|notebook .*(error|exception)",
        "the notebook failed on the hidden test set: other size, unseen categories or a broken file; the rehearsal of "
        "kagglerun package tries these",
    ),
    Meaning(
        r"must have \d+ rows|expected \d+ rows|wrong number of rows|number of rows|required key values",
        "the file lacks rows of the test set, or has too many: take the rows of the sample submission",
    ),
    Meaning(
        r"already been defined|duplicate",
        "an id is there twice",
    ),
    Meaning(
        r"column.{0,40}(not expected|not found|missing|required)|(unexpected|missing|required) column|header",
        "the column names are not those of the sample submission, or the header is missing",
    ),
    Meaning(
        r"\bnan\b|\binf(inity)?\b|\bnull\b|empty values?|missing values?|blank",
        "a cell is empty or no finite number",
    ),
    Meaning(
        r"could not convert|parse|not a valid (number|value|decimal)|invalid (value|type)|data ?type|unable to read",
        "a cell holds another type than in the sample submission: text for a number, a decimal comma, True for 1",
    ),
    Meaning(
        r"encod|utf-?8|codec",
        "the file is not UTF-8, or begins with a byte order mark",
    ),
    Meaning(
        r"evaluation (metric|exception)|metric raised|scoring error|incorrect format",
        "the host's metric stopped at the file: wrong rows or columns, empty cells, another type, or values "
        "outside of what it takes (probabilities that do not add up, unknown labels)",
    ),
    Meaning(
        r"verif|phone|identity",
        "verify your phone number or identity at https://www.kaggle.com/settings",
    ),
)  # fmt: skip
"""The first that matches counts."""


def usual_meaning(text: str) -> str | None:
    """What a refusal of a submission, or an error in scoring it, usually means; None when the table has none."""
    return next((one.usually for one in MEANINGS if re.search(one.pattern, text, re.IGNORECASE)), None)

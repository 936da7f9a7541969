"""How many test rows the public score is taken on: the user's word, else what the competition's pages say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kagglerun.errors import ConfigError

USUAL_SHARE = 0.3
"""Where nothing tells it: the share that Kaggle's competitions of tables have most often."""
_COUNTS = re.compile(r"([\d,]+) test rows; ([\d,]+) of them are public")
_PUBLIC_PERCENT = re.compile(
    r"(?:public leaderboard|leaderboard is)[^.]{0,80}?(?:approximately|about|roughly|on)?\s*(\d{1,2}(?:\.\d+)?)\s?% of "
    r"the test",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class PublicRows:
    """The sizes of the two parts of the test set.

    Attributes:
        public: rows behind the public score.
        private: rows behind the private score.
        because: where that comes from, in words.
    """

    public: int
    private: int
    because: str


def public_rows(test_rows: int, share: float | None, pages: Mapping[str, str]) -> PublicRows:
    """The sizes of the public and the private part.

    Args:
        test_rows: rows of the test set, at least 2.
        share: the share that the user gave, between 0 and 1; None: by the pages.
        pages: name of a page of the competition to its text.

    Raises:
        ConfigError: the share is not between 0 and 1.
    """
    if share is not None:
        if not 0 < share < 1:
            raise ConfigError(f"a public share of {share:g} is not between 0 and 1", hint="--public-share 0.3")
        return _of_share(test_rows, share, f"{share:.0%} of {test_rows} test rows, as you say")
    for name, text in pages.items():
        counts = _COUNTS.search(text)
        if counts:
            rows, public = (int(number.replace(",", "")) for number in counts.groups())
            if 0 < public < rows:
                return _of_share(test_rows, public / rows, f"the page {name!r} says so")
        percent = _PUBLIC_PERCENT.search(text)
        if percent and 0 < float(percent.group(1)) < 100:
            told = float(percent.group(1)) / 100
            return _of_share(test_rows, told, f"{told:.0%} of {test_rows} test rows, says the page {name!r}")
    because = f"{USUAL_SHARE:.0%} of {test_rows} test rows, which is a guess: say it by --public-share"
    return _of_share(test_rows, USUAL_SHARE, because)


def _of_share(test_rows: int, share: float, because: str) -> PublicRows:
    public = min(max(1, round(test_rows * share)), max(1, test_rows - 1))
    return PublicRows(public, max(1, test_rows - public), because)

"""Checks of a submission file's bytes."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from kagglerun.config.card import Card
from kagglerun.submission import file_text
from kagglerun.submission.findings import Level
from kagglerun.submission.guard import CheckedFile, inspect_file
from kagglerun.workspace import CompetitionPaths

MakeCard = Callable[..., Card]
GOOD = "id,face\n1,heads\n2,tails\n3,heads\n"


def _inspect(paths: CompetitionPaths, card: Card, content: bytes, name: str = "mine.csv") -> CheckedFile:
    path: Path = paths.folder / name
    path.write_bytes(content)
    return inspect_file(path, paths, card)


@pytest.mark.parametrize(
    ("content", "level", "says", "hint"),
    [
        (GOOD.encode("utf-16"), Level.ERROR, "UTF-16", "utf-8"),
        (GOOD.encode("utf-8-sig"), Level.WARNING, "byte order mark", "not utf-8-sig"),
        (GOOD.replace("tails", "k\xf6pfe").encode("latin-1"), Level.ERROR, "line 3 holds bytes that are not UTF-8", ""),
        (GOOD.replace("tails", "ta\0ils").encode(), Level.ERROR, "line 3 holds a zero byte", ""),
        (GOOD.replace("\n", "\r").encode(), Level.WARNING, "carriage return", "lineterminator"),
        (GOOD.replace(",", ";").encode(), Level.ERROR, "separated by semicolons, those .* by commas", "decimal"),
        (GOOD.replace(",", "\t").encode(), Level.ERROR, "separated by tabs", ""),
        (b"id,face\n1,heads,0.5\n2,tails,0.5\n3,heads,0.5\n", Level.ERROR, "more values than its header", ""),
    ],
)
def test_what_is_wrong_with_the_bytes_is_told_once_with_its_reason(
    paths: CompetitionPaths, make_card: MakeCard, content: bytes, level: Level, says: str, hint: str
) -> None:
    [finding] = _inspect(paths, make_card(), content).findings
    assert finding.level is level and finding.why
    assert re.search(says, finding.what) and hint in (finding.hint or "")


def test_other_line_ends_and_a_packed_file_are_fine(paths: CompetitionPaths, make_card: MakeCard) -> None:
    assert _inspect(paths, make_card(), GOOD.replace("\n", "\r\n").encode()).findings == ()
    packed = _inspect(paths, make_card(), gzip.compress(GOOD.encode()), "mine.csv.gz")
    assert (packed.rows, packed.findings) == (3, ())


def test_a_file_that_is_no_archive_is_refused(paths: CompetitionPaths, make_card: MakeCard) -> None:
    [finding] = _inspect(paths, make_card(), GOOD.encode(), "mine.csv.zip").findings
    assert "cannot be unpacked" in finding.what and finding.level is Level.ERROR


def test_a_file_beyond_the_usual_limit_is_a_warning(
    paths: CompetitionPaths, make_card: MakeCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_text, "LARGE_BYTES", 10)
    [finding] = _inspect(paths, make_card(), GOOD.encode()).findings
    assert finding.level is Level.WARNING and "0 MB" in finding.what and "zip" in str(finding.hint)

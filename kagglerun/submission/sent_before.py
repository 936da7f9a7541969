"""A submission file against those that were sent before: the same once more is a slot for nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from kagglerun.config.card import Card
from kagglerun.errors import DataError, SubmissionInvalid
from kagglerun.files import sha256_of_file
from kagglerun.metrics import Metric
from kagglerun.submission.findings import Finding, warning
from kagglerun.submission.ledger import LedgerEntry
from kagglerun.submission.likeness import Likeness, by_ids, likeness
from kagglerun.submission.sample_format import read_like_sample

_LATEST = 20
"""Earlier submissions that are looked at."""
_EQUAL = 0.995
_RANKS = 0.9995
_APART = 0.02
_BY_RANKS = ("auc", "gini")
"""Words in the names of metrics that see the order of the rows only."""
_SLOT = "it would score about the same, and spend a slot"


def check_sent_before(
    table: pd.DataFrame, sha256: str, sample: Path, card: Card, metric: Metric, entries: Sequence[LedgerEntry]
) -> Iterator[Finding]:
    """Tell of the earlier submission that a file is most like, where it is the same or nearly.

    Args:
        table: the file, every cell its text.
        sha256: its digest.
        sample: the sample submission.
        card: names ids and predicted columns.
        metric: tells whether only the order of the rows counts.
        entries: the ledger's, oldest first.
    """
    columns = [name for name in card.submission_columns if name in table]
    ids = [name for name in card.ids if name in table]
    found: list[tuple[Likeness, LedgerEntry]] = []
    for entry in _sent(entries, card):
        if entry.sha256 == sha256:
            yield warning(f"the very same file was sent before: {_shown(entry)}", "it is not sent a second time")
            return
        earlier = _read(entry, sample)
        other = None if earlier is None else by_ids(earlier, ids, table)
        if other is not None and columns and set(columns) <= set(other.columns):
            found.append((likeness(table[columns], other[columns]), entry))
    alike = [(one, entry) for one, entry in found if _said(one, metric) is not None]
    if alike:
        closest, entry = max(alike, key=lambda pair: (pair[0].equal, pair[0].ranks or 0.0))
        yield warning(f"{_said(closest, metric)} {_shown(entry)}", _SLOT)


def _sent(entries: Sequence[LedgerEntry], card: Card) -> list[LedgerEntry]:
    """The last entry about each file that was sent, the latest first."""
    latest = {entry.sha256: entry for entry in entries if entry.competition == card.ref and entry.state == "sent"}
    return sorted(latest.values(), key=lambda entry: entry.time, reverse=True)[:_LATEST]


def _read(entry: LedgerEntry, sample: Path) -> pd.DataFrame | None:
    """The file as it was sent; None where it is gone or holds something else by now."""
    path = Path(entry.file)
    if not path.is_file() or sha256_of_file(path) != entry.sha256:
        return None
    try:
        return read_like_sample(path, sample)
    except (DataError, SubmissionInvalid):
        return None  # the sample submission has another format than it had then


def _said(found: Likeness, metric: Metric) -> str | None:
    if found.equal == 1.0:
        return "it holds the same values as"
    if found.ranks is not None and found.ranks >= 1 - 1e-12 and any(word in metric.name for word in _BY_RANKS):
        return f"it puts the rows into the same order, which is all that {metric.name} sees, as"
    if found.equal >= _EQUAL:
        return f"{found.equal:.1%} of its cells are those of"
    if found.ranks is not None and found.apart is not None and found.ranks >= _RANKS and found.apart <= _APART:
        return f"its ranks agree to {found.ranks:.5f} (Spearman) with those of"
    return None


def _shown(entry: LedgerEntry) -> str:
    number = "a submission" if entry.ref is None else f"submission {entry.ref}"
    run = f" from the run {entry.run_id}" if entry.run_id else ""
    score = "not known" if entry.public_score is None else f"{entry.public_score:.5f}"
    return f"{number} of {entry.time[:10]}{run}, whose public score is {score}"

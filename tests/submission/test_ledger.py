"""The ledger of what was sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from kagglerun.errors import DataError, SubmissionRefused
from kagglerun.kaggle_api.records import SubmissionRecord, SubmissionState
from kagglerun.submission.ledger import LedgerEntry, add_entry, last_entry, only_one_at_a_time, read_ledger

ENTRY = LedgerEntry("practice/coins", "ab" * 32, "/x/submission.csv", "run-1", "words", "sending")


def test_entries_come_back_in_order(tmp_path: Path) -> None:
    ledger = tmp_path / "state" / "submissions.jsonl"
    assert read_ledger(ledger) == []
    record = SubmissionRecord(7, "s.csv", "", None, SubmissionState.COMPLETE, 0.5, 0.25)
    first = add_entry(ledger, ENTRY)
    second = add_entry(ledger, ENTRY.after(record))
    assert read_ledger(ledger) == [first, second]
    assert (second.state, second.ref, second.public_score, second.private_score) == ("sent", 7, 0.5, 0.25)
    assert first.time.endswith("+00:00")


def test_the_last_line_about_a_file_and_competition_counts(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    add_entry(ledger, ENTRY)
    add_entry(ledger, ENTRY.after(SubmissionRecord(7, "s.csv", "", None, SubmissionState.ERROR, error="bad")))
    found = last_entry(ledger, "practice/coins", "ab" * 32)
    assert found is not None and (found.state, found.error) == ("failed", "bad")
    assert last_entry(ledger, "coins", "ab" * 32) is None


def test_a_damaged_ledger_is_named(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    ledger.write_text('{"competition": "coi')
    with pytest.raises(DataError, match=r"ledger\.jsonl is damaged"):
        read_ledger(ledger)


def test_two_submissions_at_once_are_refused(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    with only_one_at_a_time(ledger), pytest.raises(SubmissionRefused, match="right now"), only_one_at_a_time(ledger):
        raise AssertionError("the second must not get in")
    with only_one_at_a_time(ledger):
        assert not ledger.exists()

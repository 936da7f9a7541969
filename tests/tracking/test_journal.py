"""The journal: whole lines, torn lines, the lock."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from pathlib import Path

from kagglerun.tracking.journal import Artifact, Body, End, Journal, Start, Tags, Values

_BODIES: list[Body] = [
    Start("a run", {"lr": "0.1"}, {"data": "abc"}, "digits/study"),
    Values({"loss": 0.5, "score": 0.9}, 3),
    Tags({"note": "größer\nals"}),
    Artifact("plots/a.png", "plots"),
    End("FAILED", "out of memory"),
]


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a folder" / "journal.jsonl")
    journal.append(*_BODIES)
    assert [entry.body for entry in journal.read()] == _BODIES
    assert journal.path.read_text("utf-8").count("\n") == len(_BODIES)


def test_nan_and_infinities_survive(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append(Values({"a": math.nan, "b": math.inf, "c": -math.inf}, 0))
    assert "NaN" not in journal.path.read_text()
    (entry,) = journal.read()
    assert isinstance(entry.body, Values)
    assert math.isnan(entry.body.values["a"])
    assert entry.body.values["b"] == math.inf
    assert entry.body.values["c"] == -math.inf


def test_reading_goes_on_at_an_offset(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append(*_BODIES)
    third = list(journal.read())[2]
    assert [entry.body for entry in journal.read(third.end)] == _BODIES[3:]


def test_torn_last_line_costs_itself_alone(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append(*_BODIES[:2])
    whole = journal.path.stat().st_size
    journal.append(Values({"lost": 1.0}, 9))
    for size in range(whole + 1, journal.path.stat().st_size - 1):
        torn = Journal(tmp_path / "torn.jsonl")
        torn.path.write_bytes(journal.path.read_bytes()[:size])
        assert [entry.body for entry in torn.read()] == _BODIES[:2]
        torn.append(_BODIES[4])
        assert [entry.body for entry in torn.read()] == [*_BODIES[:2], _BODIES[4]]
        torn.path.unlink()


def test_a_line_of_another_version_is_passed_over(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append(_BODIES[0])
    with journal.path.open("a") as stream:
        stream.write('{"time_ms": 1, "kind": "dream"}\n[]\n{"kind": "values"}\nnot json\n')
    journal.append(_BODIES[1])
    assert [entry.body for entry in journal.read()] == _BODIES[:2]


def test_state_is_that_of_the_last_start_or_end(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    assert journal.state() is None
    journal.append(Start("a"))
    assert journal.state() == "RUNNING"
    journal.append(End("FAILED"))
    assert journal.state() == "FAILED"
    journal.append(Start("a"), Values({"x": 1.0}, 0))
    assert journal.state() == "RUNNING"


def test_lock_is_free_again_once_its_holder_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    code = (
        "import sys, time; from pathlib import Path; from kagglerun.tracking.journal import Journal;"
        f"print(Journal(Path({str(path)!r})).claim(), flush=True); time.sleep(100)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        # The Journal of the other process is a temporary object: the lock must last all the same.
        assert holder.stdout.readline().strip() == "True"
        assert not Journal(path).claim(seconds=0)
        os.kill(holder.pid, signal.SIGKILL)
    assert Journal(path).claim(seconds=5)

"""The file of a study's trials: durable, readable while it is written, whole after any end of its writer."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from kagglerun.errors import DiskFull, JobError
from kagglerun.sweep.objective import TrialScore
from kagglerun.sweep.trials import (
    Failure,
    Trial,
    TrialState,
    failed,
    read_trials,
    scored,
    study_id,
    write_trial,
    write_trials,
)
from kagglerun.workspace import StudyPaths

ENDS = (
    scored(Trial(0, {"lr": 0.1, "betas": [0.9, 0.99]}), TrialScore(0.5, (0.4, 0.6), 1.5, curve=(0.1, 0.3))),
    scored(Trial(1, {"name": "größe\n\u2028"}), TrialScore(None, (0.4, float("nan")), 0.5, stopped="fold 2: worse")),
    failed(Trial(2, {}), Failure("OutOfMemory", "fold 0: no room")),
    Trial(3, {"lr": None}),
)


@pytest.fixture
def paths(tmp_path: Path) -> StudyPaths:
    return StudyPaths(tmp_path / "a 'study'\n" / "digits-toy")


def test_every_trial_comes_back_as_it_was_written(paths: StudyPaths) -> None:
    assert read_trials(paths) == []
    for trial in ENDS:
        write_trial(paths, Trial(trial.number, trial.params))
        write_trial(paths, trial)
    assert read_trials(paths) == list(ENDS)


def test_the_last_line_of_a_trial_counts(paths: StudyPaths) -> None:
    write_trials(paths, [Trial(0, {}), Trial(1, {})])
    write_trial(paths, failed(Trial(0, {}), Failure("E", "no")))
    assert [trial.state for trial in read_trials(paths)] == [TrialState.FAIL, TrialState.RUNNING]
    write_trial(paths, Trial(0, {}))
    assert read_trials(paths) == [Trial(0, {}), Trial(1, {})]


def test_times_are_recorded_and_nothing_follows_from_them(paths: StudyPaths) -> None:
    begun = write_trial(paths, Trial(0, {}))
    time.sleep(0.01)
    ended = write_trial(paths, scored(begun, TrialScore(1.0, (1.0,), 1.0)))
    assert ended.started_at == begun.started_at
    assert (ended.ended_at or 0) > (ended.started_at or 0)
    read = read_trials(paths)[0]
    assert (read.started_at, read.ended_at) == (ended.started_at, ended.ended_at)
    assert read == replace(read, started_at=None, ended_at=None)


@pytest.mark.parametrize("cut", [1, 5, 80])
def test_a_torn_last_line_costs_itself_alone(paths: StudyPaths, cut: int) -> None:
    write_trials(paths, [Trial(0, {}), Trial(1, {})])
    whole = paths.trials.read_bytes()
    write_trial(paths, ENDS[0])
    os.truncate(paths.trials, paths.trials.stat().st_size - cut)
    assert read_trials(paths) == [Trial(0, {}), Trial(1, {})]
    write_trial(paths, Trial(2, {}))
    assert read_trials(paths) == [Trial(0, {}), Trial(1, {}), Trial(2, {})]
    assert paths.trials.read_bytes().startswith(whole)


def test_a_torn_line_longer_than_a_block_is_cut_off(paths: StudyPaths) -> None:
    write_trial(paths, Trial(0, {}))
    with paths.trials.open("ab") as stream:
        stream.write(b'{"number": 0, "params": {"x": "' + b"y" * 300_000)
    assert write_trial(paths, Trial(1, {})) == read_trials(paths)[1]


def test_a_file_torn_in_its_first_line_begins_again(paths: StudyPaths) -> None:
    study_id(paths)
    os.truncate(paths.trials, 20)
    assert read_trials(paths) == []
    write_trial(paths, Trial(0, {}))
    assert read_trials(paths) == [Trial(0, {})]


def damaged(**changes: object) -> bytes:
    """A line on trial 1, changed by somebody's hand."""
    trial = Trial(1, {}, TrialState.COMPLETE, value=0.5, fold_scores=(0.5,), seconds=1.0)
    return json.dumps({**asdict(trial), **changes}).encode()


@pytest.mark.parametrize(
    ("line", "damage", "said"),
    [
        (1, b"{}", "lacks 'format'"),
        (1, b'{"format": 9, "study": "x"}', "format 9, and 1 is known"),
        (2, b"{", "Expecting property name"),
        (2, b"[1]", "dictionary update"),
        (2, b'{"number": 0}', "lacks 'failure'"),
        (2, b'{"number": 7}', "about trial 7, and there are 0 before it"),
        (3, b"\xff\xfe", "codec"),
        (3, damaged(value=""), "value is ''"),
        (3, damaged(value=math.nan), "value is nan"),
        (3, damaged(value=None), "it is COMPLETE and its value is None"),
        (3, damaged(state="RUNNING"), "it is RUNNING and its value is 0.5"),
        (3, damaged(state="FAIL", value=None), "its failure is None"),
        (3, damaged(params="x"), "params is 'x'"),
        (3, damaged(fold_scores=[0.5, "x"]), "fold_scores is"),
        (3, damaged(seconds="1"), "seconds is '1'"),
    ],
)
def test_a_damaged_line_is_an_error_that_names_it(paths: StudyPaths, line: int, damage: bytes, said: str) -> None:
    write_trials(paths, [Trial(0, {}), Trial(1, {}), Trial(2, {})])
    lines = paths.trials.read_bytes().split(b"\n")
    lines[line - 1] = damage
    paths.trials.write_bytes(b"\n".join(lines))
    with pytest.raises(JobError, match=f"(?s)line {line} of .*{said}") as damaged:
        read_trials(paths)
    assert "--new" in str(damaged.value.hint)


def test_a_study_keeps_its_id_and_another_has_another(paths: StudyPaths, tmp_path: Path) -> None:
    before = study_id(paths)
    write_trial(paths, Trial(0, {}))
    assert study_id(paths) == before
    other = StudyPaths(tmp_path / "digits" / "digits-toy")
    write_trial(other, Trial(0, {}))
    assert study_id(other) != before


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="only root mounts a small disk")
def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], check=True)
    try:
        paths = StudyPaths(disk / "digits" / "digits-toy")
        write_trial(paths, Trial(0, {}))
        before = paths.trials.read_bytes()
        with pytest.raises(DiskFull):
            write_trial(paths, Trial(1, {"x": "y" * 200_000}))
        assert paths.trials.read_bytes() == before
        write_trial(paths, Trial(1, {}))
        assert len(read_trials(paths)) == 2
    finally:
        subprocess.run(["umount", str(disk)], check=True)


WRITER = """
import sys
from pathlib import Path
from kagglerun.sweep.trials import Trial, read_trials, write_trial
from kagglerun.workspace import StudyPaths
paths = StudyPaths(Path(sys.argv[1]))
number = len(read_trials(paths))
while True:
    write_trial(paths, Trial(number, {"x": "y" * (number * 7919 % 30_000)}))
    print(number, flush=True)
    number += 1
"""


def test_a_writer_that_is_killed_loses_nothing_it_acknowledged(paths: StudyPaths) -> None:
    chance = random.Random(0)
    acknowledged = -1
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(paths.folder)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        for _ in range(chance.randrange(1, 40)):
            acknowledged = int(writer.stdout.readline())
        read_trials(paths)  # while it is written
        writer.send_signal(signal.SIGKILL)
        acknowledged = max([acknowledged, *map(int, writer.communicate()[0].split())])
        trials = read_trials(paths)
        assert acknowledged < len(trials) <= acknowledged + 2
        assert all(len(trial.params["x"]) == trial.number * 7919 % 30_000 for trial in trials)

"""One coordinator a study: who holds the lock, and what another one is told."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kagglerun.errors import JobError
from kagglerun.sweep import lock
from kagglerun.sweep.lock import refuse_if_locked, study_lock
from kagglerun.workspace import StudyPaths


@pytest.fixture
def paths(tmp_path: Path) -> StudyPaths:
    return StudyPaths(tmp_path / "digits" / "digits-toy")


def signed(paths: StudyPaths, **changes: object) -> None:
    paths.lock.write_text(json.dumps({**json.loads(paths.lock.read_text()), **changes}))


def test_the_lock_is_free_again_when_it_was_left(paths: StudyPaths) -> None:
    for _ in range(2):
        with (
            study_lock(paths, "sweep-1"),
            pytest.raises(JobError, match="the job sweep-1 works on the study digits-toy"),
        ):
            refuse_if_locked(paths)
    refuse_if_locked(paths)


def test_a_holder_on_another_machine_is_named_at_once(paths: StudyPaths) -> None:
    with study_lock(paths, "sweep-1"):
        signed(paths, host="alpha", pid=7)
        for refused in (lambda: refuse_if_locked(paths), lambda: study_lock(paths, None).__enter__()):
            with pytest.raises(JobError, match="process 7 on alpha works on the study") as error:
                refused()
            assert error.value.hint == "end it there: kagglerun stop sweep-1"


def test_workers_that_outlive_their_coordinator_are_waited_for(
    paths: StudyPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    with study_lock(paths, "sweep-1") as descriptor:
        worker = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(descriptor,))
        signed(paths, pid=2**22 + 1)  # above the kernel's largest: the coordinator is dead
    monkeypatch.setattr(lock, "_ORPHANS_SECONDS", 0.5)
    with pytest.raises(JobError, match="workers of a coordinator that has died still hold") as refused:
        study_lock(paths, None).__enter__()
    assert f"fuser -v {paths.lock}" in str(refused.value.hint)
    monkeypatch.setattr(lock, "_ORPHANS_SECONDS", 30)
    worker.communicate(b"\n")
    with study_lock(paths, None):
        pass


def test_a_file_system_without_locks_is_refused(paths: StudyPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(JobError, match="has no locks"):
        study_lock(paths, None).__enter__()


def test_a_damaged_lock_file_of_a_dead_coordinator_keeps_nobody_out(paths: StudyPaths) -> None:
    paths.folder.mkdir(parents=True)
    paths.lock.write_bytes(b"\x00{")
    refuse_if_locked(paths)
    with study_lock(paths, None):
        assert json.loads(paths.lock.read_text())["pid"] == os.getpid()


def test_a_study_on_a_disk_for_reading_alone_can_be_looked_at(
    paths: StudyPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    with study_lock(paths, "sweep-1"):
        pass
    real = Path.open

    def only_for_reading(path: Path, mode: str = "r", **options: Any) -> Any:
        if "+" in mode:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return real(path, mode, **options)

    monkeypatch.setattr(Path, "open", only_for_reading)
    refuse_if_locked(paths)
    with study_lock(paths, "sweep-1"), pytest.raises(JobError, match="the job sweep-1 works on the study"):
        refuse_if_locked(paths)

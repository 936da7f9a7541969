"""The log of a job: rotation, followers, last words, full disks, and the process beside the job."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from kagglerun.jobs.control import job_info, stop_job
from kagglerun.jobs.launch import launch
from kagglerun.jobs.log import RotatedLog, follow, tail
from kagglerun.jobs.records import JobState
from kagglerun.workspace import JobPaths, Workspace


@pytest.fixture(autouse=True)
def tasks_are_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


@pytest.fixture
def paths(tmp_path: Path) -> JobPaths:
    job = JobPaths(tmp_path / "a job")
    job.folder.mkdir()
    return job


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def lines(first: int, last: int) -> bytes:
    return b"".join(b"line %05d\n" % number for number in range(first, last))


def companions_of(job: JobPaths) -> list[psutil.Process]:
    found = psutil.process_iter(["cmdline"])
    return [one for one in found if str(job.folder) in (one.info["cmdline"] or []) and "companion" in str(one.info)]


def test_a_full_log_gets_a_number_at_the_end_of_a_line_and_the_oldest_go(paths: JobPaths) -> None:
    log = RotatedLog(paths, limit=100, kept=2)
    for number in range(60):
        log.write(lines(number, number + 1))
    assert [path.name for path in paths.earlier_logs()] == ["log-000004.txt", "log-000005.txt"]
    files = [*paths.earlier_logs(), paths.log]
    assert b"".join(path.read_bytes() for path in files) == lines(30, 60)
    assert all(path.read_bytes().endswith(b"\n") for path in files)


def test_blocks_that_end_within_a_line_lose_nothing(paths: JobPaths) -> None:
    log, text = RotatedLog(paths, limit=64, kept=1000), lines(0, 300)
    for start in range(0, len(text), 7):
        log.write(text[start : start + 7])
    assert b"".join(path.read_bytes() for path in [*paths.earlier_logs(), paths.log]) == text
    assert all(path.stat().st_size < 64 + 11 for path in paths.earlier_logs())


def test_text_without_line_ends_is_rotated_all_the_same(paths: JobPaths) -> None:
    log = RotatedLog(paths, limit=100, kept=3)
    for _ in range(100):
        log.write(b"\rprogress 50%")
    assert sum(path.stat().st_size for path in paths.folder.iterdir()) < 600


def test_the_tail_reaches_back_into_full_files(paths: JobPaths) -> None:
    log = RotatedLog(paths, limit=100, kept=20)
    for number in range(95):
        log.write(lines(number, number + 1))
    assert tail(paths, 42) == lines(53, 95).decode().splitlines()
    assert tail(paths, 10_000) == lines(0, 95).decode().splitlines()
    assert tail(paths, 0) == []


def test_a_follower_sees_every_line_once_across_many_rotations(paths: JobPaths) -> None:
    log, alive = RotatedLog(paths, limit=400, kept=1000), threading.Event()
    log.write(lines(0, 100))

    def write() -> None:
        for number in range(100, 2000):
            log.write(lines(number, number + 1))
            if number % 100 == 0:
                time.sleep(0.03)
        alive.set()

    writer = threading.Thread(target=write)
    follower = follow(paths, 30, lambda: not alive.is_set())
    text = [next(follower)]
    writer.start()
    text += follower
    writer.join()
    assert "".join(text) == lines(70, 2000).decode()
    assert len(paths.earlier_logs()) > 20


def test_a_follower_that_is_too_slow_goes_on_with_the_oldest_file_left(paths: JobPaths) -> None:
    log, alive = RotatedLog(paths, limit=100, kept=2), iter([True, True, False])
    log.write(lines(0, 5))
    follower = follow(paths, 100, lambda: next(alive))
    assert next(follower) == lines(0, 5).decode()
    for number in range(5, 100):
        log.write(lines(number, number + 1))
    kept = b"".join(path.read_bytes() for path in [*paths.earlier_logs(), paths.log]).decode()
    shown = "".join(follower)
    assert shown.endswith(kept) and len(shown) <= len(kept) + 100


def test_a_folder_that_is_gone_ends_nobody(paths: JobPaths) -> None:
    log = RotatedLog(paths, limit=100)
    for path in paths.folder.iterdir():
        path.unlink()
    paths.folder.rmdir()
    log.write(lines(0, 100))
    assert log.is_written


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system can be mounted as root only")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_what_does_not_fit_on_a_full_disk_waits_for_room(small_disk: Path) -> None:
    job = JobPaths(small_disk / "job")
    job.folder.mkdir()
    log, filler = RotatedLog(job, limit=1 << 30), small_disk / "filler"
    log.write(lines(0, 100))
    filler.write_bytes(b"x" * (40 << 10))
    log.write(lines(100, 3000))
    assert not log.is_written
    filler.unlink()
    log.write(b"")
    assert log.is_written
    assert job.log.read_bytes() == lines(0, 3000)


def test_what_is_lost_on_a_full_disk_is_told(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kagglerun.jobs.log._KEPT_IN_MEMORY_BYTES", 1100)
    job = JobPaths(small_disk / "job")
    job.folder.mkdir()
    log, filler = RotatedLog(job), small_disk / "filler"
    log.write(b"begin\n")
    filler.write_bytes(b"x" * (52 << 10))
    for start in range(0, 10_000, 100):
        log.write(lines(start, start + 100))
    filler.unlink()
    log.write(b"")
    text = job.log.read_text()
    lost = sum(int(number) for number in re.findall(r"(\d+) bytes were lost: the disk was full\n", text))
    assert 0 < lost < 110_000
    assert abs(lost + text.count("line ") * len("line 00000\n") - 110_000) < 200
    assert log.is_written and text.endswith("line 09999\n")


def start(workspace: Workspace, *argv: str) -> JobPaths:
    return launch(workspace, "test", ["tasks", *argv], what=f"test {argv[0]}")


def test_a_job_and_all_it_starts_print_into_a_log_that_rotates(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLERUN_LOG_MB", "0.004")
    job = start(workspace, "chatter", "2500")
    shown = "".join(follow(job, 10_000, lambda: job_info(job).state.is_alive))
    numbers = [int(line.split()[-1]) for line in shown.splitlines() if "chatter" in line and "job" not in line]
    assert numbers == sorted(numbers) and numbers[-1] == 2499
    assert len(job.earlier_logs()) == 4
    assert all(path.stat().st_size < 4_100 for path in job.folder.glob("log*"))


def test_the_log_is_whole_once_the_job_says_that_it_has_ended(workspace: Workspace) -> None:
    job = start(workspace, "chatter", "3000")
    wait_until(lambda: job_info(job).state is JobState.DONE)
    assert tail(job, 1)[0].endswith("chatter 2999")


def test_what_a_killed_job_printed_last_is_in_its_log(workspace: Workspace) -> None:
    job = start(workspace, "last_words")
    wait_until(lambda: job_info(job).state is JobState.KILLED)
    assert "".join(follow(job, 1, lambda: False)).strip() == "last words"


def test_nothing_is_lost_when_the_process_beside_the_job_is_killed(workspace: Workspace) -> None:
    job = start(workspace, "chatter", "2000", "0.002")
    wait_until(lambda: len(companions_of(job)) == 1)
    first = companions_of(job)[0]
    os.kill(first.pid, signal.SIGSTOP)  # what is written from now on stays in the pipe
    time.sleep(0.1)
    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: job_info(job).state is JobState.DONE)
    numbers = [int(line.split()[-1]) for line in tail(job, 10_000) if "chatter" in line and "job" not in line]
    assert numbers == list(range(2000))


def test_the_process_beside_a_job_ends_with_it(workspace: Workspace) -> None:
    job = start(workspace, "count", "1")
    wait_until(lambda: job_info(job).state is JobState.DONE)
    wait_until(lambda: not companions_of(job))


def test_a_second_signal_ends_a_job_that_is_stuck_in_c_code(workspace: Workspace) -> None:
    job = start(workspace, "stuck")
    wait_until(lambda: "stuck now" in job.log.read_text())
    pid = job_info(job).pid or 0
    os.kill(pid, signal.SIGTERM)
    time.sleep(0.2)
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: job_info(job).state is JobState.KILLED, 20)
    assert "did not end in time and was killed" in job.log.read_text()


def test_children_of_a_job_survive_a_hang_up_too(workspace: Workspace) -> None:
    job = start(workspace, "with_child")
    wait_until(lambda: "child =" in job.log.read_text())
    child = int(job.log.read_text().split("child =")[1].split()[0])
    os.kill(child, signal.SIGHUP)
    time.sleep(0.1)
    assert psutil.Process(child).status() == psutil.STATUS_SLEEPING
    assert stop_job(job, now=True).state is JobState.STOPPED
    wait_until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)

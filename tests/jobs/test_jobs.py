from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kagglerun.cli.main import run
from kagglerun.errors import ConfigError, JobError
from kagglerun.files import read_json, write_json
from kagglerun.jobs.control import JobInfo, damaged_jobs, find_job, job_info, list_jobs, resumable_jobs, stop_job
from kagglerun.jobs.launch import launch, new_job, relaunch
from kagglerun.jobs.log import follow, tail
from kagglerun.jobs.process import identity, is_alive
from kagglerun.jobs.records import JobState
from kagglerun.workspace import JobPaths, Workspace

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def tasks_are_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


def start(workspace: Workspace, *argv: str, name: str = "test") -> JobPaths:
    return launch(workspace, name, ["tasks", *argv], what=f"test {argv[0]}")


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def ended(job: JobPaths) -> JobInfo:
    wait_until(lambda: not job_info(job).state.is_alive)
    return job_info(job)


def test_a_job_runs_detached_and_says_how_it_ended(workspace: Workspace) -> None:
    job = start(workspace, "count", "3")
    assert job_info(job).pid is not None  # the launcher waits for that
    info = ended(job)
    assert (info.state, info.exit_code, info.numbers, info.progress) == (JobState.DONE, 0, {"step": 2}, "step 2/3")
    assert [line.split()[-1] for line in tail(job, 3)] == ["0", "1", "2"]


def test_a_job_has_a_session_of_its_own_no_input_and_its_log_as_output(workspace: Workspace) -> None:
    job = start(workspace, "environment")
    ended(job)
    assert f"{os.devnull} True {workspace.root}" in job.log.read_text()
    assert "session True" in job.log.read_text()
    assert f"parent {os.getpid()}" not in job.log.read_text()


@pytest.mark.parametrize("name", ["with space", "quo'te\"s", "new\nline", "{braces} %s $HOME", "ünïcode"])
def test_workspaces_with_any_name_work(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(tmp_path / name)
    workspace.competitions.mkdir(parents=True)
    workspace.sweeps.mkdir()
    job = start(workspace, "count", "1")
    assert ended(job).state is JobState.DONE


def test_a_job_outlives_the_process_that_started_it_and_hang_ups(workspace: Workspace) -> None:
    program = (
        "from kagglerun.workspace import Workspace; from kagglerun.jobs.launch import launch; import os, signal;"
        "launch(Workspace.find(), 'test', ['tasks', 'count', '40'], what='test');"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", program], check=False)
    job = find_job(workspace, None)
    os.kill(job_info(job).pid or 0, signal.SIGHUP)
    assert ended(job).state is JobState.DONE


def test_a_failure_is_told_with_its_hint_and_exit_code(workspace: Workspace) -> None:
    info = ended(job := start(workspace, "fail"))
    assert (info.state, info.exit_code, info.error) == (JobState.FAILED, 1, "the loss is not finite")
    assert "→ lower the lr" in job.log.read_text()


def test_a_bug_leaves_its_traceback_in_the_log(workspace: Workspace) -> None:
    info = ended(job := start(workspace, "crash"))
    assert (info.state, info.error) == (JobState.FAILED, "ZeroDivisionError: a bug")
    assert "Traceback" in job.log.read_text()


def test_a_job_that_dies_before_it_has_begun_shows_its_log(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "kagglerun").mkdir()
    (tmp_path / "kagglerun/__init__.py").write_text("raise ImportError('this package is broken')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(JobError, match=r"(?s)did not start:.*this package is broken"):
        start(workspace, "count", "1")


def test_a_killed_job_is_known_as_killed_and_goes_on(workspace: Workspace) -> None:
    job = start(workspace, "count", "600")
    os.kill(job_info(job).pid or 0, signal.SIGKILL)
    assert ended(job).state is JobState.KILLED
    write_json(job.spec, {**read_json(job.spec), "argv": ["-m", "tasks", "count", "2"]})
    relaunch(workspace, job)
    assert (ended(job).state, job_info(job).attempts) == (JobState.DONE, 2)


def test_another_process_with_the_same_number_is_no_sign_of_life(workspace: Workspace) -> None:
    job = start(workspace, "count", "600")
    os.kill(job_info(job).pid or 0, signal.SIGKILL)
    ended(job)
    time.sleep(0.05)  # start times are counted in ticks of 10 ms; a number is not used again that soon
    with subprocess.Popen(["sleep", "600"]) as other:
        try:
            write_json(job.pid, {**read_json(job.pid), "pid": other.pid})
            assert job_info(job).state is JobState.KILLED
            assert stop_job(job).state is JobState.KILLED
            assert other.poll() is None
        finally:
            other.kill()


def test_a_zombie_is_not_alive() -> None:
    process = subprocess.Popen(["sleep", "600"])
    name = identity(process.pid)
    assert name is not None
    assert is_alive(process.pid, name)
    process.kill()
    wait_until(lambda: identity(process.pid) is None)
    process.wait()
    assert not is_alive(process.pid, name)


def test_a_job_without_heartbeat_is_stale(workspace: Workspace) -> None:
    job = start(workspace, "count", "600")
    pid = job_info(job).pid or 0
    os.kill(pid, signal.SIGSTOP)
    write_json(job.status, {**read_json(job.status), "heartbeat": time.time() - 120})
    assert job_info(job).state is JobState.STALE
    os.kill(pid, signal.SIGKILL)


def test_a_job_of_another_machine_is_judged_by_its_heartbeat(workspace: Workspace) -> None:
    job = start(workspace, "count", "600")
    os.kill(job_info(job).pid or 0, signal.SIGKILL)
    ended(job)
    write_json(job.pid, {**read_json(job.pid), "host": "elsewhere"})
    assert job_info(job).state is JobState.RUNNING
    with pytest.raises(JobError, match="runs on elsewhere"):
        stop_job(job)
    write_json(job.status, {**read_json(job.status), "heartbeat": time.time() - 120})
    assert job_info(job).state is JobState.KILLED


def test_a_stopped_job_ends_by_itself(workspace: Workspace) -> None:
    job = start(workspace, "count", "600")
    wait_until(lambda: "step" in job_info(job).progress)
    info = stop_job(job)
    assert (info.state, info.exit_code) == (JobState.STOPPED, 130)
    assert stop_job(job) == info or job_info(job).state is JobState.STOPPED


def test_the_file_stop_stops_a_job(workspace: Workspace) -> None:
    job = start(workspace, "count", "600")
    job.stop.touch()
    assert ended(job).state is JobState.STOPPED


def test_the_file_stop_and_a_signal_that_is_handled_late_are_one_request(workspace: Workspace) -> None:
    job = start(workspace, "saves_slowly")
    wait_until(lambda: "step" in job_info(job).progress)
    job.stop.touch()
    wait_until(lambda: "saving" in job_info(job).progress)
    os.kill(job_info(job).pid or 0, signal.SIGTERM)
    assert ended(job).state is JobState.STOPPED
    assert "saved" in job.log.read_text()


def test_a_second_signal_ends_a_job_at_once(workspace: Workspace) -> None:
    job = start(workspace, "saves_slowly", "600")
    wait_until(lambda: "step" in job_info(job).progress)
    for _ in range(2):
        os.kill(job_info(job).pid or 0, signal.SIGTERM)
        wait_until(lambda: "saving" in job_info(job).progress)
    info = ended(job)
    assert (info.state, info.exit_code) == (JobState.STOPPED, 130)
    assert "saved" not in job.log.read_text()


def test_a_job_that_does_not_listen_is_an_error_that_names_the_way_out(workspace: Workspace) -> None:
    job = start(workspace, "deaf")
    with pytest.raises(JobError, match="has not ended in time") as deaf:
        stop_job(job, seconds=0.3)
    assert str(deaf.value.hint).endswith("--now")
    assert stop_job(job, now=True).state is JobState.STOPPED


def test_a_job_runs_once(workspace: Workspace) -> None:
    job = start(workspace, "count", "600")
    with pytest.raises(JobError, match="is running"):
        relaunch(workspace, job)
    process = subprocess.run(
        [sys.executable, "-m", "kagglerun.jobs", str(job.folder), "1"], capture_output=True, text=True, check=False
    )
    assert "another process already runs this job" in process.stdout
    stop_job(job, now=True)


def test_a_killed_process_may_hold_its_lock_for_a_moment(workspace: Workspace) -> None:
    job = start(workspace, "count", "600")
    stop_job(job, now=True)
    # The last threads of a killed process let go of its files after its number has gone.
    with job.lock.open("a") as held:
        wait_until(lambda: _locked(held.fileno()))
        threading.Timer(1.0, fcntl.flock, (held.fileno(), fcntl.LOCK_UN)).start()
        relaunch(workspace, job)
    assert job_info(job).attempts == 2
    stop_job(job, now=True)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def test_variables_that_a_job_had_are_needed_again_and_never_written_down(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_TOKEN", "s3cret")
    job = launch(workspace, "test", ["tasks", "fail"], what="test", environment=["SOME_TOKEN", "NOT_SET"])
    ended(job)
    assert read_json(job.spec)["environment"] == ["SOME_TOKEN"]
    assert all(b"s3cret" not in path.read_bytes() for path in job.folder.iterdir())
    monkeypatch.delenv("SOME_TOKEN")
    with pytest.raises(JobError, match="started with SOME_TOKEN set"):
        relaunch(workspace, job)


def test_ids_are_readable_and_unique(workspace: Workspace) -> None:
    ids = [start(workspace, "count", "0", name="sweep digits/base\nline").job_id for _ in range(3)]
    assert all(job_id.startswith("sweep-digits-base-line-") for job_id in ids)
    assert len(set(ids)) == 3
    wait_until(lambda: all(not job.state.is_alive for job in list_jobs(workspace)))


def test_a_job_is_found_by_a_part_of_its_id(workspace: Workspace) -> None:
    with pytest.raises(ConfigError, match="there are no jobs"):
        find_job(workspace, None)
    one = start(workspace, "count", "0", name="sweep-digits")
    two = start(workspace, "count", "0", name="sweep-titanic")
    assert find_job(workspace, None) == two
    assert find_job(workspace, "digits") == find_job(workspace, one.job_id) == one
    with pytest.raises(ConfigError, match="several jobs match 'sweep'"):
        find_job(workspace, "sweep")
    with pytest.raises(ConfigError, match="there is no job 'nothing'"):
        find_job(workspace, "nothing")
    ended(one), ended(two)


def test_resume_all_takes_the_newest_of_jobs_that_do_the_same(workspace: Workspace) -> None:
    jobs = [
        start(workspace, "fail"),
        start(workspace, "fail"),
        start(workspace, "count", "0"),
        start(workspace, "crash"),
    ]
    for job in jobs:
        ended(job)
    assert [job.job_id for job in resumable_jobs(workspace)] == [jobs[1].job_id, jobs[3].job_id]


def test_resume_all_leaves_what_is_under_way_alone(workspace: Workspace) -> None:
    running, killed = start(workspace, "count", "600"), start(workspace, "count", "600")
    os.kill(job_info(killed).pid or 0, signal.SIGKILL)
    ended(killed)
    assert resumable_jobs(workspace) == []
    stop_job(running, now=True)
    assert [job.job_id for job in resumable_jobs(workspace)] == [killed.job_id]


def test_following_shows_everything_and_ends_with_the_job(workspace: Workspace) -> None:
    job = start(workspace, "count", "8")
    text = "".join(follow(job, 100, lambda: job_info(job).state.is_alive))
    assert [f"step {n}" in text for n in range(8)] == [True] * 8
    assert text == job.log.read_text()


def test_the_tail_of_a_long_log_is_read_from_its_end(workspace: Workspace) -> None:
    job = workspace.job("long")
    job.folder.mkdir(parents=True)
    job.log.write_text("".join(f"line {number} é\n" for number in range(100_000)))
    assert tail(job, 2) == ["line 99998 é", "line 99999 é"]
    assert tail(job, 0) == []
    assert len(tail(job, 30_000)) == 30_000


def test_a_damaged_record_is_an_error_that_names_the_file(workspace: Workspace) -> None:
    job = start(workspace, "count", "0")
    ended(job)
    for record in (job.status, job.pid, job.spec):
        whole = record.read_text()
        for damage in ("{", "{}", "[1]", whole.replace('"attempt": 1', '"attempt": "x"').replace('"created"', '"x"')):
            record.write_text(damage)
            if damage != whole:
                with pytest.raises(JobError, match=rf"{record.name} is damaged"):
                    job_info(job)
        record.write_text(whole)
    shutil.rmtree(job.folder)
    assert list_jobs(workspace) == []


def test_a_damaged_job_is_named_and_keeps_nobody_from_the_others(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(2):
        job = new_job(workspace, f"job {number}", ["tasks", "count", "0"], f"test {number}", ())
    job.spec.write_text("{}")
    assert [info.what for info in list_jobs(workspace)] == ["test 0"]
    assert [error.message for error in damaged_jobs(workspace)] == [f"{job.spec} is damaged: it lacks 'argv'"]
    assert run(["jobs"]) == 0
    said = capsys.readouterr()
    assert "test 0" in said.out
    assert "rm -r" in said.err


def test_status_is_whole_whenever_it_is_read(workspace: Workspace) -> None:
    job = start(workspace, "count", "40")
    while job_info(job).state.is_alive:
        assert "heartbeat" in json.loads(job.status.read_text())
    assert not list(job.folder.glob(".*.tmp"))

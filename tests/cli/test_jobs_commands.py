from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kagglerun.cli.main import run
from kagglerun.jobs.control import job_info
from kagglerun.jobs.launch import launch
from kagglerun.workspace import JobPaths, Workspace

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "timm", "mlflow", "optuna", "pandas", "kaggle", "ray", "lightgbm", "sklearn", "matplotlib", "fastapi"}


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'tests/jobs'}")


@pytest.fixture
def toy(workspace: Workspace) -> list[str]:
    """Arguments that start a toy sweep of three trials."""
    (workspace.sweeps / "toy.yaml").write_text(
        "competition: digits\nsweep: {trials: 3, search: {optimizer.lr: {low: 1e-5, high: 0.1, log: true}}}\n"
    )
    return ["sweep", "toy", "--objective", "tests.sweep.toy:Toy"]


def start(workspace: Workspace, *argv: str) -> JobPaths:
    return launch(workspace, "test", ["tasks", *argv], what=f"test {argv[0]}")


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def test_jobs_imports_nothing_heavy(workspace: Workspace) -> None:
    start(workspace, "count", "1")
    program = "import sys; from kagglerun.cli.main import run; run(['jobs']); print(*sys.modules)"
    listed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "test count" in listed
    assert HEAVY & set(listed.split()) == set()


def test_jobs_lists_and_prints_json(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["jobs"]) == 0
    assert "no jobs yet" in capsys.readouterr().out
    job = start(workspace, "fail")
    wait_until(lambda: not job_info(job).state.is_alive)
    assert run(["jobs"]) == 0
    shown = capsys.readouterr().out
    assert all(text in shown for text in (job.job_id, "test fail", "failed", "the loss is not finite"))
    assert run(["jobs", "--json"]) == 0
    assert [item["state"] for item in json.loads(capsys.readouterr().out)] == ["failed"]


def test_logs_shows_the_newest_job_and_follows_to_its_end(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    start(workspace, "count", "12")
    assert run(["logs", "-f"]) == 0
    assert "step 11" in capsys.readouterr().out
    assert run(["logs", "-n", "1"]) == 0
    assert capsys.readouterr().out.count("\n") == 1


def test_ctrl_c_while_following_leaves_the_job_running(workspace: Workspace) -> None:
    job = start(workspace, "count", "600")
    with subprocess.Popen(
        [sys.executable, "-m", "kagglerun", "logs", "-f"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as follower:
        assert follower.stdout is not None
        follower.stdout.readline()
        follower.send_signal(signal.SIGINT)
        _, said = follower.communicate()
    assert follower.returncode == 130
    assert "the job runs on" in said
    assert job_info(job).state == "running"
    assert run(["stop", "--now"]) == 0


def test_stop_and_resume(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    job = start(workspace, "count", "30")
    assert run(["stop", job.job_id]) == 0
    assert "is stopped; `kagglerun resume" in capsys.readouterr().out
    assert run(["stop", job.job_id]) == 0
    assert "does not run: it is stopped" in capsys.readouterr().out
    assert run(["resume"]) == 2
    assert job.job_id in capsys.readouterr().err
    assert run(["resume", job.job_id, "--follow"]) == 0
    assert run(["resume", "--all"]) == 0
    assert "no job waits" in capsys.readouterr().out


def test_resume_all_goes_on_with_the_others_where_one_cannot(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_TOKEN", "x")
    needy = launch(workspace, "needy", ["tasks", "fail"], what="needy", environment=["SOME_TOKEN"])
    other = start(workspace, "crash")
    wait_until(lambda: not job_info(needy).state.is_alive and not job_info(other).state.is_alive)
    monkeypatch.delenv("SOME_TOKEN")
    assert run(["resume", "--all"]) == 1
    said = capsys.readouterr()
    assert f"{needy.job_id} does not go on" in said.err and "export SOME_TOKEN=..." in said.err
    assert f"{other.job_id} goes on" in said.out
    wait_until(lambda: job_info(other).attempts == 2 and not job_info(other).state.is_alive)


def test_after_a_reboot_goes_on_what_nobody_stopped_and_what_did_not_fail(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    failed, stopped = start(workspace, "fail"), start(workspace, "count", "601")
    killed, shut_down = start(workspace, "count", "602"), start(workspace, "count", "603")
    assert run(["stop", "--now", stopped.job_id]) == 0
    os.kill(job_info(killed).pid or 0, signal.SIGKILL)
    os.kill(job_info(shut_down).pid or 0, signal.SIGTERM)
    wait_until(lambda: not any(job_info(job).state.is_alive for job in (failed, stopped, killed, shut_down)))
    capsys.readouterr()
    assert run(["resume", "--interrupted"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [killed.job_id, shut_down.job_id]
    for job in (killed, shut_down):
        assert run(["stop", "--now", job.job_id]) == 0


def test_what_systemd_and_cron_need_is_printed(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["resume", "--print-systemd"]) == 0
    unit = capsys.readouterr().out
    assert f'"--workspace" "{workspace.root}" "resume" "--interrupted"\n' in unit and unit.endswith("default.target\n")
    assert run(["resume", "--print-cron"]) == 0
    assert capsys.readouterr().out.startswith("@reboot ")


def test_resume_follow_ends_with_the_code_of_the_job(workspace: Workspace) -> None:
    job = start(workspace, "fail")
    wait_until(lambda: not job_info(job).state.is_alive)
    assert run(["resume", job.job_id, "--follow"]) == 1


@pytest.mark.parametrize("command", [["logs", "nothing"], ["stop", "nothing"], ["resume", "nothing"], ["logs"]])
def test_a_job_that_is_not_there_is_an_error_of_two_lines(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert run(command) == 2
    assert 1 <= capsys.readouterr().err.count("\n") <= 3


def test_sweep_returns_at_once_and_says_how_to_follow(
    workspace: Workspace, toy: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(toy) == 0
    said = capsys.readouterr().out
    assert "started sweep-digits-toy-" in said
    assert all(f"kagglerun {command}" in said for command in ("logs -f", "jobs", "stop", "resume"))
    assert run(["logs", "-f"]) == 0
    assert "3 trials done; best" in capsys.readouterr().out
    assert run(toy) == 0
    assert "the study digits-toy has its 3 trials" in capsys.readouterr().out


def test_a_sweep_that_is_under_way_is_not_started_twice(
    workspace: Workspace, toy: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*toy, "hooks.delay=600"]) == 0
    capsys.readouterr()
    assert run([*toy, "hooks.delay=600"]) == 1
    assert "works on the study digits-toy already" in capsys.readouterr().err
    assert len(list(workspace.all_jobs())) == 1
    assert run(["stop", "--now"]) == 0


def test_sweep_follow_ends_with_the_code_of_the_job(
    workspace: Workspace, toy: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*toy, "--follow"]) == 0
    assert "3 trials done" in capsys.readouterr().out
    failing = ["hooks.fail_at=[0,1]", "sweep.max_failures=2", "name=failing"]
    assert run([*toy, "--follow", *failing]) == 1


def test_sweep_in_the_foreground_starts_no_job(
    workspace: Workspace, toy: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*toy, "-F"]) == 0
    assert "3 trials done" in capsys.readouterr().out
    assert list(workspace.all_jobs()) == []


def test_ctrl_c_in_the_foreground_saves_and_the_same_command_goes_on(workspace: Workspace, toy: list[str]) -> None:
    slow = [sys.executable, "-m", "kagglerun", *toy, "-F", "hooks.delay=0.2"]
    with subprocess.Popen(slow, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "trial 0" in process.stdout.readline()
        os.kill(process.pid, signal.SIGINT)
        _, said = process.communicate()
    assert (process.returncode, "the same command goes on" in said) == (130, True)
    again = subprocess.run(slow, capture_output=True, text=True, check=True)
    assert "3 trials done" in again.stdout


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("optimzer.lr=1", "did you mean 'optimizer'"),
        ("sweep.trials=many", "sweep.trials is 'many'"),
        ("sweep.search.optimizer.lr={low: 2, high: 1}", "low (2) must be below high (1)"),
        ("sweep.search.model.nam=[a]", "unknown key in model 'nam'"),
    ],
)
def test_a_wrong_config_starts_nothing(
    workspace: Workspace, toy: list[str], capsys: pytest.CaptureFixture[str], change: str, message: str
) -> None:
    assert run([*toy, change]) == 2
    assert message in capsys.readouterr().err
    assert not workspace.state.exists()


def test_sweep_without_a_fetched_competition_is_refused_with_the_next_step(
    workspace: Workspace, toy: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["sweep", "toy"]) == 2
    assert "kagglerun fetch digits" in capsys.readouterr().err
    assert not workspace.jobs.exists()

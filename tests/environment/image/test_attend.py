"""A container's first process lasts as long as the jobs that its command started."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kagglerun.jobs.control import list_jobs
from kagglerun.jobs.records import JobState
from kagglerun.workspace import Workspace
from tests.environment.image.made_services import kagglerun

_ROOT = Path(__file__).parents[3]
_JOB = """
import sys
from kagglerun.jobs.launch import launch
from kagglerun.workspace import Workspace

launch(Workspace.find(), "toy", ["tasks", *sys.argv[1:]], what="toy")
sys.exit(4)
"""


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{_ROOT}:{_ROOT / 'tests/jobs'}")


@contextmanager
def _attended(workspace: Workspace, *command: str) -> Iterator[subprocess.Popen[str]]:
    argv = kagglerun("image", "attend", *command)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        yield process
        if process.poll() is None:
            process.kill()


def test_a_command_without_jobs_ends_with_its_own_exit_code(workspace: Workspace) -> None:
    with _attended(workspace, sys.executable, "-c", "import sys; print(sys.argv[1:]); sys.exit(7)", "--x", "a b") as it:
        assert it.communicate(timeout=60)[0] == "['--x', 'a b']\n"
        assert it.returncode == 7


def test_a_command_that_is_not_there_is_named(workspace: Workspace) -> None:
    with _attended(workspace, "no-such-program") as it:
        assert "'no-such-program' cannot be run" in it.communicate(timeout=60)[1]
        assert it.returncode == 1


def test_loader_workers_get_as_many_open_files_as_the_container_may_have(workspace: Workspace) -> None:
    limits = "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    low = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 4096)); "
    start = f"{low}import os; os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    command = [*kagglerun("image", "attend")[1:], sys.executable, "-c", limits]
    argv = [sys.executable, "-c", f"import sys; {start}", *command]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout == "(4096, 4096)\n"


def test_it_stays_until_the_commands_jobs_have_ended(workspace: Workspace) -> None:
    with _attended(workspace, sys.executable, "-c", _JOB, "count", "12") as it:
        _, told = it.communicate(timeout=120)
        assert "the container stays until" in told
        assert it.returncode == 4
    assert [job.state for job in list_jobs(workspace)] == [JobState.DONE]


@pytest.mark.long
def test_sigterm_lets_the_jobs_save_and_end(workspace: Workspace) -> None:
    with _attended(workspace, sys.executable, "-c", _JOB, "count", "6000") as it:
        assert it.stderr is not None
        assert "the container stays until" in it.stderr.readline()
        it.send_signal(signal.SIGTERM)
        it.communicate(timeout=120)
        assert it.returncode == 130
    assert [job.state for job in list_jobs(workspace)] == [JobState.STOPPED]

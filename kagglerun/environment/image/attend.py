"""A command in a container that lasts until the jobs which the command started have ended.

`kagglerun sweep` returns at once, and with the container's first process every other one is gone.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Sequence

from kagglerun.errors import ImageError
from kagglerun.experiment.sync.behind import wait_until_pushed
from kagglerun.jobs.control import JobInfo, list_jobs, stop_job
from kagglerun.workspace import Workspace

_POLL_SECONDS = 1.0
_PUSH_SECONDS = 120.0
"""So long pushes behind the work may take after it; what is owed then goes with the next one."""


def attend(command: Sequence[str], workspace: Workspace, tell: Callable[[list[JobInfo]], None]) -> int:
    """Run a command, then wait for the workspace's jobs; after SIGTERM or Ctrl-C they save and end.

    Args:
        command: what to run, on this process's terminal.
        workspace: whose jobs.
        tell: called with the jobs that go on after the command.

    Returns:
        The command's exit code; 130 when it was interrupted.

    Raises:
        ImageError: there is no such command.
    """
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = _run(command)
        running = _running(workspace)
        if running:
            tell(running)
        while _running(workspace):
            time.sleep(_POLL_SECONDS)
        wait_until_pushed(workspace, _PUSH_SECONDS)
        return code
    except KeyboardInterrupt:
        for job in _running(workspace):
            stop_job(workspace.job(job.job_id))
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(command: Sequence[str]) -> int:
    try:
        process = subprocess.Popen(command)
    except OSError as error:
        raise ImageError(f"{command[0]!r} cannot be run: {error.strerror}") from error
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGTERM)
        process.wait()
        raise


def _running(workspace: Workspace) -> list[JobInfo]:
    return [job for job in list_jobs(workspace) if job.state.is_alive]


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt

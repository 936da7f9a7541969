"""The commands that a session runs, and one that an earlier session left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kagglerun.files import read_json, write_json
from kagglerun.jobs.process import identity, is_alive

_SECOND_SIGNAL_SECONDS = 90.0
_KILL_SECONDS = 120.0
_POLL_SECONDS = 0.2


class Command:
    """A `kagglerun` command while it runs; what it prints goes where this process prints.

    Args:
        arguments: after `kagglerun`.
        environment: of the command.
        mark: a file that names the process, for a session that comes after this one was killed.
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], mark: Path) -> None:
        self._mark = mark
        self._asked_at: float | None = None
        self._process = subprocess.Popen(
            [sys.executable, "-m", "kagglerun", *arguments],
            stdin=subprocess.DEVNULL,
            env=dict(environment),
            start_new_session=True,
        )
        write_json(mark, {"pid": self._process.pid, "started": _identity(self._process.pid)}, durable=False)

    def wait(self, each_time: Callable[[], bool]) -> int:
        """Wait for its end.

        Args:
            each_time: asked several times a second; True asks the command to save and end, as Ctrl-C does.

        Returns:
            Its exit code.
        """
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(_POLL_SECONDS)
                self._mark.unlink(missing_ok=True)
                return code
            if each_time():
                self._end()

    def _end(self) -> None:
        """Ask once, ask again, kill."""
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
            self._process.send_signal(signal.SIGINT)
        elif now - self._asked_at > _KILL_SECONDS:
            self._process.kill()
        elif now - self._asked_at > _SECOND_SIGNAL_SECONDS:
            self._process.send_signal(signal.SIGINT)


def end_leftover(mark: Path) -> bool:
    """End the command that a killed session left behind; whether there was one."""
    if not mark.exists():
        return False
    left = read_json(mark)
    mark.unlink()
    if not left["started"] or not is_alive(left["pid"], left["started"]):
        return False
    for number, seconds in ((signal.SIGINT, _SECOND_SIGNAL_SECONDS), (signal.SIGKILL, _KILL_SECONDS)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(left["pid"], number)
        deadline = time.monotonic() + seconds
        while is_alive(left["pid"], left["started"]) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
    return True


def _identity(pid: int) -> str | None:
    """None where /proc does not tell it: some sandboxes leave parts of it out."""
    try:
        return identity(pid)
    except OSError:
        return None

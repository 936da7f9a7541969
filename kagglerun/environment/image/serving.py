"""Runs services side by side until one of them ends or this process is asked to."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Sequence

from kagglerun.environment.image.health import forget, remember
from kagglerun.environment.image.services import Launch
from kagglerun.errors import ImageError

_POLL_SECONDS = 0.2
_SECONDS_TO_END = 10.0
_PR_SET_PDEATHSIG = 1


def serve(launches: Sequence[Launch]) -> None:
    """Start the services and return after SIGTERM or Ctrl-C; their output is this process's.

    Raises:
        ImageError: one of them ended by itself; the others are ended then.
    """
    processes: dict[str, subprocess.Popen[bytes]] = {}
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        for launch in launches:
            processes[launch.service] = _start(launch)
        remember({launch.service: launch.port for launch in launches})
        _wait(processes)
    except KeyboardInterrupt:
        return
    finally:
        signal.signal(signal.SIGTERM, before)
        forget()
        _end(list(processes.values()))


def _start(launch: Launch) -> subprocess.Popen[bytes]:
    """Start one, in a session of its own: Ctrl-C comes from here, once, as SIGTERM."""
    process = subprocess.Popen(
        launch.argv,
        env={**os.environ, **launch.environment},
        stdin=subprocess.DEVNULL if launch.stdin is None else subprocess.PIPE,
        start_new_session=True,
        preexec_fn=_end_with_parent,
    )
    if launch.stdin is not None:
        assert process.stdin is not None
        process.stdin.write(launch.stdin.encode())
        process.stdin.close()
    return process


def _wait(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    while True:
        for name, process in processes.items():
            code = process.poll()
            if code is not None:
                raise ImageError(f"{name} ended with exit code {code}; what it said stands above")
        time.sleep(_POLL_SECONDS)


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + _SECONDS_TO_END
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _end_with_parent() -> None:
    """In the child: be told to end when the parent is gone, however it went (prctl, Linux)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt

"""A job's end of what connects it with the process beside it; see `companion_process`."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys

from kagglerun.jobs.companion_process import FLUSH
from kagglerun.jobs.process import identity
from kagglerun.workspace import JobPaths

_FLUSH_SECONDS = 5.0


class Companion:
    """Starts the process beside this job, and starts it again should it die.

    From `start` on all that this process and its children print goes through a pipe. This process keeps the end
    that is read open too, so a companion that died leaves a pipe that waits, and not one that is broken.
    """

    def __init__(self, paths: JobPaths) -> None:
        self._paths = paths
        self._pipe: int | None = None
        self._control: socket.socket | None = None

    def start(self) -> None:
        """Lead standard output and error into the pipe, and signals to the companion. For the main thread only.

        Where no process can be started the log is written directly, as it was before, and never rotated.
        """
        reading, writing = os.pipe()
        self._pipe = reading
        if not self._start_process():
            self._pipe = None
            os.close(reading)
            os.close(writing)
            return
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        os.close(writing)
        self._send_signals()

    def check(self) -> None:
        """Start the companion again if it has died."""
        if self._pipe is not None and not self._is_there():
            self._start_process()

    def flush(self) -> None:
        """Return when all that was printed is in the log, or could not be written for a while."""
        if self._control is None:
            return
        with contextlib.suppress(OSError):
            self._control.send(bytes([FLUSH]))
            readable, _, _ = select.select([self._control], [], [], _FLUSH_SECONDS)
            if readable:
                self._control.recv(1)

    def _start_process(self) -> bool:
        assert self._pipe is not None
        pid = os.getpid()
        ours, theirs = socket.socketpair()
        argv = (str(self._paths.folder), str(pid), identity(pid) or "", str(self._pipe), str(theirs.fileno()))
        try:
            with theirs:
                starter = subprocess.Popen(
                    [sys.executable, "-P", "-m", "kagglerun.jobs.companion_process", *argv],
                    stdin=subprocess.DEVNULL,
                    pass_fds=(self._pipe, theirs.fileno()),
                )
            if starter.wait() != 0:
                raise OSError("it ended at once")
        except OSError:
            ours.close()
            return False
        ours.setblocking(False)
        if self._control is None:
            self._control = ours
        else:
            # Signals are written to this descriptor; only the main thread could name another one.
            os.dup2(ours.fileno(), self._control.fileno(), inheritable=False)
            ours.close()
        return True

    def _send_signals(self) -> None:
        assert self._control is not None
        signal.set_wakeup_fd(self._control.fileno(), warn_on_full_buffer=False)

    def _is_there(self) -> bool:
        """Whether the other end of the socket is open; nothing is taken out of it."""
        assert self._control is not None
        try:
            return self._control.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

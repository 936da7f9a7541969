"""The process beside a job: it writes the job's log, and ends the job that does not end by itself.

    job and all that it starts  --pipe-->    log.txt, and log-000001.txt ... once that is full
    signals that reach the job  --socket-->  SIGKILL to the job's processes when the time to save is over

It stands outside the job for two reasons. What a job that is killed wrote last is still in the pipe, and is read
from there. And a job that is stuck in C code runs no handler of Python's, in whatever thread.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import sys
import time
from pathlib import Path

from kagglerun.errors import JobError
from kagglerun.jobs.log import RotatedLog
from kagglerun.jobs.process import is_alive
from kagglerun.workspace import JobPaths

FLUSH = 0
"""What the job sends to have all that it wrote in the log, and the answer; signals send their number."""
MOST_SECONDS = 29.5
"""From the first request to end until the job is killed; its own clock is a little faster."""
_SECOND_REQUEST_SECONDS = 1.0
_TICK_SECONDS = 0.5
_LAST_WORDS_SECONDS = 60.0
_BLOCK_BYTES = 1 << 16


def main(argv: list[str]) -> int:
    """Attend to a job until nothing is left that could write to its log.

    Args:
        argv: the job's folder, its process id and identity, and the descriptors of pipe and socket.
    """
    folder, pid, identity, pipe, control = argv
    if os.fork():
        os._exit(0)  # nobody's child: the job need not wait for it
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a shutdown asks every process; the log ends after the job
    _leave_standard_streams()
    with socket.socket(fileno=int(control)) as connection:
        _Attendant(JobPaths(Path(folder)), int(pid), identity, int(pipe), connection).run()
    return 0


class _Attendant:
    """Reads pipe and socket of one job."""

    def __init__(self, paths: JobPaths, pid: int, identity: str, pipe: int, control: socket.socket) -> None:
        self._paths = paths
        self._log = RotatedLog(paths)
        self._pid, self._identity = pid, identity
        self._pipe, self._control = pipe, control
        self._requests = 0
        self._deadline: float | None = None
        os.set_blocking(pipe, False)
        control.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(pipe, selectors.EVENT_READ)
        self._selector.register(control, selectors.EVENT_READ)

    def run(self) -> None:
        """Until every writer has closed the pipe."""
        while self._step():
            pass
        until = time.monotonic() + _LAST_WORDS_SECONDS
        while not self._log.is_written and time.monotonic() < until:
            time.sleep(_TICK_SECONDS)
            self._log.write(b"")
        if self._requests == 0:
            self._tell_if_killed()

    def _tell_if_killed(self) -> None:
        """Tell people of a job that went without a word: out of memory, kill -9."""
        from kagglerun.jobs.control import job_info
        from kagglerun.jobs.notify import notify, this_process_is, wait_until_told
        from kagglerun.jobs.records import JobState

        try:
            job = job_info(self._paths)
        except JobError:
            return  # its folder was removed
        if job.state is JobState.KILLED and job.pid == self._pid:
            this_process_is(job.job_id)
            notify("failed", f"{job.what} was killed (out of memory?); `kagglerun resume {job.job_id}` goes on")
            wait_until_told()

    def _step(self) -> bool:
        ready = [key.fd for key, _ in self._selector.select(_TICK_SECONDS)]
        if self._control.fileno() in ready:
            self._listen()
        if not self._log.is_written:
            self._log.write(b"")
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self._kill()
        return self._read_one() if self._pipe in ready else True

    def _read_one(self) -> bool:
        """Write one block into the log; False at the end of the pipe."""
        try:
            block = os.read(self._pipe, _BLOCK_BYTES)
        except BlockingIOError:
            return True
        self._log.write(block)
        return bool(block)

    def _listen(self) -> None:
        try:
            said = self._control.recv(_BLOCK_BYTES)
        except BlockingIOError:
            return
        if not said:
            self._selector.unregister(self._control)
        for number in said:
            if number == FLUSH:
                self._flush()
            elif number in (signal.SIGTERM, signal.SIGINT):
                self._asked_to_end()

    def _flush(self) -> None:
        while True:
            try:
                block = os.read(self._pipe, _BLOCK_BYTES)
            except BlockingIOError:
                break
            if not block:
                break
            self._log.write(block)
        with contextlib.suppress(OSError):
            self._control.send(bytes([FLUSH]))

    def _asked_to_end(self) -> None:
        self._requests += 1
        seconds = MOST_SECONDS if self._requests == 1 else _SECOND_REQUEST_SECONDS
        deadline = time.monotonic() + seconds
        self._deadline = deadline if self._deadline is None else min(deadline, self._deadline)

    def _kill(self) -> None:
        self._deadline = None
        if is_alive(self._pid, self._identity):
            self._log.write(f"{time.strftime('%H:%M:%S')} it did not end in time and was killed\n".encode())
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)  # on a cluster it leads no group
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._pid, signal.SIGKILL)


def _leave_standard_streams() -> None:
    """Hold no end of the pipe open that is not ours."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

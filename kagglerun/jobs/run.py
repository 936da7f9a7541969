"""The process of a job: its pid, heartbeat, signals and last word.

A module run as a job has `main(argv) -> int` and speaks through `current()`. It ends when `stop_requested`
turns true: at SIGTERM or when a file `stop` appears. What has not ended 30 seconds later, or gets a second
SIGTERM, is ended at once, by itself or by the process beside it.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NoReturn, Protocol

from kagglerun.errors import DiskFull, JobError, KagglerunError
from kagglerun.jobs.companion import Companion
from kagglerun.jobs.gpus import GpuWatch
from kagglerun.jobs.notify import Event, notify, this_process_is, wait_until_told
from kagglerun.jobs.process import identity, is_alive
from kagglerun.jobs.records import (
    JobProcess,
    JobSpec,
    JobState,
    JobStatus,
    read_process,
    read_spec,
    write_process,
    write_status,
)
from kagglerun.workspace import JobPaths

HEARTBEAT_SECONDS = 2.0
PROGRESS_SECONDS = 10.0
STOP_SECONDS = 28.0
"""From the request to end until this process ends itself; the process beside it does so 1.5 s later."""
STOPPED_EXIT_CODE = 130
READY = b"ready"
_DYING_SECONDS = 10.0
_POLL_SECONDS = 0.05


class Reporter(Protocol):
    """How a long piece of work speaks to whoever follows it."""

    def say(self, text: str) -> None:
        """Write one line to the log."""

    def progress(self, text: str, numbers: Mapping[str, Any]) -> None:
        """Say how far it is: one line for people, JSON values for programs."""

    @property
    def stop_requested(self) -> bool:
        """Whether somebody asked for the work to end soon."""


class JobReporter:
    """The reporter of a job: log lines on standard output, the rest in status.json, with a heartbeat."""

    def __init__(self, paths: JobPaths, attempt: int) -> None:
        self._paths = paths
        self._attempt = attempt
        self._companion = Companion(paths)
        self._gpus = GpuWatch(os.getpid())
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._text = ""
        self._numbers: Mapping[str, Any] = {}
        # Re-entrant: a signal handler may write the last word while the main thread writes a heartbeat.
        self._lock = threading.RLock()
        self._said_at = time.monotonic()

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self._paths.job_id

    @property
    def text(self) -> str:
        """How far it is, for people."""
        return self._text

    @property
    def numbers(self) -> Mapping[str, Any]:
        """The same for programs."""
        return self._numbers

    def say(self, text: str) -> None:
        """Write one line with the time of day to the log."""
        sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
        sys.stdout.flush()
        self._said_at = time.monotonic()

    def progress(self, text: str, numbers: Mapping[str, Any]) -> None:
        """Keep what the next heartbeat writes; the log gets a line now and then."""
        changed = text != self._text
        self._text, self._numbers = text, dict(numbers)
        if changed and time.monotonic() - self._said_at >= PROGRESS_SECONDS:
            self.say(text)

    @property
    def stop_requested(self) -> bool:
        """Whether SIGTERM or the file `stop` came."""
        return self._stop.is_set()

    def request_stop(self) -> None:
        """Ask the work to end; what is left after STOP_SECONDS is ended at once."""
        if not self._stop.is_set():
            self._stop.set()
            watchdog = threading.Timer(STOP_SECONDS, self.end_now)
            watchdog.daemon = True
            watchdog.start()

    def end_now(self) -> NoReturn:
        """End this process and all that it started, at once."""
        self.finish(JobState.STOPPED, STOPPED_EXIT_CODE)
        os.killpg(os.getpgid(0), signal.SIGKILL)
        os._exit(STOPPED_EXIT_CODE)  # the group's signal ends this process too

    def beat(self) -> None:
        """Write status.json unless the last word is said."""
        with self._lock:
            if not self._ended.is_set():
                self._write(JobState.RUNNING, durable=False)

    def finish(self, state: JobState, exit_code: int, error: str | None = None) -> None:
        """Say the last word. On a full disk the log alone has it, and the job counts as killed."""
        self._gpus.stop()
        self._companion.flush()  # whoever reads that it has ended finds all of its log
        problem: Exception | None = None
        with self._lock:
            self._ended.set()
            try:
                self._write(state, durable=True, exit_code=exit_code, error=error)
            except (OSError, DiskFull) as full:
                problem = full
        if problem is not None:
            with contextlib.suppress(OSError):
                self.say(f"{state}, but {problem}")

    def start(self) -> None:
        """Have the log written by the process beside this one, and beat from another thread until the last word."""
        self._companion.start()
        self._gpus.start()
        self.beat()
        threading.Thread(target=self._heartbeat, name="heartbeat", daemon=True).start()

    def _heartbeat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            if self._paths.stop.exists():
                self.request_stop()
            self._companion.check()
            # A full disk must not end the heartbeat: there may be room again.
            with contextlib.suppress(OSError, DiskFull):
                self.beat()

    def _write(self, state: JobState, durable: bool, exit_code: int | None = None, error: str | None = None) -> None:
        gpus = self._gpus.found if state is JobState.RUNNING else ()
        status = JobStatus(state, self._attempt, time.time(), self._text, self._numbers, exit_code, error, gpus)
        write_status(self._paths, status, durable)


_current: JobReporter | None = None


def current_job_id() -> str | None:
    """Id of the job that this process is; None when it is none."""
    return _current.job_id if _current else None


def current() -> Reporter:
    """The reporter of the job that this process is.

    Raises:
        JobError: this process is no job.
    """
    if _current is None:
        raise JobError("this program runs as a job of kagglerun only", hint="kagglerun sweep --help")
    return _current


def detach() -> None:
    """Leave the launcher's session and stop being its child, so that its end, a hang-up or a logout do not matter."""
    if os.fork():
        os._exit(0)
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def run_job(folder: Path, ready_fd: int) -> int:
    """Run the job of `folder` in this process.

    Args:
        folder: the job's folder, with spec.json.
        ready_fd: file descriptor to which READY is written once the pid is; then it is closed.

    Returns:
        The exit code.
    """
    paths = JobPaths(folder)
    with _only_process(paths):
        reporter = _begin(paths)
        os.write(ready_fd, READY)
        os.close(ready_fd)
        return _work(paths, reporter)


@contextlib.contextmanager
def _only_process(paths: JobPaths) -> Iterator[None]:
    """Hold the job's lock; the system frees it when the process dies, however that happens."""
    deadline = time.monotonic() + _DYING_SECONDS
    with paths.lock.open("a") as stream:
        while not _try_lock(stream):
            if _runs(paths) or time.monotonic() > deadline:
                sys.stdout.write("another process already runs this job\n")
                sys.exit(1)
            time.sleep(_POLL_SECONDS)
        yield


def _try_lock(stream: IO[str]) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _runs(paths: JobPaths) -> bool:
    """Whether the process that took the job last is alive; one just killed keeps its lock until its threads end."""
    process = read_process(paths)
    return process is not None and is_alive(process.pid, process.identity)


def _begin(paths: JobPaths) -> JobReporter:
    global _current
    before = read_process(paths)
    attempt = before.attempt + 1 if before else 1
    pid = os.getpid()
    reporter = JobReporter(paths, attempt)
    on_signal = _Signals(reporter)
    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    write_process(paths, JobProcess(pid, identity(pid) or "", socket.gethostname(), attempt, time.time()))
    reporter.start()
    _current = reporter
    this_process_is(paths.job_id)
    return reporter


class _Signals:
    """Takes the signals that ask for an end: the first saves, the second ends at once.

    The file `stop` is no first one: who stops a job writes it and sends a signal, which Python may handle late.
    """

    def __init__(self, reporter: JobReporter) -> None:
        self._reporter = reporter
        self._has_come = False

    def __call__(self, *_: object) -> None:
        if self._has_come:
            self._reporter.end_now()
        self._has_come = True
        self._reporter.request_stop()


def _work(paths: JobPaths, reporter: JobReporter) -> int:
    spec = read_spec(paths)
    reporter.say(f"{spec.what}: job {paths.job_id}, process {os.getpid()}")
    try:
        module = importlib.import_module(spec.argv[1])
        code = int(module.main(list(spec.argv[2:])))
    except KagglerunError as error:
        return _failed(reporter, spec, error.exit_code, error.message, error.hint)
    except Exception as error:
        traceback.print_exc()
        return _failed(reporter, spec, 1, f"{type(error).__name__}: {error}", None)
    if code == 0:
        reporter.finish(JobState.DONE, 0)
        _tell(reporter, Event.DONE, f"{spec.what} is done. {reporter.text}".rstrip(". "))
    elif reporter.stop_requested:
        reporter.say(f"stopped; `kagglerun resume {paths.job_id}` goes on")
        reporter.finish(JobState.STOPPED, STOPPED_EXIT_CODE)
    else:
        return _failed(reporter, spec, code, f"ended with code {code}", None)
    return code


def _failed(reporter: JobReporter, spec: JobSpec, exit_code: int, error: str, hint: str | None) -> int:
    reporter.say(f"error: {error}" + (f"\n  → {hint}" if hint else ""))
    reporter.finish(JobState.FAILED, exit_code, error)
    _tell(reporter, Event.FAILED, f"{spec.what} failed: {error}")
    return exit_code


def _tell(reporter: JobReporter, event: Event, text: str) -> None:
    """After the last word, so that a slow server keeps nobody waiting for it."""
    notify(event, text, reporter.numbers)
    wait_until_told()

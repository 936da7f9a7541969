"""Processes that are born quickly, to be killed: one process imports torch once and forks a child for each attempt.

A child is a real process with its own session; SIGKILL ends it and whatever it started. The parent has run no
operation of torch before a fork, so no pool of threads is cut in two.

    with Nursery() as nursery:
        child = nursery.start("kagglerun.experiment.rerun.resume_proof:attempt", [str(workspace), "run"])
        child.kill()
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from kagglerun.errors import JobError

_BIRTH_SECONDS = 120.0
_TRACE_SECONDS = 0.25
_PROGRAM = "from kagglerun.experiment.rerun.nursery import serve; serve()"


class Child:
    """A forked process.

    Attributes:
        pid: its process id, and that of its group.
        started: when it was asked for, by the monotonic clock.
    """

    def __init__(self, pid: int, trace: Path, nursery: Nursery) -> None:
        self.pid, self.started = pid, time.monotonic()
        self._trace, self._nursery = trace, nursery

    def kill(self) -> str:
        """Kill it and all it started with SIGKILL.

        Returns:
            The stack of its threads a moment before, as `faulthandler` writes it; empty when it had ended.
        """
        before = self._trace.stat().st_size if self._trace.exists() else -1
        with contextlib.suppress(ProcessLookupError):
            if before == 0:
                os.kill(self.pid, signal.SIGUSR1)
                self._wait_for_trace()
            os.killpg(self.pid, signal.SIGKILL)
        return self._trace.read_text("utf-8", errors="replace") if self._trace.exists() else ""

    def wait(self, seconds: float = 600.0) -> int | None:
        """Its exit code, negative for the signal that ended it; None when it still runs after so many seconds."""
        return self._nursery.wait_for(self.pid, seconds)

    def _wait_for_trace(self) -> None:
        """Until the stack is written whole; a process that does not answer is killed all the same."""
        deadline = time.monotonic() + _TRACE_SECONDS
        size = -1
        while time.monotonic() < deadline:
            now = self._trace.stat().st_size
            if 0 < now == size:
                return
            size = now
            time.sleep(0.0005)


class Nursery:
    """A process that forks children; a context manager that ends it and them.

    Args:
        modules: imported before the first fork, so that no child waits for them.
        threads: threads of each child.
    """

    def __init__(self, modules: Sequence[str] = (), threads: int = 1) -> None:
        self._modules, self._threads = tuple(modules), threads
        self._process: subprocess.Popen[str] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._ended: dict[int, int] = {}
        self._alive: set[int] = set()
        self._buffer = ""

    def __enter__(self) -> Nursery:
        self._folder = tempfile.TemporaryDirectory(prefix="kagglerun-nursery-")
        quiet = {
            "OMP_NUM_THREADS": str(self._threads),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **quiet},
        )
        self._say({"modules": self._modules, "threads": self._threads})
        self._hear(_BIRTH_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None and self._folder is not None
        for pid in self._alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def start(self, target: str, arguments: Sequence[str]) -> Child:
        """Fork a child that calls `target` with the arguments and ends with what it returns as exit code.

        Args:
            target: `module:function`; the function takes texts and returns an int or None.
            arguments: its arguments.

        Raises:
            JobError: the nursery has died.
        """
        assert self._folder is not None
        trace = Path(self._folder.name) / f"{time.monotonic_ns()}.trace"
        self._say({"target": target, "arguments": list(arguments), "trace": str(trace)})
        deadline = time.monotonic() + _BIRTH_SECONDS
        while time.monotonic() < deadline:
            said = self._hear(deadline - time.monotonic())
            if "born" in said:
                self._alive.add(said["born"])
                return Child(said["born"], trace, self)
        raise JobError("the process that starts others does not answer")

    def wait_for(self, pid: int, seconds: float) -> int | None:
        """The exit code of a child; None when it still runs after so many seconds."""
        deadline = time.monotonic() + seconds
        while pid not in self._ended:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            with contextlib.suppress(TimeoutError):
                self._hear(left)
        return self._ended[pid]

    def _say(self, message: dict[str, Any]) -> None:
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise JobError("the process that starts others has died") from error

    def _hear(self, seconds: float) -> dict[str, Any]:
        """The next message; ends of children are noted by the way.

        Raises:
            TimeoutError: none came.
            JobError: the nursery has died.
        """
        assert self._process is not None and self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        while "\n" not in self._buffer:
            if not select.select([descriptor], [], [], max(0.0, seconds))[0]:
                raise TimeoutError
            chunk = os.read(descriptor, 65536).decode("utf-8")
            if not chunk:
                raise JobError("the process that starts others has died")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition("\n")
        said: dict[str, Any] = json.loads(line)
        if "ended" in said:
            self._ended[said["ended"]] = said["code"]
            self._alive.discard(said["ended"])
        return said


def serve() -> None:
    """Be the nursery: fork a child for each line on standard input, and say when one ends. Ends with its parent."""
    settings = json.loads(sys.stdin.readline())
    import torch

    torch.set_num_threads(settings["threads"])
    for module in settings["modules"]:
        importlib.import_module(module)
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a child prints must not stand between the replies
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    replies.write('{"ready": true}\n')
    _serve_lines(replies, wake)


def _serve_lines(replies: IO[str], wake: int) -> None:
    buffer = b""
    while True:
        ready, _, _ = select.select([0, wake], [], [])
        if wake in ready:
            os.read(wake, 4096)
            _tell_of_the_dead(replies)
        if 0 not in ready:
            continue
        chunk = os.read(0, 65536)
        if not chunk:
            return
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            pid = _fork(json.loads(line))
            replies.write(json.dumps({"born": pid}) + "\n")


def _tell_of_the_dead(replies: IO[str]) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        replies.write(json.dumps({"ended": pid, "code": os.waitstatus_to_exitcode(status)}) + "\n")


def _fork(asked: dict[str, Any]) -> int:
    """Give birth; the child is in its own session and can tell where it is before this returns."""
    ready, say_ready = os.pipe()
    pid = os.fork()
    if pid:
        os.close(say_ready)
        os.read(ready, 1)  # the end of the file, should it die first
        os.close(ready)
        return pid
    code = 1
    try:
        os.close(ready)
        code = _live(asked, say_ready)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _live(asked: dict[str, Any], say_ready: int) -> int:
    """A child's whole life."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    with Path(asked["trace"]).open("w") as trace:
        faulthandler.register(signal.SIGUSR1, trace, all_threads=True)
        os.close(say_ready)
        module, _, name = asked["target"].partition(":")
        function: Callable[..., int | None] = getattr(importlib.import_module(module), name)
        return function(*asked["arguments"]) or 0

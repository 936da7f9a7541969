"""Start such a program, wait so long and no longer, and read what it told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, Any

from kagglerun.jobs.child import how_it_ended

_KILL_SECONDS = 5.0
_POLL_SECONDS = 0.05
_TAIL_BYTES = 6000
_PACKAGE = "kagglerun.environment.doctor.children"


@dataclass(frozen=True)
class Answer:
    """What a child told.

    Attributes:
        messages: its objects, in order.
        failure: how it ended and the end of its standard error; None where it ended well.
    """

    messages: tuple[Mapping[str, Any], ...]
    failure: str | None

    def last(self, key: str) -> Any:
        """The last value that it told under this key; None where it told none."""
        return next((message[key] for message in reversed(self.messages) if key in message), None)

    def every(self, key: str) -> list[Any]:
        """All values that it told under this key."""
        return [message[key] for message in self.messages if key in message]


def ask(program: str, arguments: Sequence[str] = (), seconds: float = 60.0, **environment: str) -> Answer:
    """Run one of the programs of this package.

    Args:
        program: the module's name.
        arguments: its arguments.
        seconds: when it is killed.
        environment: variables that it gets beside ours.
    """
    return ask_all(program, [arguments], seconds, **environment)[0]


def ask_all(
    program: str, arguments: Iterable[Sequence[str]], seconds: float = 60.0, **environment: str
) -> list[Answer]:
    """Run a program several times at once; when one fails the others are ended too."""
    with ExitStack() as stack:
        children = []
        for each in arguments:
            out = stack.enter_context(tempfile.TemporaryFile())
            err = stack.enter_context(tempfile.TemporaryFile())
            children.append(_Child(stack, program, each, environment, out, err))
        waited = _wait(children, seconds)
        return [child.answer(waited) for child in children]


def _wait(children: Sequence[_Child], seconds: float) -> str:
    """Return when all have ended, or the time is over, or one has failed; with the words for those that still run."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        codes = [child.process.poll() for child in children]
        if any(code not in (None, 0) for code in codes):
            _wait_for_the_rest(children)
            return "it was waiting for one that failed"
        if None not in codes:
            break
        time.sleep(_POLL_SECONDS)
    return f"no answer within {seconds:.0f} s"


def _wait_for_the_rest(children: Sequence[_Child]) -> None:
    """What the end of the failed one tells the others is heard for a moment."""
    deadline = time.monotonic() + _KILL_SECONDS
    while any(child.runs for child in children) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


class _Child:
    """A process whose output goes into files: one that hangs in the driver cannot be killed, nor its pipes closed."""

    def __init__(
        self,
        stack: ExitStack,
        program: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        out: IO[bytes],
        err: IO[bytes],
    ) -> None:
        self._out, self._err = out, err
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", f"{_PACKAGE}.{program}", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
            start_new_session=True,
            env={**os.environ, "KAGGLERUN_DOCTOR": str(os.getpid()), **environment},
        )
        stack.callback(self._end)

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    def answer(self, waited: str) -> Answer:
        was_running = self.runs
        self._end()
        messages = tuple(_messages(self._read(self._out)))
        return Answer(messages, self._failure(was_running, waited))

    def _failure(self, was_running: bool, waited: str) -> str | None:
        code = self.process.returncode
        if code == 0:
            return None
        tail = self._read(self._err)[-_TAIL_BYTES:].decode("utf-8", "replace").strip()
        if was_running:
            end = waited + (", and it cannot be killed" if code is None else "")
        else:
            assert code is not None
            end = how_it_ended(code)
        return f"{end}\n{tail}" if tail else end

    def _read(self, stream: IO[bytes]) -> bytes:
        stream.seek(0)
        return stream.read()

    def _end(self) -> None:
        if self.runs:
            self.process.kill()
            try:
                self.process.wait(_KILL_SECONDS)
            except subprocess.TimeoutExpired:
                return  # it waits in the driver; the doctor goes on without it


def _messages(text: bytes) -> Iterable[Mapping[str, Any]]:
    """Only our own lines: libraries print too, and a crash cuts the last line."""
    for line in text.decode("utf-8", "replace").splitlines():
        if line.startswith("{"):
            try:
                yield json.loads(line)
            except ValueError:
                continue

"""Runs the programs of container engines."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

from kagglerun.errors import ImageError

_LAST_LINES = 3


def output_of(argv: Sequence[str], seconds: float = 120) -> str:
    """Run a short command and give its standard output.

    Raises:
        ImageError: it failed, or took longer than `seconds`; the message ends with what it said last.
    """
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ImageError(f"{_said(argv)} did not answer within {seconds:.0f} s") from None
    except OSError as error:
        raise ImageError(f"{argv[0]} cannot be run: {error.strerror}") from error
    if done.returncode:
        last = [line for line in done.stderr.splitlines() if line.strip()][-_LAST_LINES:]
        raise ImageError(f"{_said(argv)} failed: {' / '.join(last) or f'exit code {done.returncode}'}")
    return done.stdout


def run_shown(argv: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    """Run a long command whose progress goes to standard error.

    Args:
        argv: the command.
        environment: variables beside those of this process.

    Raises:
        ImageError: it failed.
    """
    try:
        code = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=2, env={**os.environ, **(environment or {})}, check=False
        ).returncode
    except OSError as error:
        raise ImageError(f"{argv[0]} cannot be run: {error.strerror}") from error
    if code:
        raise ImageError(f"{_said(argv)} failed with exit code {code}; what it said stands above")


def _said(argv: Sequence[str]) -> str:
    """The program and its verb: the whole command may be long."""
    return " ".join(argv[:2]).rpartition("/")[2]

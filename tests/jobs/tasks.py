"""What the jobs of the tests do."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from kagglerun.errors import TrainingError
from kagglerun.jobs.run import current


def main(argv: list[str]) -> int:
    name, *arguments = argv
    return {"count": count, "fail": fail, "crash": crash, "environment": environment, "deaf": deaf}[name](*arguments)


def count(steps: str) -> int:
    job = current()
    for step in range(int(steps)):
        job.say(f"step {step}")
        job.progress(f"step {step}/{steps}", {"step": step})
        if job.stop_requested:
            return 130
        time.sleep(0.05)
    return 0


def fail() -> int:
    raise TrainingError("the loss is not finite", hint="lower the lr")


def crash() -> int:
    raise ZeroDivisionError("a bug")


def environment() -> int:
    descriptors = {fd: str(Path(f"/proc/self/fd/{fd}").readlink()) for fd in (0, 1, 2)}
    sys.stdout.write(f"{descriptors[0]} {descriptors[1] == descriptors[2]} {Path.cwd()}\n")
    sys.stdout.write(f"session {os.getsid(0) == os.getpid()} parent {os.getppid()}\n")
    return 0


def deaf() -> int:
    while True:
        time.sleep(1)

"""What the jobs of the tests do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from kagglerun.errors import TrainingError
from kagglerun.jobs.run import current


def main(argv: list[str]) -> int:
    name, *arguments = argv
    return int(globals()[name](*arguments))


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


def chatter(lines: str, seconds: str = "0") -> int:
    """Prints from here and from a child, in turn."""
    program = "import sys; [print('chatter', line.strip(), flush=True) for line in sys.stdin]"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, text=True, bufsize=1) as child:
        assert child.stdin is not None
        child.stdin.write("0\n")
        child.stdin.close()
    for line in range(1, int(lines)):
        sys.stdout.write(f"chatter {line}\n")
        time.sleep(float(seconds))
    return 0


def last_words() -> int:
    os.write(1, b"line\n" * 5000 + b"last words\n")
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def stuck() -> int:
    os.write(1, b"stuck now\n")
    return sum(range(10**15))  # holds the interpreter and looks at no signal, as a hanging driver does


def with_child() -> int:
    child = subprocess.Popen(["sleep", "600"])
    os.write(1, f"child = {child.pid}\n".encode())
    return child.wait()


def saves_slowly(seconds: str = "1") -> int:
    job = current()
    job.progress("step", {})
    while not job.stop_requested:
        time.sleep(0.01)
    job.progress("saving", {})
    until = time.monotonic() + max(3.0, float(seconds))
    while time.monotonic() < until:
        time.sleep(0.01)
    job.say("saved")
    return 130

"""A process that works for another one of ours and dies with it.

Both speak JSON, one object a line, over the child's standard input and output.
"""

from __future__ import annotations

import ctypes
import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Mapping
from typing import Any

from kagglerun.nvml import NoGpus, Nvml

_PR_SET_PDEATHSIG = 1
PARENT = "KAGGLERUN_PARENT"
"""Environment variable: process id of the parent, for children whose arguments are not free."""


class Channel:
    """The child's pipes to its parent, taken away from standard input and output.

    What the child prints goes to standard error; the pipe carries the protocol alone. The end of the input ends
    the process.

    Args:
        listens: read the parent's messages; one process alone may read a pipe that several inherited.
    """

    def __init__(self, listens: bool = True) -> None:
        self.stop = threading.Event()
        """Set when the parent asked for an end."""
        self._messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._input = os.fdopen(os.dup(0), "rb")
        self._output = os.fdopen(os.dup(1), "wb")
        close_standard_input()
        os.dup2(2, 1)
        if listens:
            threading.Thread(target=self._listen, name="parent", daemon=True).start()

    def receive(self) -> dict[str, Any]:
        """The next message but `stop`, waiting for it."""
        return self._messages.get()

    def send(self, message: Mapping[str, Any]) -> None:
        """Tell the parent something."""
        self._output.write(json.dumps(message).encode() + b"\n")
        self._output.flush()

    def _listen(self) -> None:
        for line in self._input:
            message = json.loads(line)
            if "stop" in message:
                self.stop.set()
            else:
                self._messages.put(message)
        os._exit(0)  # no parent, no work: what is saved is enough to go on


def close_standard_input() -> None:
    """Give this process an empty standard input, so that nothing it starts reads the parent's messages."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def die_with(parent: int) -> None:
    """Have the kernel end this process when its parent dies. Elsewhere than on Linux the end of the input does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)  # it died before the kernel was told


def how_it_ended(exit_code: int) -> str:
    """The end of a child in words, from the code that `Popen.wait` gives."""
    if exit_code >= 0:
        return f"ended with code {exit_code}"
    note = " (out of memory?)" if -exit_code == signal.SIGKILL else ""
    return f"killed by {signal.Signals(-exit_code).name}{note}"


def visible_devices() -> list[str]:
    """GPUs that children may use, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [device.strip() for device in named.split(",") if device.strip()]
    try:
        with Nvml.open() as nvml:
            return [gpu.index for gpu in nvml.whole_gpus()]
    except NoGpus:
        return []  # no driver, no GPU

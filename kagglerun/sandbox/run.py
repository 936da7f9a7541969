"""Executing one notebook in the sandbox, within limits of time and memory."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from kagglerun.errors import SandboxError
from kagglerun.files import read_json, write_bytes
from kagglerun.sandbox.bubblewrap import (
    ENVIRONMENT,
    Scratch,
    check_input_names,
    require_bubblewrap,
    sandboxed,
)
from kagglerun.sandbox.interpreter import describe, write_thin_environment
from kagglerun.sandbox.log import LogReader
from kagglerun.sandbox.memory import TreeMemory

State = Literal["finished", "failed", "out of time", "out of memory"]
_POLL_SECONDS = 0.1
_END_SECONDS = 20.0
_VARIABLES = {
    "HOME": "/root",
    "USER": "root",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "MPLBACKEND": "agg",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "KAGGLE_KERNEL_RUN_TYPE": "Batch",
    "KAGGLE_URL_BASE": "https://www.kaggle.com",
}
"""As on Kaggle, where a program asks for them."""


@dataclass(frozen=True)
class NotebookRun:
    """How a notebook ended.

    Attributes:
        state: "finished", "failed" (a cell raised), "out of time" or "out of memory".
        error: why it did not finish: the exception's name and message, then the cell; None where it finished.
        log: what it printed, line by line.
        seconds: how long it ran, its start included.
        peak_bytes: most memory that its processes held together.
        executed: the notebook with its outputs, as far as it came.
    """

    state: State
    error: str | None
    log: tuple[str, ...]
    seconds: float
    peak_bytes: int
    executed: Path


def run_notebook(
    notebook: Path,
    *,
    python: Path,
    inputs: Mapping[str, Path],
    working: Path,
    seconds: float,
    memory_bytes: int,
    internet: bool = False,
    variables: Mapping[str, str] | None = None,
    line: Callable[[str], None] | None = None,
) -> NotebookRun:
    """Execute a notebook in a sandbox that looks like Kaggle's.

    Args:
        notebook: the .ipynb; stays as it is.
        python: of the environment, which needs nbclient and ipykernel; what the notebook installs goes elsewhere.
        inputs: folders by their name under /kaggle/input; names may hold slashes. Read-only.
        working: shown at /kaggle/working; made when missing. The executed notebook is written beside it.
        seconds: after so long it is ended.
        memory_bytes: beyond it, all its processes together, it is ended.
        internet: whether it has this machine's network; without, there is no interface but lo.
        variables: further environment variables.
        line: takes each line of the log when it comes.

    Raises:
        SandboxError: bubblewrap is missing or may not work here, or the environment cannot execute notebooks.
    """
    require_bubblewrap()
    check_input_names(list(inputs))
    missing = [str(folder) for folder in inputs.values() if not folder.is_dir()]
    if missing:
        raise SandboxError(f"{missing[0]} is not there, and the notebook reads it")
    working = working.resolve()
    working.mkdir(parents=True, exist_ok=True)
    interpreter = describe(python)
    with _scratch() as scratch:
        scratch.make(list(inputs))
        write_thin_environment(scratch.environment, interpreter, ENVIRONMENT)
        shutil.copyfile(notebook, scratch.exchange / "notebook.ipynb")
        paths = f"{ENVIRONMENT}/bin:{interpreter.prefix}/bin:/usr/local/bin:/usr/bin:/bin"
        command = sandboxed(
            scratch,
            read=interpreter.mounts(),
            inputs={name: folder.resolve() for name, folder in inputs.items()},
            working=working,
            execute=Path(__file__).with_name("execute.py"),
            variables={**_VARIABLES, "PATH": paths, **(variables or {})},
            internet=internet,
        )
        return _Run(scratch, working, seconds, memory_bytes, line).execute(command)


class _Run:
    """One execution, watched."""

    def __init__(
        self, scratch: Scratch, working: Path, seconds: float, memory_bytes: int, line: Callable[[str], None] | None
    ) -> None:
        self._scratch, self._working = scratch, working
        self._seconds, self._memory_bytes = seconds, memory_bytes
        self._log = LogReader(scratch.exchange / "events.jsonl", line)

    def execute(self, command: list[str]) -> NotebookRun:
        began = time.monotonic()
        said = self._scratch.folder / "said.txt"
        with said.open("wb") as stream:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
            )
        memory = TreeMemory(process.pid)
        try:
            stopped = self._watch(process, memory, began)
        finally:
            _end(process, memory)
        self._log.finish()
        state, error = stopped or self._outcome(said)
        return NotebookRun(
            state, error, tuple(self._log.lines), time.monotonic() - began, memory.peak_bytes, self._keep_executed()
        )

    def _watch(self, process: subprocess.Popen[bytes], memory: TreeMemory, began: float) -> tuple[State, str] | None:
        """Wait for its end; what it is ended for where it goes beyond a limit."""
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_SECONDS)
                return None
            self._log.read()
            if memory.measure() > self._memory_bytes:
                limit = self._memory_bytes / 2**30
                return "out of memory", f"it held {memory.peak_bytes / 2**30:.2f} GiB; the limit is {limit:.2f} GiB"
            if time.monotonic() - began > self._seconds:
                return "out of time", f"it was not done after {self._seconds:g} seconds"

    def _outcome(self, said: Path) -> tuple[State, str | None]:
        result = self._scratch.exchange / "result.json"
        if not result.exists():
            last = "\n".join(said.read_text("utf-8", errors="replace").strip().splitlines()[-5:])
            if "ModuleNotFoundError" in last:
                raise SandboxError(f"the environment cannot execute notebooks: {last.splitlines()[-1]}")
            return "failed", last or "it was ended from outside"
        error = read_json(result)["error"]
        return ("failed", str(error)) if error else ("finished", None)

    def _keep_executed(self) -> Path:
        """The executed notebook beside the working folder, whose content is the notebook's own."""
        place = self._working.with_name(f"{self._working.name}.executed.ipynb")
        executed = self._scratch.exchange / "executed.ipynb"
        source = executed if executed.exists() else self._scratch.exchange / "notebook.ipynb"
        write_bytes(place, source.read_bytes(), durable=False)
        return place


def _end(process: subprocess.Popen[bytes], memory: TreeMemory) -> None:
    """End all its processes: bubblewrap's own takes those in its namespace with it."""
    members = memory.members()
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    process.wait()
    psutil.wait_procs(members, timeout=_END_SECONDS)


@contextlib.contextmanager
def _scratch() -> Iterator[Scratch]:
    # What the notebook made unreadable may stay: it is no reason to lose what came of the run.
    with tempfile.TemporaryDirectory(prefix="kagglerun-sandbox-", ignore_cleanup_errors=True) as folder:
        yield Scratch(Path(folder).resolve())

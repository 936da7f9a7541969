"""Executes a notebook inside the sandbox, and writes down what happens while it does.

This file is run as a program by the sandbox's own Python: it needs nbclient and nothing of kagglerun.

    python execute.py FOLDER WORKING

FOLDER holds notebook.ipynb. Into it go events.jsonl (one JSON object a piece of output), executed.ipynb (after every
cell) and at the end result.json.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

NOTEBOOK, EXECUTED, EVENTS, RESULT = "notebook.ipynb", "executed.ipynb", "events.jsonl", "result.json"
_MOST_LOG_CHARACTERS = 16_000_000
_MOST_SHOWN_OF_A_CELL = 300
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Recorder:
    """Writes what the cells print, piece by piece.

    Args:
        path: events.jsonl.
    """

    def __init__(self, path: Path) -> None:
        self._stream = path.open("w", encoding="utf-8")
        self._room = _MOST_LOG_CHARACTERS

    def text(self, text: str) -> None:
        """Write one piece of output; what is beyond the limit is left out, and that is said once."""
        if self._room <= 0:
            return
        self._room -= len(text)
        if self._room <= 0:
            text += f"\n(what the notebook printed beyond {_MOST_LOG_CHARACTERS // 1_000_000} MB is left out)\n"
        self._stream.write(json.dumps({"text": _COLOURS.sub("", text)}) + "\n")
        self._stream.flush()


class Client(NotebookClient):
    """Executes the cells, and records their output when it comes."""

    recorder: Recorder
    begun: int = 0
    """Position of the cell that began last."""

    def output(self, outs: Any, msg: Any, display_id: Any, cell_index: int) -> Any:
        """Record an output, then keep it in the notebook."""
        content = msg["content"]
        if msg["msg_type"] == "stream":
            self.recorder.text(content["text"])
        elif msg["msg_type"] == "error":
            self.recorder.text("\n".join(content["traceback"]) + "\n")
        elif plain := content.get("data", {}).get("text/plain"):
            self.recorder.text(f"{plain}\n")
        return super().output(outs, msg, display_id, cell_index)

    def note_begun(self, cell_index: int, **_: Any) -> None:
        """Remember which cell runs."""
        self.begun = cell_index

    def where(self) -> str:
        """The cell that ran last, in words."""
        source = self.nb.cells[self.begun].source.strip()
        more = " ..." if len(source) > _MOST_SHOWN_OF_A_CELL else ""
        return f"in cell {self.begun + 1}: {source[:_MOST_SHOWN_OF_A_CELL]}{more}"


def execute(folder: Path, working: Path) -> str | None:
    """Execute the notebook.

    Args:
        folder: see the module.
        working: the kernel's current folder.

    Returns:
        None, or the error: its name and message, and the cell.
    """
    notebook = nbformat.read(folder / NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]

    def keep(**_: Any) -> None:
        temporary = folder / f".{EXECUTED}"
        nbformat.write(notebook, temporary)  # type: ignore[no-untyped-call]
        temporary.replace(folder / EXECUTED)

    options: dict[str, Any] = {"kernel_name": "python3", "resources": {"metadata": {"path": str(working)}}}
    limits: dict[str, Any] = {"timeout": None, "startup_timeout": 300, "shutdown_kernel": "immediate"}
    client = Client(notebook, on_cell_executed=keep, on_cell_error=keep, **options, **limits)
    client.on_cell_start = client.note_begun
    client.config.KernelManager.transport = "ipc"  # the port of another process could be met on a shared network
    client.recorder = Recorder(folder / EVENTS)
    keep()
    try:
        client.execute()
    except CellExecutionError as error:
        return _COLOURS.sub("", f"{error.ename}: {error.evalue}\n{client.where()}")
    except DeadKernelError:
        return f"DeadKernelError: the notebook's process ended by itself (a crash, or no memory)\n{client.where()}"
    finally:
        keep()
    return None


def main(folder: Path, working: Path) -> None:
    """Execute, and write result.json at the very end."""
    # When the machine itself runs out of memory, the notebook is what goes.
    Path("/proc/self/oom_score_adj").write_text("1000", "utf-8")
    error = execute(folder, working)
    temporary = folder / f".{RESULT}"
    temporary.write_text(json.dumps({"error": error}), "utf-8")
    temporary.replace(folder / RESULT)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

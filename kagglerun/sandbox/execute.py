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


def execute(folder: Path, working: Path) -> dict[str, Any]:
    """Execute the notebook.

    Args:
        folder: see the module.
        working: the kernel's current folder.

    Returns:
        {"error": None} or {"error": name, message and cell}.
    """
    notebook = nbformat.read(folder / NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]

    def keep(**_: Any) -> None:
        temporary = folder / f".{EXECUTED}"
        nbformat.write(notebook, temporary)  # type: ignore[no-untyped-call]
        temporary.replace(folder / EXECUTED)

    client = Client(
        notebook,
        timeout=None,
        startup_timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(working)}},
        shutdown_kernel="immediate",
        on_cell_executed=keep,
        on_cell_error=keep,
    )
    client.config.KernelManager.transport = "ipc"  # the port of another process could be met on a shared network
    client.recorder = Recorder(folder / EVENTS)
    keep()
    try:
        client.execute()
    except CellExecutionError as error:
        return {"error": _COLOURS.sub("", f"{error.ename}: {error.evalue}\n{_cell_with_error(notebook)}")}
    except DeadKernelError:
        return {
            "error": f"DeadKernelError: the notebook's process ended by itself (a crash, or no memory)\n"
            f"{_cell_that_ran(notebook)}"
        }
    finally:
        keep()
    return {"error": None}


def _cell_with_error(notebook: Any) -> str:
    for number, cell in enumerate(notebook.cells, start=1):
        if any(output.get("output_type") == "error" for output in cell.get("outputs", ())):
            return _shown(number, cell)
    return _cell_that_ran(notebook)


def _cell_that_ran(notebook: Any) -> str:
    """The last cell that began."""
    begun = [(number, cell) for number, cell in enumerate(notebook.cells, start=1) if cell.get("execution_count")]
    return _shown(*begun[-1]) if begun else "before the first cell"


def _shown(number: int, cell: Any) -> str:
    source = cell.source.strip()
    more = " ..." if len(source) > _MOST_SHOWN_OF_A_CELL else ""
    return f"in cell {number}: {source[:_MOST_SHOWN_OF_A_CELL]}{more}"


def main(folder: Path, working: Path) -> None:
    """Execute, and write result.json at the very end."""
    # When the machine itself runs out of memory, the notebook is what goes.
    Path("/proc/self/oom_score_adj").write_text("1000", "utf-8")
    result = execute(folder, working)
    temporary = folder / f".{RESULT}"
    temporary.write_text(json.dumps(result), "utf-8")
    temporary.replace(folder / RESULT)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

"""Small notebooks, and the sandbox to run them in."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import nbformat
import pytest

from kagglerun.errors import SandboxError
from kagglerun.sandbox import NotebookRun, kaggle_environment, run_notebook
from kagglerun.sandbox.bubblewrap import require_bubblewrap


def require_sandbox() -> None:
    """Skip where notebooks cannot be run apart from the machine."""
    try:
        require_bubblewrap()
    except SandboxError as error:
        pytest.skip(error.message)


@functools.cache
def shared_environment() -> Path:
    """The environment that stands for Kaggle's, made once for all tests of a process: it is links alone."""
    return kaggle_environment(Path(tempfile.mkdtemp()))


def write_notebook(path: Path, *cells: str) -> Path:
    """A notebook of code cells."""
    made = [nbformat.v4.new_code_cell(cell) for cell in cells]
    nbformat.write(nbformat.v4.new_notebook(cells=made), path)
    return path


def run_cells(folder: Path, *cells: str, **options: Any) -> NotebookRun:
    """Run cells in the sandbox, in the environment that stands for Kaggle's."""
    inputs = folder / "inputs"
    inputs.mkdir(exist_ok=True)
    (inputs / "train.csv").write_text("id\n1\n", "utf-8")
    given: dict[str, Any] = {
        "python": shared_environment(),
        "inputs": {"competitions/made": inputs},
        "working": folder / "working",
        "seconds": 120,
        "memory_bytes": 2 << 30,
    }
    return run_notebook(write_notebook(folder / "made.ipynb", *cells), **{**given, **options})

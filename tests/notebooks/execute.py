"""Executes a notebook as `jupyter execute` does, in a process of its own: NOTEBOOK KERNEL_PYTHON PID_FILE.

Prints what the cells printed. Exit code 3: the kernel was killed; 4: a cell failed.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import nbclient
import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellExecutionError, DeadKernelError


def main(notebook: str, python: str, pid_file: str) -> int:
    content = nbformat.read(notebook, as_version=4)
    manager = AsyncKernelManager(kernel_name="python3")
    manager.kernel_spec.argv = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    threading.Thread(target=_write_pid, args=(manager, Path(pid_file)), daemon=True).start()
    code = 0
    try:
        nbclient.NotebookClient(content, km=manager, timeout=None).execute()
    except DeadKernelError:
        code = 3
    except CellExecutionError as error:
        sys.stdout.write(f"{error}\n")
        code = 4
    for cell in content.cells:
        for output in cell.get("outputs", ()):
            sys.stdout.write(output.get("text", ""))
    return code


def _write_pid(manager: AsyncKernelManager, file: Path) -> None:
    """Tests kill the kernel, or interrupt it."""
    while getattr(manager.provisioner, "pid", None) is None:
        time.sleep(0.02)
    part = file.with_suffix(".part")
    part.write_text(str(manager.provisioner.pid))
    part.rename(file)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

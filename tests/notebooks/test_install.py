"""The first cells of a notebook, in a Python that has no kagglerun."""

from __future__ import annotations

import importlib.metadata
import inspect
import os
import subprocess
from pathlib import Path

import pytest

from kagglerun.notebooks import bootstrap
from kagglerun.notebooks.build import Carried, make_notebook
from kagglerun.notebooks.plan import NotebookPlan

_PLAN = NotebookPlan("it", "colab", "train", "practice/wine", None, None, 1, 12, 60, "locked")


@pytest.mark.long
def test_wheel_and_locked_packages_are_installed_once(platform_python: Path, tmp_path: Path) -> None:
    """Every locked package of this machine is there already, so pip needs no index; kagglerun is not."""
    import nbformat

    lock = (Path(bootstrap.__file__).parents[1] / "environment/requirements.lock").read_text()
    if f"\ntorch=={importlib.metadata.version('torch').partition('+')[0]} " not in lock:
        pytest.skip("the torch here is not the lock's, and there is no index to fetch that from")
    made = make_notebook(_PLAN, Carried("competition: practice/wine\n", None, None, None, lock))
    cells = nbformat.reads(made.text, as_version=4).cells
    program = tmp_path / "cells.py"
    folder = tmp_path / "plan"
    install = f"{inspect.getsource(bootstrap)}\ninstall(PAYLOAD, {str(folder)!r}, 'locked')\n"
    check = "import kagglerun.notebooks.kernel, sys\nsys.stdout.write(kagglerun.notebooks.kernel.__file__)\n"
    heavy = "assert not {'torch', 'pandas', 'numpy', 'pydantic', 'rich', 'typer'} & set(sys.modules)\n"
    program.write_text(f"{cells[1].source}\n{install}{check}{heavy}")
    environment = {**os.environ, "PIP_NO_INDEX": "1", "PYTHONPATH": ""}
    for _ in range(2):
        done = subprocess.run([str(platform_python), str(program)], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(str(platform_python.parents[1]))
    assert (folder / "requirements.txt").read_text().count("--hash=") > 1000
    assert "torch==" in (folder / "requirements.txt").read_text()


def test_what_pip_says_is_shown_where_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(SystemExit, match="internet switched on"):
        bootstrap._pip("--target", str(tmp_path), "no-such-package-anywhere")

"""Commands that only look answer without the heavy libraries: that is what keeps them quick."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from kagglerun.workspace import Workspace

_HEAVY = ("torch", "torchvision", "timm", "mlflow", "optuna", "pandas", "numpy", "kaggle", "kagglesdk", "ray")
_HEAVY_TOO = ("sklearn", "scipy", "lightgbm", "matplotlib", "fastapi", "sqlalchemy", "pyarrow", "requests")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["jobs"], ["--version"], ["runs"], ["sweep", "--help"]], ids=" ".join
)
def test_command_imports_no_heavy_library(workspace: Workspace, arguments: list[str]) -> None:
    code = (
        "import json, sys; from kagglerun.cli.main import run; code = run(sys.argv[1:]);"
        "print('\\n' + json.dumps([code, sorted({name.split('.')[0] for name in sys.modules})]))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    exit_code, modules = json.loads(done.stdout.splitlines()[-1])
    assert exit_code == 0
    light_ones = {"numpy"} if arguments == ["runs"] else set()
    assert {*_HEAVY, *_HEAVY_TOO}.intersection(modules) <= light_ones

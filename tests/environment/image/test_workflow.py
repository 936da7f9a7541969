"""The weekly workflow, and what a machine needs to build and start the image."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from kagglerun.workspace import Workspace

_ROOT = Path(__file__).parents[3]
_FILE = _ROOT / ".github/workflows/image.yaml"
_JOB: dict[str, Any] = yaml.safe_load(_FILE.read_text("utf-8"))["jobs"]["image"]
_HEAVY = ("torch", "numpy", "pandas", "mlflow", "optuna", "sqlalchemy", "sklearn", "pyarrow", "requests", "PIL", "ray")


def test_the_workflow_is_as_its_schema_says() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(_FILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_steps_are_shell_that_can_be_read() -> None:
    scripts = [step["run"] for step in _JOB["steps"] if "run" in step]
    assert len(scripts) > 3
    for script in scripts:
        plain = re.sub(r"\$\{\{.*?\}\}", "x", script)
        done = subprocess.run(["bash", "-n"], input=plain, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_the_image_is_tested_before_it_is_published() -> None:
    names = [step.get("name", "") for step in _JOB["steps"]]
    assert names.index("Build") < names.index("Test") < names.index("Publish with its digest")


def test_no_password_is_an_argument() -> None:
    for step in _JOB["steps"]:
        assert "secrets." not in step.get("run", "")


def test_a_container_is_started_without_anything_that_trains(workspace: Workspace) -> None:
    refused = f"import sys; sys.modules.update(dict.fromkeys({_HEAVY!r})); from kagglerun.cli.main import run; "
    words = ["image", "run", "--print", "--engine", "docker", "--user", "7", "kagglerun", "sweep", "baseline.yaml"]
    command = [sys.executable, "-c", f"{refused}sys.exit(run({words!r}))"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "kagglerun image attend kagglerun sweep baseline.yaml" in done.stderr

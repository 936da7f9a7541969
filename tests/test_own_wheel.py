"""The wheel that kagglerun makes of itself."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import kagglerun
from kagglerun.own_wheel import write_own_wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return write_own_wheel(tmp_path_factory.mktemp("wheel"))


def test_same_source_gives_the_same_bytes(wheel: Path, tmp_path: Path):
    assert write_own_wheel(tmp_path).read_bytes() == wheel.read_bytes()


def test_record_names_every_file_with_its_digest(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        record_name = next(name for name in archive.namelist() if name.endswith("/RECORD"))
        rows = list(csv.reader(io.StringIO(archive.read(record_name).decode())))
        assert {row[0] for row in rows} == set(archive.namelist())
        for name, digest, size in rows:
            if name != record_name:
                content = archive.read(name)
                made = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
                assert (digest, int(size)) == (f"sha256={made}", len(content))


def test_holds_code_examples_and_dependencies_but_no_bytecode_and_no_data(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(f"kagglerun-{kagglerun.__version__}.dist-info/METADATA").decode()
    assert {"kagglerun/cli/main.py", "kagglerun/environment/requirements.lock"} <= names
    assert "kagglerun/examples/sweeps/baseline.yaml" in names
    assert "Requires-Dist: torch>=" in metadata
    assert not [name for name in names if "__pycache__" in name or ("/data/" in name and name.endswith(".csv"))]


def test_installed_wheel_runs_and_can_make_itself_again(wheel: Path, tmp_path: Path):
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(tmp_path / "site")], check=True, timeout=60)
    code = (
        "import sys; from pathlib import Path; from kagglerun.own_wheel import write_own_wheel, examples_folder\n"
        "assert Path(sys.argv[1]) in examples_folder().parents, examples_folder()\n"
        "write_own_wheel(Path(sys.argv[2]))"
    )
    again = tmp_path / "again"
    again.mkdir()
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "site"), str(again)],
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        cwd=tmp_path,
        check=True,
        timeout=60,
    )
    assert (again / wheel.name).read_bytes() == wheel.read_bytes()

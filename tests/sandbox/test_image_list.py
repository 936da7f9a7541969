"""What Kaggle's image has, the environment that stands for it, and the log of a run."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import psutil
import pytest

from kagglerun.errors import ConfigError, SandboxError
from kagglerun.sandbox import kaggle_environment
from kagglerun.sandbox.image import read_image
from kagglerun.sandbox.interpreter import describe
from kagglerun.sandbox.log import LogReader
from kagglerun.sandbox.memory import TreeMemory


def test_shipped_list_names_python_platform_and_what_inference_uses() -> None:
    image = read_image()
    assert (image.python, image.platform) == ("3.12", "manylinux_2_35_x86_64")
    assert {"torch", "timm", "lightgbm", "numpy", "pandas", "scikit-learn", "pyarrow", "pydantic"} <= set(
        image.packages
    )
    assert "kagglerun" not in image.packages
    assert "numpy==2.0.2\n" in image.constraints()


def test_own_list_takes_the_place_of_the_shipped_one(tmp_path: Path) -> None:
    listing = tmp_path / "image.txt"
    listing.write_text("Torch_Geometric==2.1\ntorch==2.9.0+cu128\nother @ https://somewhere\n", "utf-8")
    image = read_image(listing)
    assert image.packages == {"torch-geometric": "2.1", "torch": "2.9.0"}
    assert image.python == read_image().python
    listing.write_text("# python==3.13 platform==manylinux_2_39_x86_64\nnumpy==3\n", "utf-8")
    assert (read_image(listing).python, read_image(listing).platform) == ("3.13", "manylinux_2_39_x86_64")


@pytest.mark.parametrize("text", ["", "not a list", "numpy>=2"])
def test_list_without_a_package_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "image.txt").write_text(text, "utf-8")
    with pytest.raises(ConfigError, match="names no package"):
        read_image(tmp_path / "image.txt")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_image(tmp_path / "missing.txt")


def test_environment_has_the_images_packages_and_is_made_once(tmp_path: Path) -> None:
    python = kaggle_environment(tmp_path)
    program = (
        "import importlib.util as u; print([u.find_spec(n) is not None for n in ('numpy', 'kagglerun', 'mlflow')])"
    )
    said = subprocess.run([python, "-I", "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[True, False, False]"
    before = python.parent.parent.stat().st_mtime_ns
    assert kaggle_environment(tmp_path) == python
    assert python.parent.parent.stat().st_mtime_ns == before
    assert [path.name for path in tmp_path.iterdir()] == [python.parent.parent.name]
    assert Path(python.parent.parent) in describe(python).mounts()


def test_python_that_does_not_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="does not run"):
        describe(tmp_path / "python")


def test_log_is_read_in_whole_lines_and_bars_leave_their_last_state(tmp_path: Path) -> None:
    seen: list[str] = []
    reader = LogReader(tmp_path / "events.jsonl", seen.append)
    reader.read()
    with (tmp_path / "events.jsonl").open("w") as stream:
        for text in ("one\ntw", "o\n 10%\r 50%\r100%\n", "rest"):
            stream.write(json.dumps({"text": text}) + "\n")
        stream.write('{"text": "cut')
    reader.read()
    assert seen == ["one", "two", "100%"]
    reader.finish()
    assert reader.lines == ["one", "two", "100%", "rest"]


def test_memory_of_a_process_that_is_gone_is_its_peak() -> None:
    process = subprocess.Popen(["sleep", "60"])
    memory = TreeMemory(process.pid)
    peak = memory.measure()
    assert 0 < peak < psutil.Process(os.getpid()).memory_info().rss
    process.kill()
    process.wait()
    assert (memory.measure(), memory.members()) == (peak, [])

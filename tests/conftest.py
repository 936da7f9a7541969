"""Fixtures that every test shares."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from kagglerun.workspace import Workspace

# Width of every table; set before anything asks for it. Processes of pytest-xdist bring another one.
os.environ["COLUMNS"] = "200"

# A shell has what it runs in the background ignore Ctrl-C, and so would every process that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_SCRUBBED_PREFIXES = ("KAGGLE", "MLFLOW", "OPTUNA", "HF_", "RAY_")


@pytest.fixture(autouse=True)
def scrubbed_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No setting, credential or proxy of the person who runs the tests reaches them."""
    for name in list(os.environ):
        of_the_person = name.upper().startswith(_SCRUBBED_PREFIXES) and name != "KAGGLERUN_TEST_DATA"
        if of_the_person or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    yield


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A fresh, empty workspace; the current folder is in it."""
    found = Workspace(tmp_path / "my workspace")
    found.competitions.mkdir(parents=True)
    found.sweeps.mkdir()
    monkeypatch.chdir(found.root)
    monkeypatch.setenv("KAGGLERUN_WORKSPACE", str(found.root))
    return found


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real competition bundles; tests that need it are marked `real`."""
    named = os.environ.get("KAGGLERUN_TEST_DATA")
    if not named or not Path(named).is_dir():
        pytest.skip("KAGGLERUN_TEST_DATA names no folder with real competition bundles")
    return Path(named)

"""`kagglerun train` on a machine whose GPUs others have reserved, against an NVML that is made up."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from kagglerun.cli.main import run
from kagglerun.files import write_text
from kagglerun.jobs.reservations import reserve
from kagglerun.nvml import Nvml
from kagglerun.workspace import Workspace
from tests.fake_nvml import Gpu, fake_nvml


@pytest.fixture(autouse=True)
def one_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, workspace: Workspace) -> None:
    """GPU 0 of two is somebody else's; the config trains a competition that was not fetched."""
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(Gpu("GPU-a"), Gpu("GPU-b")))
    monkeypatch.setenv("KAGGLERUN_RESERVATIONS", str(tmp_path / "reserved"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("KAGGLERUN_OWNER", "bert")
    with Nvml.open() as nvml:
        reserve(nvml.gpus()[:1], 1, "night sweep")
    monkeypatch.setenv("KAGGLERUN_OWNER", "anna")
    write_text(workspace.sweeps / "one.yaml", "competition: digits\n")


def test_it_says_who_keeps_the_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "one"]) == 1
    assert "somebody keeps that: GPU 0 by bert (night sweep) until" in capsys.readouterr().err


def test_training_on_the_cpu_does_not_care(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "one", "training.device=cpu"]) != 0
    assert "keeps" not in capsys.readouterr().err


def test_it_takes_the_one_that_is_left(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert run(["train", "one"]) != 0
    assert "keeps" not in capsys.readouterr().err
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-b"

"""A training leaves GPUs alone that others reserved, before it touches any; against an NVML that is made up."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from kagglerun.cli.main import run
from kagglerun.config.load import parse_config
from kagglerun.errors import JobError
from kagglerun.experiment.reserved_gpus import leave_reserved_gpus
from kagglerun.files import write_text
from kagglerun.jobs.reservations import reserve
from kagglerun.nvml import Nvml
from kagglerun.sweep.objective import Experiment
from kagglerun.workspace import Workspace
from tests.fake_nvml import Gpu, fake_nvml

NEURAL = {"kind": "tabular_neural", "width": 16, "depth": 1}
TREES = {"kind": "tabular_boosting", "n_estimators": 5}


@pytest.fixture(autouse=True)
def one_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """GPU 0 of two is somebody else's, and the one that the environment names."""
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(Gpu("GPU-a"), Gpu("GPU-b")))
    monkeypatch.setenv("KAGGLERUN_RESERVATIONS", str(tmp_path / "reserved"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("KAGGLERUN_OWNER", "bert")
    with Nvml.open() as nvml:
        reserve(nvml.gpus()[:1], 1, "night sweep")
    monkeypatch.setenv("KAGGLERUN_OWNER", "anna")


def leave(model: object, **sections: object) -> None:
    leave_reserved_gpus(parse_config({"model": model, **sections}, "the test's config"))


def test_it_says_who_keeps_the_gpu() -> None:
    with pytest.raises(JobError, match=r"somebody keeps that: GPU 0 by bert \(night sweep\) until"):
        leave(NEURAL)


def test_it_takes_the_one_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    leave(NEURAL)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-b"


def test_work_on_the_cpu_does_not_care() -> None:
    leave(NEURAL, training={"device": "cpu"})
    leave(TREES)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"


def test_trees_that_a_sweep_may_exchange_for_networks_do() -> None:
    with pytest.raises(JobError, match="bert"):
        leave(TREES, sweep={"search": {"model.kind": ["tabular_boosting", "tabular_neural"]}})


def test_train_profile_and_sweep_ask_before_they_touch_a_gpu(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    write_text(workspace.sweeps / "one.yaml", "competition: digits\nmodel: {kind: tabular_neural}\n")
    for command in ("train", "profile"):
        assert run([command, "one"]) == 1
        assert "GPU 0 by bert (night sweep)" in capsys.readouterr().err
    with pytest.raises(JobError, match="bert"):
        Experiment().resolve(workspace, parse_config({"model": NEURAL}, "the test's config"))

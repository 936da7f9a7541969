"""Whole image fits with mixup and cutmix, for every task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from test_families import TASKS, digest, fit, make_config, make_input

from kagglerun.config.card import Task
from kagglerun.training.loop import Stopped
from kagglerun.workspace import FoldPaths

MIXED = {"preset": "light", "mixup": 0.4, "cutmix": 1.0, "mix_probability": 0.8}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("task", TASKS)
def test_a_fit_with_mixing_resumes_to_the_same_bits(task: Task, tmp_path: Path) -> None:
    data = make_input(tmp_path / "images", task)
    config = make_config("image", augment=MIXED, label_smoothing=0.1 if task != Task.REGRESSION else 0.0)
    expected = fit(config, data, FoldPaths(tmp_path / "whole"))
    assert np.isfinite(expected.valid).all()
    with pytest.raises(Stopped):
        fit(config, data, FoldPaths(tmp_path / "stopped"), stop_at=2)
    assert digest(fit(config, data, FoldPaths(tmp_path / "stopped"))) == digest(expected)


def test_mixing_changes_what_is_learnt(tmp_path: Path) -> None:
    data = make_input(tmp_path / "images", Task.MULTICLASS)
    plain, mixed = (
        fit(make_config("image", epochs=1, augment=augment), data, FoldPaths(tmp_path / str(place)))
        for place, augment in enumerate(("light", MIXED))
    )
    assert digest(plain) != digest(mixed)

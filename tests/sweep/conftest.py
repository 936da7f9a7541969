"""A toy sweep whose trials take no time, in real processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kagglerun.config.load import parse_config
from kagglerun.config.schema import Config

ROOT = Path(__file__).parents[2]

SEARCH: dict[str, Any] = {
    "optimizer.lr": {"low": 1e-5, "high": 1e-1, "log": True},
    "optimizer.weight_decay": {"low": 0.0, "high": 0.5},
    "training.batch_size": {"low": 16, "high": 256, "step": 16},
    "optimizer.name": ["adamw", "sgd"],
    "optimizer.momentum": {"low": 0.5, "high": 0.95, "when": "optimizer.name == sgd"},
    "optimizer.betas": {"choices": [[0.9, 0.99], [0.9, 0.999]], "when": "optimizer.name == adamw"},
}


def toy_config(trials: int = 14, hooks: dict[str, Any] | None = None, **sweep: Any) -> Config:
    """A config whose study has conditions, steps, logs and choices that are no scalars."""
    return parse_config(
        {
            "competition": "digits",
            "name": "toy",
            "hooks": hooks or {},
            "sweep": {"trials": trials, "search": SEARCH, **sweep},
        },
        "the test's config",
    )


@pytest.fixture(autouse=True)
def toy_is_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here and in the jobs and workers that a test starts."""
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

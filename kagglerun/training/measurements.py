"""Measurements of this machine, kept in a folder: asked again, they are not made again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from kagglerun.files import read_json, sha256_of_json, write_json
from kagglerun.training.step import FitSettings
from kagglerun.training.step_trial import Workload


def measurement_key(workload: Workload, settings: FitSettings, device: torch.device) -> dict[str, Any]:
    """All that a measurement depends on."""
    training = settings.training
    named = ("accumulate", "effective_batch", "gpus", "precision", "gradient_checkpointing", "clip_norm", "ema")
    return {
        "workload": dict(workload.key),
        "training": {name: getattr(training, name) for name in (*named, "deterministic", "data_on_gpu")},
        "optimizer": settings.optimizer.name,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
    }


def remembered(folder: Path, key: Mapping[str, Any], measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What was measured before under this key, else what is measured now."""
    path = folder / f"{sha256_of_json(dict(key))[:24]}.json"
    if path.exists():
        kept: dict[str, Any] = read_json(path)["answer"]
        return kept
    answer = measure()
    write_json(path, {"key": dict(key), "answer": answer}, durable=False)
    return answer

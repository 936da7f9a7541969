"""How much of a GPU's memory a run of a config takes, measured by steps of the real shape."""

from __future__ import annotations

import torch

from kagglerun.config.schema import Config
from kagglerun.experiment.prepare import prepare
from kagglerun.models.workload import make_workload
from kagglerun.training.measurements import measurement_key, remembered
from kagglerun.training.precision import resolve_device
from kagglerun.training.step import FitSettings
from kagglerun.training.tune import peak_bytes
from kagglerun.workspace import Workspace

CONTEXT_BYTES = 800_000_000
"""What CUDA, cuDNN and cuBLAS take in every process besides torch's own memory: 0.5 to 0.8 GB on recent GPUs."""
_RESERVE = 1.15
"""Sizes of batches and of trees of memory differ a little from fold to fold, and trials from the base config."""


def uses_gpu(config: Config) -> bool:
    """Whether runs of a resolved config compute on a GPU."""
    return config.model.kind != "tabular_boosting" and resolve_device(config.training.device).type == "cuda"


def gpu_bytes_of_run(workspace: Workspace, config: Config) -> int | None:
    """Bytes that a run takes on its GPU; None where that cannot be measured: a model of the user's, or no GPU.

    Args:
        workspace: where the competition and this machine's measurements are.
        config: the resolved config.

    Raises:
        ConfigError, DataError: see `prepare`.
    """
    device = resolve_device(config.training.device)
    if not uses_gpu(config):
        return None
    prepared = prepare(workspace, config)
    if prepared.hooks.model() is not None:
        return None
    n_train = len(prepared.data.targets) * (config.cv.n_splits - 1) // config.cv.n_splits
    workload = make_workload(config, prepared.input, prepared.metric, n_train)
    if workload is None:
        return None
    settings = FitSettings(config.training, config.optimizer, config.schedule)
    key = measurement_key(workload, settings, device) | {"what": "run_bytes", "step_size": config.training.step_size}

    def measure() -> dict[str, int | None]:
        return {"bytes": peak_bytes(workload, settings, device, config.training.step_size)}

    peak = remembered(workspace.measurements, key, measure)["bytes"]
    if peak is None:
        return int(torch.cuda.get_device_properties(device).total_memory)
    on_gpu = 0 if config.training.data_on_gpu == "never" else workload.data_bytes
    return int(_RESERVE * (peak + on_gpu) + CONTEXT_BYTES)

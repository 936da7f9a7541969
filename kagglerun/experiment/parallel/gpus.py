"""How many GPUs a config asks for, and how many there are."""

from __future__ import annotations

import os

import torch

from kagglerun.config.schema import Config
from kagglerun.errors import ConfigError
from kagglerun.jobs.child import visible_devices
from kagglerun.nvml import NoGpus, Nvml

_FOLDS_ON_A_CPU = 2
_PROCESSES_ON_A_CPU = 4
"""So many may always share a CPU, for trying; beyond two a core they would only wait for one another."""


def fold_processes_for(config: Config) -> int:
    """How many folds are trained at once where the user does not say it: one a GPU, on a CPU two or more."""
    if config.training.device != "cpu" and torch.cuda.is_available():
        return len(visible_devices())
    return max(_FOLDS_ON_A_CPU, (os.cpu_count() or 1) // (config.training.cpu_threads or 1))


def _has_slices() -> bool:
    """Whether any GPU of this machine is cut into slices."""
    try:
        with Nvml.open() as nvml:
            return any(gpu.is_slice for gpu in nvml.gpus())
    except NoGpus:
        return False


def require_gpus(config: Config) -> None:
    """Check that `training.gpus` processes can be had.

    Raises:
        ConfigError: they cannot.
    """
    training, wanted = config.training, config.training.gpus
    if wanted == 1:
        return
    if config.model.kind == "tabular_boosting":
        raise ConfigError(
            f"training.gpus is {wanted}, but model.kind 'tabular_boosting' trains in one process",
            hint="training.gpus=1; folds side by side: kagglerun train ... --folds-parallel",
        )
    if training.sync_batchnorm and (training.device == "cpu" or not torch.cuda.is_available()):
        raise ConfigError(
            "training.sync_batchnorm needs GPUs: torch has it for them alone", hint="training.sync_batchnorm=false"
        )
    most = max(_PROCESSES_ON_A_CPU, 2 * (os.cpu_count() or 1))
    if training.device == "cpu" and wanted > most:
        raise ConfigError(
            f"training.gpus is {wanted}, but this machine has {os.cpu_count()} cores: at most {most} processes "
            "make sense",
            hint=f"training.gpus={most}, or fewer",
        )
    if training.device == "cpu":
        return
    found = torch.cuda.device_count()
    if found < wanted and _has_slices():
        raise ConfigError(
            f"training.gpus is {wanted}, but GPUs here are cut into slices (MIG), and a process sees one slice alone: "
            "several cannot train one fold together",
            hint="training.gpus=1; trials side by side, one a slice: sweep.workers=auto; folds: --folds-parallel",
        )
    if found < wanted:
        raise ConfigError(
            f"training.gpus is {wanted}, but this machine shows {found} GPU{'s' * (found != 1)}",
            hint=f"training.gpus={max(1, found)}; {wanted} processes on the CPU: training.device=cpu",
        )

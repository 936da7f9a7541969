"""Which samples an update takes, and how they are cut into forward passes. Pure functions."""

from __future__ import annotations

import math

import numpy as np

from kagglerun.config.schema import OptimizerConfig, TrainingConfig
from kagglerun.errors import ConfigError
from kagglerun.training.batches import Samples
from kagglerun.training.optim import peak_lr


def settle_update(training: TrainingConfig) -> TrainingConfig:
    """Fill in what of `accumulate` and `effective_batch` follows from the other.

    Args:
        training: with a settled batch_size.

    Raises:
        ConfigError: effective_batch is no multiple of batch_size x gpus, or contradicts accumulate.
    """
    step, wanted = training.step_size * training.gpus, training.effective_batch
    if wanted is None:
        return training.model_copy(update={"effective_batch": training.update_size})
    said = f"training.effective_batch is {wanted}, batch_size {training.step_size}, gpus {training.gpus}"
    if wanted % step:
        nearest = max(1, round(wanted / step)) * step
        raise ConfigError(
            f"{said}: it must be a multiple of batch_size x gpus = {step}",
            hint=f"training.effective_batch={nearest}, or another training.batch_size",
        )
    if training.accumulate not in (1, wanted // step):
        raise ConfigError(
            f"{said}, so accumulate must be {wanted // step}, not {training.accumulate}",
            hint=f"leave training.accumulate out, or training.effective_batch={training.update_size}",
        )
    return training.model_copy(update={"accumulate": wanted // step})


def describe_update(training: TrainingConfig, optimizer: OptimizerConfig) -> str:
    """The samples of an update and its highest learning rate, for the user."""
    parts = [f"{training.step_size} a step"]
    parts += [f"{training.accumulate} steps"] if training.accumulate > 1 else []
    parts += [f"{training.gpus} processes"] if training.gpus > 1 else []
    product = f" ({' x '.join(parts)})" if len(parts) > 1 else ""
    lr = f"lr {peak_lr(optimizer, training):.4g}"
    if optimizer.lr_scaling != "none":
        lr += f" ({optimizer.lr:g} for {optimizer.lr_batch}, {optimizer.lr_scaling})"
    return f"effective batch {training.update_size}{product}, {lr}"


def updates_per_epoch(n_samples: int, config: TrainingConfig) -> int:
    """Optimizer steps in an epoch."""
    return math.ceil(_steps(n_samples, config) / config.accumulate)


def split_epoch(order: Samples, config: TrainingConfig) -> list[Samples]:
    """The samples of each update.

    A rest of less than one step of all GPUs is left out (it differs each epoch), unless it is all there is; the
    last update may have fewer steps than `accumulate`.

    Args:
        order: the epoch's order of the samples.
        config: step size, accumulation and number of GPUs.
    """
    step = config.step_size * config.gpus
    # Where all is less than one step, each GPU still gets the same number.
    equal = len(order) // config.gpus * config.gpus or len(order)
    used = order[: min(_steps(len(order), config) * step, equal)]
    size = step * config.accumulate
    return [used[start : start + size] for start in range(0, len(used), size)]


def _steps(n_samples: int, config: TrainingConfig) -> int:
    return max(1, n_samples // (config.step_size * config.gpus))


def cut(samples: Samples, size: int) -> list[Samples]:
    """Pieces of `size` samples; the last may be smaller."""
    return [samples[start : start + size] for start in range(0, len(samples), size)]


def share_of(samples: Samples, rank: int, n_ranks: int) -> Samples:
    """The contiguous part of the samples that belongs to one process."""
    part: Samples = np.array_split(samples, n_ranks)[rank]
    return part

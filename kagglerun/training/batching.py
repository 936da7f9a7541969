"""Which samples an update takes, and how they are cut into forward passes. Pure functions."""

from __future__ import annotations

import math

import numpy as np

from kagglerun.config.schema import TrainingConfig
from kagglerun.training.batches import Samples


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

"""Random numbers of the training loop, as functions of (seed, purpose, fold, epoch, sample).

Nothing here keeps a state between steps, so a checkpoint needs no generator's state: initialisation, dropout,
sample order and augmentation of a step are the same whether or not the run was killed before it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from kagglerun.errors import TrainingError
from kagglerun.randomness import derive, generator


def seed_torch(seed: int, purpose: str, *path: int | str) -> None:
    """Seed torch's generators (CPU and every GPU in use) for one use.

    `torch.manual_seed` would do the same, but formats a stack trace for each backend that is not in use: 0.15 ms
    a call, a tenth of a small network's update.
    """
    number = derive(seed, purpose, *path)
    torch.default_generator.manual_seed(number)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(number)


def sample_order(seed: int, fold: int, epoch: int, n_samples: int) -> NDArray[np.int64]:
    """The order in which an epoch visits the training samples: a permutation, shape (n_samples,)."""
    return generator(seed, "order", fold, epoch).permutation(n_samples)


def sample_uniforms(seed: int, epoch: int, samples: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1) that belong to samples, not to batches.

    Args:
        seed: an already derived seed.
        epoch: the epoch.
        samples: sample ids, shape (n,), int64.
        count: numbers for each sample.

    Returns:
        Shape (n, count), float64. Row i depends on (seed, epoch, samples[i]) alone.

    Source: the splitmix64 mixer (Steele, Lea, Flood 2014), used as a counter-based generator.
    """
    base = np.uint64(derive(seed, "sample", epoch))
    keys = _mix(samples.astype(np.uint64) + base)
    counters = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    bits = _mix(keys[:, None] + counters[None, :])
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


@contextmanager
def deterministic_algorithms(enabled: bool) -> Iterator[None]:
    """Use deterministic algorithms within the block, or leave torch as it is.

    Raises:
        TrainingError: the model needs an operation that has no deterministic form on this device.
    """
    if not enabled:
        yield
        return
    # cuBLAS reads this when its handle is made; without it torch refuses to multiply deterministically.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        raise TrainingError(
            f"this model needs an operation without a deterministic form: {str(error).splitlines()[0][:200]}",
            hint="kagglerun train ... training.deterministic=false    (the fingerprint will say so)",
        ) from error
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]

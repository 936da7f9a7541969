"""Randomness as a function, not a state.

Fold membership, sample order, augmentation, initialisation and dropout follow from (seed, purpose, ...). No
generator is carried from one step to the next, so a resume, the number of loader workers or the worker that
runs a trial cannot change a result.
"""

from __future__ import annotations

import hashlib

import numpy as np


def derive(seed: int, purpose: str, *path: int | str) -> int:
    """Derive an independent seed: a whole number in [0, 2**63).

    Args:
        seed: the config's seed.
        purpose: what the numbers are for, e.g. "order", "augment", "init", "dropout", "folds".
        path: what distinguishes this use, e.g. fold, epoch, sample.
    """
    text = "\x1f".join([str(seed), purpose, *map(str, path)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def generator(seed: int, purpose: str, *path: int | str) -> np.random.Generator:
    """A NumPy generator for one use; see `derive`."""
    return np.random.Generator(np.random.PCG64(derive(seed, purpose, *path)))

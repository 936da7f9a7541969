"""What the training loop is fed: batches that are ready on the device when the loop asks for them."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Samples = NDArray[np.int64]
"""Numbers of samples, counted from 0, shape (n,)."""


@dataclass(frozen=True)
class Batch:
    """Some samples on the device.

    Attributes:
        inputs: what the model is called with.
        targets: what the loss compares with, in the order of the inputs; None where there are none. For classes int64
            (n,), or float32 (n, n_classes) where images are mixed; else float32 (n, n_outputs).
    """

    inputs: tuple[Tensor, ...]
    targets: Tensor | None


class Batches(Protocol):
    """A source of samples, numbered from 0. What it gives for a sample depends on (sample, epoch) alone."""

    def __len__(self) -> int:
        """Number of samples."""

    def stream(self, parts: Sequence[Samples], epoch: int | None) -> Generator[Batch]:
        """Each part as one batch, in order, made ready ahead of time.

        A generator: closing it ends whatever works ahead.

        Args:
            parts: the samples of each batch.
            epoch: augment as in this epoch; None does not augment.
        """

    def targets(self) -> Tensor:
        """Targets of all samples in order, unmixed, on the CPU."""

"""What the training loop is given and what it gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from kagglerun.training.batches import Batches


@dataclass(frozen=True)
class FitTask:
    """What is trained on what.

    Attributes:
        build: makes the model; called after seeding.
        train: training samples.
        valid: validation samples.
        loss: (logits, targets) to the mean loss, a scalar tensor.
        activate: logits to predictions, shape (n, n_outputs).
        score: predictions for all validation samples, float64 (n, n_outputs), to the competition's metric.
        greater_is_better: direction of `score`.
        seed: the config's seed.
        fold: the fold's number.
    """

    build: Callable[[], nn.Module]
    train: Batches
    valid: Batches
    loss: Callable[[Tensor, Tensor], Tensor]
    activate: Callable[[Tensor], Tensor]
    score: Callable[[NDArray[np.float64]], float]
    greater_is_better: bool
    seed: int
    fold: int


@dataclass(frozen=True)
class FitResult:
    """A trained model.

    Attributes:
        model: in evaluation mode, with the weights that make the predictions.
        history: one dict of values an epoch: lr, train_loss, valid_loss, valid_score.
        best_epoch: the epoch whose weights were kept, counted from 0.
        notes: what a reader must know: memory that ran out, losses that were not finite.
    """

    model: nn.Module
    history: tuple[dict[str, float], ...]
    best_epoch: int
    notes: tuple[str, ...]

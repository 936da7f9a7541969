"""Rows with the losses of some models, and competitions made of them, whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Losses:
    """Rows with the loss of each model, scored by `score` of their mean; stands for out-of-fold predictions."""

    values: Numbers
    score: Callable[[Numbers], Numbers] = np.negative
    clusters: Positions | None = None
    repeats: bool = True
    tells_losses: bool = True

    @property
    def rows(self) -> Positions:
        return np.arange(len(self.values))

    def scores(self, positions: Positions) -> Numbers:
        return self.score(self.values[positions].mean(axis=0))

    def losses(self) -> Numbers | None:
        return self.values if self.tells_losses else None


@dataclass(frozen=True)
class Made:
    """What is known of some models (losses, CV, public score), and what is not (private score)."""

    losses: Losses
    cv: Numbers
    public: Numbers
    private: Numbers


def make(
    seed: int,
    *,
    families: int = 3,
    of_each: int = 4,
    train: int = 600,
    public: int = 100,
    private: int = 300,
    spread: float = 0.05,
    drift: float = 0.0,
) -> Made:
    """Models whose true scores differ by `spread` and on the test set by `drift` besides; a family fails alike."""
    random, k = np.random.default_rng(seed), families * of_each
    truth = spread * random.standard_normal(k)
    shifts = drift * random.standard_normal(k)

    def losses(rows: int, mean: Numbers) -> Numbers:
        family = np.repeat(random.standard_normal((rows, families)), of_each, axis=1)
        return (
            1 - mean + 0.8 * random.standard_normal((rows, 1)) + 0.5 * family + 0.2 * random.standard_normal((rows, k))
        )

    known, test = losses(train, truth), losses(public + private, truth + shifts - 0.1)
    return Made(Losses(known), -known.mean(0), -test[:public].mean(0), -test[public:].mean(0))

"""Which two submissions to choose: the pair whose better private score is expected to be the highest.

The better one of the two counts, so that a second submission which fails on the same rows as the first is worth
nothing, and one that fails on others may be worth more than a better one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kagglerun.submission.finals.splits import Splits

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Pair:
    """Two candidates, by number, the better one first.

    Attributes:
        first: the one with the higher expected private score.
        second: the other one.
        expected: expected better private score of the two.
        worth: how much of it the second one adds to the first.
        alike: correlation of their private scores apart from what all candidates share; 1: they fail on the same rows.
    """

    first: int
    second: int
    expected: float
    worth: float
    alike: float


@dataclass(frozen=True)
class ShakeUp:
    """How far the order on the public part is from that on the private part, by the choice of rows alone.

    Attributes:
        move: standard deviation of a difference between two candidates from public to private score, the median pair.
        order: mean Kendall correlation of the two orders.
        leader_stays: chance that the first in public is the first in private.
        leader_price: by how much the first in public is expected to be behind the first in private.
        pair_price: the same for the better one of the first two in public.
    """

    move: float
    order: float
    leader_stays: float
    leader_price: float
    pair_price: float


def rank_pairs(private: Numbers) -> list[Pair]:
    """All pairs, the one with the highest expected better score first.

    Args:
        private: (draws, k) joint draws of private scores, greater is better; k at least 2.
    """
    means = private.mean(axis=0)
    apart = private - private.mean(axis=1, keepdims=True)
    alike = _correlations(private if private.shape[1] == 2 else apart)
    pairs = []
    for one in range(private.shape[1]):
        better = np.maximum(private[:, one : one + 1], private).mean(axis=0)
        for other in range(one + 1, private.shape[1]):
            first, second = (one, other) if means[one] >= means[other] else (other, one)
            expected = float(better[other])
            pairs.append(Pair(first, second, expected, expected - float(means[first]), float(alike[one, other])))
    return sorted(pairs, key=lambda pair: (-pair.expected, pair.first, pair.second))


def pair_of(pairs: Sequence[Pair], one: int, other: int) -> Pair:
    """The pair of two candidates."""
    return next(pair for pair in pairs if {pair.first, pair.second} == {one, other})


def advantage(private: Numbers, pair: Pair, rival: Pair) -> tuple[float, float]:
    """Expected better score of a pair minus that of another one, and the chance that it is above zero (ties half)."""
    better = np.maximum(private[:, pair.first], private[:, pair.second])
    other = np.maximum(private[:, rival.first], private[:, rival.second])
    gain = better - other
    return float(gain.mean()), float((gain > 0).mean() + (gain == 0).mean() / 2)


def two_best(values: Numbers) -> tuple[int, int]:
    """Numbers of the two highest values; the earlier of equal ones, NaN last."""
    order = np.argsort(np.where(np.isfinite(values), -values, np.inf), kind="stable")
    return int(order[0]), int(order[1])


def shake_up(splits: Splits, greater_is_better: bool) -> ShakeUp:
    """What the choice of public and private rows alone does to the order of the candidates."""
    sign = 1.0 if greater_is_better else -1.0
    public, private = sign * splits.public, sign * splits.private
    order = np.argsort(-public, axis=1, kind="stable")
    draws = np.arange(len(public))
    best = private.max(axis=1)
    leader = private[draws, order[:, 0]]
    pair = np.maximum(leader, private[draws, order[:, min(1, public.shape[1] - 1)]])
    return ShakeUp(
        move=_median_move(public, private),
        order=_mean_tau(public, private),
        leader_stays=float((leader >= best).mean()),
        leader_price=float((best - leader).mean()),
        pair_price=float((best - pair).mean()),
    )


def _median_move(public: Numbers, private: Numbers) -> float:
    moves = public - private
    one, other = np.triu_indices(public.shape[1], 1)
    spreads = [float((moves[:, a] - moves[:, b]).std()) for a, b in zip(one, other, strict=True)]
    return float(np.median(spreads)) if spreads else 0.0


def _mean_tau(public: Numbers, private: Numbers) -> float:
    one, other = np.triu_indices(public.shape[1], 1)
    agree = np.sign(public[:, one] - public[:, other]) * np.sign(private[:, one] - private[:, other])
    return float(agree.mean()) if agree.size else 1.0


def _correlations(values: Numbers) -> Numbers:
    centred = values - values.mean(axis=0)
    spread = np.sqrt((centred**2).sum(axis=0))
    safe = np.where(spread > 0, spread, 1.0)
    return np.asarray(centred.T @ centred / np.outer(safe, safe), dtype=np.float64)

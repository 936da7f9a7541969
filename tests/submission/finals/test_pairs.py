"""Which two to choose."""

from __future__ import annotations

import numpy as np
import pytest
from drawn import make

from kagglerun.submission.finals.belief import believe
from kagglerun.submission.finals.pairs import advantage, pair_of, rank_pairs, shake_up, two_best
from kagglerun.submission.finals.splits import draw_splits


def test_two_that_fail_differently_are_better_than_two_alike() -> None:
    random = np.random.default_rng(0)
    own = random.standard_normal((4000, 2))
    private = np.column_stack([own[:, 0] + 1.0, own[:, 0] + 0.9, own[:, 1] + 0.8])
    best = rank_pairs(private)[0]
    assert (best.first, best.second) == (0, 2)
    alike = pair_of(rank_pairs(private), 0, 1)
    assert alike.worth == pytest.approx(0.0, abs=1e-9) and best.worth > 0.4
    assert best.alike < 0 < alike.alike
    gain, chance = advantage(private, best, alike)
    assert gain == pytest.approx(best.expected - alike.expected) and chance > 0.5


def test_the_two_best_are_the_earlier_of_equal_ones_and_never_unknown_ones() -> None:
    assert two_best(np.array([np.nan, 2.0, 1.0, 2.0])) == (1, 3)
    assert two_best(np.array([np.nan, np.nan, 1.0])) == (2, 0)


def test_the_shake_up_grows_as_the_public_part_shrinks() -> None:
    losses = make(0).losses
    small, large = (shake_up(draw_splits(losses, rows, 300, draws=200), True) for rows in (30, 3000))
    assert small.order < large.order and small.leader_stays < large.leader_stays
    assert small.leader_price > large.leader_price > 0 and small.pair_price < small.leader_price
    assert small.move > large.move


@pytest.mark.long
def test_the_proposed_pair_beats_the_two_best_of_the_leaderboard_in_private() -> None:
    ours, by_public, by_cv = [], [], []
    for seed in range(120):
        made = make(seed, spread=0.01)
        found = believe(made.cv, made.public, draw_splits(made.losses, 100, 300, draws=50, seed=seed), seed=seed)
        best = rank_pairs(found.private)[0]
        for scores, pair in (
            (ours, (best.first, best.second)),
            (by_public, two_best(made.public)),
            (by_cv, two_best(made.cv)),
        ):
            scores.append(made.private[list(pair)].max() - made.private.max())
    assert np.mean(ours) > np.mean(by_public) and np.mean(ours) > np.mean(by_cv)

"""What private scores are to be expected."""

from __future__ import annotations

import numpy as np
import pytest
from drawn import Made, make

from kagglerun.submission.finals.belief import Belief, believe
from kagglerun.submission.finals.splits import draw_splits


def _believe(made: Made, seed: int = 0) -> Belief:
    return believe(made.cv, made.public, draw_splits(made.losses, 100, 300, draws=60), seed=seed)


def test_scores_count_by_the_rows_behind_them() -> None:
    made = make(0)
    found = _believe(made)
    # Equal noise a row: 600 rows of CV and 100 public ones, around what all candidates share.
    weights = (600 * (made.cv - made.cv.mean()) + 100 * (made.public - made.public.mean())) / 700
    assert found.beyond_noise < 0.5
    assert found.expected - found.expected.mean() == pytest.approx(weights, abs=0.01)
    assert found.expected.mean() == pytest.approx(made.public.mean(), abs=0.08), "the shift is that of the public part"


@pytest.mark.long
def test_private_scores_are_where_they_are_expected() -> None:
    inside, errors, cv_errors = [], [], []
    for seed in range(100):
        made = make(seed)
        found = _believe(made, seed)
        off = (made.private - made.private.mean()) - (found.expected - found.expected.mean())
        inside.extend(np.abs(off) <= 1.96 * found.deviation)
        errors.append((off**2).mean())
        cv_errors.append((((made.private - made.private.mean()) - (made.cv - made.cv.mean())) ** 2).mean())
    assert 0.92 <= np.mean(inside) <= 0.98
    assert np.mean(errors) < np.mean(cv_errors)


def test_a_leaderboard_that_contradicts_cv_beyond_noise_counts_for_more() -> None:
    beyond = [_believe(make(seed), seed).beyond_noise for seed in range(40)]
    assert np.mean(beyond) < 0.5 and np.mean(np.array(beyond) > 0.95) <= 0.05, "noise alone seldom looks like more"
    drifted = [make(seed, drift=0.3) for seed in range(20)]
    found = [_believe(made, seed) for seed, made in enumerate(drifted)]
    assert np.mean([one.excess for one in found]) == pytest.approx(0.3, rel=0.25)
    assert min(one.beyond_noise for one in found) > 0.99
    nearer = [
        np.corrcoef(one.expected, made.private)[0, 1] > np.corrcoef(made.cv, made.private)[0, 1]
        for one, made in zip(found, drifted, strict=True)
    ]
    assert np.mean(nearer) > 0.9


def test_without_public_scores_cv_is_all_there_is() -> None:
    made = make(3)
    splits = draw_splits(made.losses, 100, 300, draws=60)
    found = believe(made.cv, np.full(len(made.cv), np.nan), splits)
    assert found.expected == pytest.approx(made.cv)
    one_known = made.public.copy()
    one_known[1:] = np.nan
    shifted = believe(made.cv, one_known, splits).expected
    assert shifted - made.cv == pytest.approx(np.full(len(made.cv), made.public[0] - made.cv[0]), abs=0.01)


def test_where_smaller_is_better_all_is_turned() -> None:
    made = make(4)
    splits = draw_splits(made.losses, 100, 300, draws=60)
    up = believe(made.cv, made.public, splits)
    turned = type(splits)(
        -splits.public, -splits.private, -splits.whole, splits.rows, 100, 300, splits.measured, splits.by
    )
    down = believe(-made.cv, -made.public, turned, greater_is_better=False)
    assert down.expected == pytest.approx(up.expected) and down.private == pytest.approx(up.private)

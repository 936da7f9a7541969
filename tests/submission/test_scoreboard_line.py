"""The line of CV and public scores."""

from __future__ import annotations

import numpy as np
import pytest

from kagglerun.submission.scoreboard_line import (
    contradictions,
    expected_agreement,
    fit_line,
    least_difference,
)

_N = 8
_SHARED = 0.02**2
_OWN = 0.004**2
_TRAIN = (_SHARED + _OWN * np.eye(_N)) / 5
_PUBLIC = _SHARED + _OWN * np.eye(_N)


def _scores(random: np.random.Generator, slope: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """CV and public scores of models whose true scores differ; both noises are mostly shared."""
    truth = 0.8 + 0.01 * random.standard_normal(_N)
    cv = random.multivariate_normal(truth, _TRAIN)
    return cv, random.multivariate_normal(slope * truth - 0.03, _PUBLIC)


def test_noise_alone_seldom_takes_a_submission_off_the_line() -> None:
    random = np.random.default_rng(0)
    any_off = [fit_line(*_scores(random), _TRAIN, _PUBLIC).is_off.any() for _ in range(300)]
    assert 0.0 <= np.mean(any_off) <= 0.09


def test_a_submission_that_gained_in_cv_alone_is_off_the_line() -> None:
    cv, public = _scores(np.random.default_rng(1))
    cv[3] += 0.04
    line = fit_line(cv, public, _TRAIN, _PUBLIC)
    assert line.slope == 1.0 and list(np.flatnonzero(line.is_off)) == [3] and line.off[3] < 0


def test_another_slope_is_taken_where_scores_rule_out_one() -> None:
    truth = np.linspace(0.1, 0.3, 10)
    line = fit_line(truth, 2 * truth + 0.001 * np.cos(np.arange(10)), np.eye(10) * 1e-6, np.eye(10) * 1e-6)
    assert line.slope == pytest.approx(2.0, abs=0.05) and not line.is_off.any()


def test_contradictions_beyond_noise_are_found_and_noise_makes_few() -> None:
    random, alarms = np.random.default_rng(2), 0
    for _ in range(300):
        alarms += bool(contradictions(*_scores(random), _TRAIN, _PUBLIC))
    assert alarms / 300 <= 0.05
    cv = np.linspace(0.78, 0.80, _N)
    public = cv - 0.03
    cv[2], public[2] = cv.max() + 0.03, public.min() - 0.03
    found = contradictions(cv, public, _TRAIN, _PUBLIC)
    assert found and all(2 in pair for pair in found) and found[0][0] == 2


def test_orders_agree_less_where_the_public_part_is_small() -> None:
    cv = np.linspace(0.78, 0.80, _N)
    large, small = (expected_agreement(cv, _TRAIN, _PUBLIC * factor) for factor in (0.1, 10))
    assert large.kendall > 0.8 > small.kendall > small.low


def test_the_least_difference_is_that_of_two_correlated_scores() -> None:
    assert least_difference(_PUBLIC) == pytest.approx(1.96 * np.sqrt(2 * _OWN), rel=1e-3)

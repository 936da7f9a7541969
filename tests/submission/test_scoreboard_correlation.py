"""Rank correlations of a few pairs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from kagglerun.submission import scoreboard_correlation
from kagglerun.submission.scoreboard_correlation import rank_agreement


@pytest.mark.parametrize("ties", [False, True])
def test_values_and_exact_p_are_scipys(ties: bool) -> None:
    random = np.random.default_rng(0)
    x, y = random.standard_normal((2, 7))
    y = x + y
    if ties:
        x, y = np.round(x), np.round(y)
    found = rank_agreement(x, y)
    assert found.kendall.value == pytest.approx(stats.kendalltau(x, y).statistic)
    assert found.spearman.value == pytest.approx(stats.spearmanr(x, y).statistic)
    if not ties:
        assert found.p == pytest.approx(stats.kendalltau(x, y, method="exact").pvalue)


@pytest.mark.parametrize(("pairs", "correlation"), [(6, 0.5), (10, 0.0), (10, 0.8), (25, 0.8)])
def test_intervals_cover_the_true_correlation(monkeypatch: pytest.MonkeyPatch, pairs: int, correlation: float) -> None:
    monkeypatch.setattr(scoreboard_correlation, "_p", lambda *_: 1.0)
    tau, rho = 2 / np.pi * np.arcsin(correlation), 6 / np.pi * np.arcsin(correlation / 2)
    random, inside = np.random.default_rng(pairs), []
    for _ in range(400):
        x, noise = random.standard_normal((2, pairs))
        found = rank_agreement(x, correlation * x + np.sqrt(1 - correlation**2) * noise)
        inside.append(
            (found.kendall.low <= tau <= found.kendall.high, found.spearman.low <= rho <= found.spearman.high)
        )
    assert (np.mean(inside, axis=0) >= 0.91).all()


def test_perfect_agreement_of_a_few_is_not_certain() -> None:
    found = rank_agreement(np.arange(6.0), np.arange(6.0))
    assert found.kendall.value == found.kendall.high == 1.0 and 0 < found.kendall.low < 0.9
    assert found.p == pytest.approx(2 / 720)
    few = rank_agreement(np.arange(4.0), np.arange(4.0))
    assert (few.kendall.low, few.kendall.high, few.spearman.low) == (-1.0, 1.0, -1.0)


def test_scores_that_are_all_equal_agree_with_nothing() -> None:
    found = rank_agreement(np.ones(6), np.arange(6.0))
    assert (found.kendall.value, found.spearman.value, found.p) == (0.0, 0.0, 1.0)


def test_p_of_more_pairs_is_near_the_exact_one() -> None:
    x, y = np.random.default_rng(5).standard_normal((2, 12))
    exact = stats.kendalltau(x, x + 2 * y, method="exact").pvalue
    assert rank_agreement(x, x + 2 * y).p == pytest.approx(exact, abs=0.02)

"""Test sets drawn from out-of-fold rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drawn import Losses, make

from kagglerun.errors import DataError
from kagglerun.submission.finals import splits
from kagglerun.submission.finals.splits import draw_splits


def test_the_noise_is_that_of_means_of_so_many_rows_and_joint_over_models() -> None:
    losses = make(0).losses
    drawn = draw_splits(losses, 100, 300, draws=1500)
    wanted = np.cov(losses.values, rowvar=False)
    for rows in (100, 300, 600):
        assert drawn.covariance(rows) * rows == pytest.approx(wanted, abs=0.12)
    assert np.cov(drawn.public, rowvar=False) * 100 == pytest.approx(wanted, abs=0.2)
    assert drawn.whole == pytest.approx(-losses.values.mean(0))


def test_the_same_arguments_draw_the_same_test_sets() -> None:
    first, again = (draw_splits(make(0).losses, 50, 70, draws=60) for _ in range(2))
    assert (first.public == again.public).all() and (first.private == again.private).all()
    assert not (first.public == draw_splits(make(0).losses, 50, 70, draws=60, seed=1).public).any()


def test_rows_that_belong_together_are_drawn_together() -> None:
    groups = np.repeat(np.arange(60), 10)
    values = np.random.default_rng(0).standard_normal((60, 2))[groups]
    alone, together = (
        draw_splits(Losses(values, clusters=clusters), 100, 100, draws=400) for clusters in (None, groups)
    )
    ratio = together.public.std(axis=0) / alone.public.std(axis=0)
    assert ratio == pytest.approx(np.sqrt([10, 10]), rel=0.15), "ten equal rows tell no more than one"


def test_a_slow_metric_is_replaced_by_its_losses_on_its_own_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = Losses(make(1).losses.values ** 2, score=np.sqrt)
    by_metric = draw_splits(losses, 200, 200, draws=300)
    monkeypatch.setattr(splits, "_SECONDS", 0.0)
    by_losses = draw_splits(losses, 200, 200, draws=300)
    assert (by_metric.by, by_losses.by) == ("metric", "losses")
    assert by_losses.public == pytest.approx(by_metric.public, abs=0.02)
    fewer = draw_splits(replace(losses, tells_losses=False), 200, 200)
    assert (fewer.by, len(fewer.public)) == ("metric", 200)


def test_where_no_row_may_be_drawn_twice_the_noise_is_that_of_independent_rows_nonetheless() -> None:
    losses = make(2).losses
    once = draw_splits(replace(losses, repeats=False), 100, 300, draws=1500)
    assert once.covariance(100) * 100 == pytest.approx(np.cov(losses.values, rowvar=False), abs=0.15)


def test_a_metric_that_is_not_defined_on_such_test_sets_is_an_error() -> None:
    with pytest.raises(DataError, match="not defined on 60 of 60 test sets of 5 public and 5 private rows"):
        draw_splits(Losses(make(0).losses.values, score=lambda means: np.full(len(means), np.nan)), 5, 5, draws=60)

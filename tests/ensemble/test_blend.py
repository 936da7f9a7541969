"""Blends: the same bits for the same rows in any chunks, any members that are left, any space."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kagglerun.ensemble.blend import Blend, Member, Space, rank_among
from kagglerun.errors import DataError

ROWS = 203


def made(space: Space, k: int = 3) -> tuple[Blend, dict[str, np.ndarray]]:
    """A blend of three members, and their predictions."""
    numbers = np.random.default_rng(5)
    values = {run: numbers.dirichlet(np.ones(k), ROWS) for run in ("a", "b", "c")}
    quantiles = {run: np.quantile(held, np.linspace(0, 1, 33), axis=0).T for run, held in values.items()}
    parts = tuple(
        Member(
            run,
            tuple(numbers.random(k)),
            tuple(tuple(map(float, row)) for row in quantiles[run]) if space is Space.RANK else None,
        )
        for run in values
    )
    return Blend(space, parts, (0.1,) * k, lowest=0.0, sums_to_one=space is Space.VALUE), values


@pytest.mark.parametrize("space", list(Space))
def test_chunks_of_any_size_give_the_same_bits(space: Space) -> None:
    blend, values = made(space)
    whole = blend.combine(values)
    for size in (1, 7, 64, 200):
        parts = [
            blend.combine({run: held[start : start + size] for run, held in values.items()})
            for start in range(0, ROWS, size)
        ]
        assert np.vstack(parts).tobytes() == whole.tobytes()


@pytest.mark.parametrize("space", list(Space))
def test_a_blend_read_back_from_json_gives_the_same_bits(space: Space) -> None:
    blend, values = made(space)
    again = Blend.from_dict(json.loads(json.dumps(blend.to_dict())))
    assert again == blend
    assert again.combine(values).tobytes() == blend.combine(values).tobytes()


@pytest.mark.parametrize("space", list(Space))
def test_any_members_that_are_left_give_predictions_on_the_same_scale(space: Space) -> None:
    blend, values = made(space)
    for missing in ("a", "b", "c"):
        left = {run: held for run, held in values.items() if run != missing}
        found = blend.combine(left)
        assert np.isfinite(found).all()
        assert abs(found.mean() - blend.combine(values).mean()) < 0.2
    assert np.isfinite(blend.combine({"c": values["c"]})).all()


def test_members_that_are_left_weigh_more_in_proportion() -> None:
    parts = (Member("a", (0.5,)), Member("b", (0.3,)), Member("c", (0.2,)))
    blend = Blend(Space.VALUE, parts, (0.0,))
    values = {"a": np.array([[10.0]]), "b": np.array([[20.0]]), "c": np.array([[30.0]])}
    without_a = blend.combine({"b": values["b"], "c": values["c"]})
    assert without_a[0, 0] == pytest.approx((0.3 * 20 + 0.2 * 30) / 0.5)
    assert blend.without(["a"]) == ("without a (50% of the weight) the other 2 of 3 members weigh more, in proportion")
    assert blend.without([]) == "all 3 members take part"


def test_members_without_weight_stand_in_with_equal_parts_where_all_others_are_missing() -> None:
    blend = Blend(Space.VALUE, (Member("a", (1.0, 0.0)), Member("b", (0.0, 1.0))), (0.0, 0.0))
    assert blend.combine({"b": np.array([[2.0, 3.0]])}).tolist() == [[2.0, 3.0]]


def test_without_any_member_there_is_no_prediction() -> None:
    with pytest.raises(DataError, match="none of the ensemble's members"):
        made(Space.VALUE)[0].combine({})


def test_members_of_another_shape_are_named() -> None:
    blend, values = made(Space.VALUE)
    with pytest.raises(DataError, match="predictions of b have the shape"):
        blend.combine({**values, "b": values["b"][:5]})


def test_probabilities_of_classes_sum_to_one() -> None:
    for space in (Space.VALUE, Space.LOG):
        blend, values = made(space)
        np.testing.assert_allclose(blend.combine(values).sum(axis=1), 1.0)


def test_ranks_lie_between_0_and_1_and_keep_the_order() -> None:
    numbers = np.random.default_rng(2).gamma(1.0, size=5000)
    quantiles = np.quantile(numbers, np.linspace(0, 1, 257))
    ranks = rank_among(np.sort(numbers), quantiles)
    assert ranks[0] == 0 and ranks[-1] == 1
    assert (np.diff(ranks) >= 0).all()
    np.testing.assert_allclose(ranks, np.linspace(0, 1, 5000), atol=0.01)


def test_equal_predictions_get_the_middle_of_their_ranks() -> None:
    quantiles = np.quantile(np.repeat([0.0, 1.0], 50), np.linspace(0, 1, 101))
    assert rank_among(np.array([0.0, 1.0]), quantiles) == pytest.approx([0.25, 0.75], abs=0.02)
    assert rank_among(np.array([-1.0, 3.0, 4.0]), np.full(9, 3.0)).tolist() == [0.0, 0.5, 1.0]


def test_a_mean_of_ranks_is_on_the_scale_of_its_members() -> None:
    numbers = np.random.default_rng(3)
    value = numbers.beta(2, 5, (4000, 1))
    quantiles = (tuple(map(float, np.quantile(value, np.linspace(0, 1, 257)))),)
    blend = Blend(Space.RANK, (Member("a", (1.0,), quantiles),), (0.0,))
    np.testing.assert_allclose(blend.combine({"a": value}), value, atol=0.02)


@pytest.mark.parametrize(
    "saved",
    [{}, {"members": [], "space": "value", "intercept": [0.0]}, {"members": 3}, {"members": [{}], "space": "value"}],
)
def test_what_is_no_blend_is_said_to_be_none(saved: dict[str, object]) -> None:
    with pytest.raises(DataError, match="no ensemble as kagglerun writes it"):
        Blend.from_dict(saved)

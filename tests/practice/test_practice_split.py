from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kagglerun.practice.split import choose_rows, count_of_share


@given(rows=st.integers(2, 300), share=st.floats(0.01, 0.99), seed=st.integers(0, 5))
def test_the_share_is_kept_and_both_sides_have_rows(rows: int, share: float, seed: int) -> None:
    chosen = choose_rows(rows, share, seed, "test")
    assert chosen.sum() == count_of_share(rows, share)
    assert 0 < chosen.sum() < rows


@given(sizes=st.lists(st.integers(1, 40), min_size=2, max_size=8), share=st.floats(0.05, 0.8))
def test_every_class_keeps_a_row_and_gives_its_share(sizes: list[int], share: float) -> None:
    labels = [f"c{k}" for k, size in enumerate(sizes) for _ in range(size)]
    chosen = choose_rows(len(labels), share, 1, "test", labels)
    taken = Counter(np.asarray(labels)[chosen])
    total = min(count_of_share(len(labels), share), len(labels) - len(sizes))
    assert chosen.sum() == total
    for k, size in enumerate(sizes):
        assert taken[f"c{k}"] <= size - 1


def test_proportions_differ_by_less_than_a_row() -> None:
    labels = ["a"] * 500 + ["b"] * 300 + ["c"] * 197
    taken = Counter(np.asarray(labels)[choose_rows(len(labels), 0.3, 7, "test", labels)])
    assert all(abs(taken[label] - 0.3 * count) < 1 for label, count in Counter(labels).items())


@pytest.mark.parametrize("stratified", [False, True])
def test_same_seed_same_rows_and_another_seed_others(stratified: bool) -> None:
    labels = ["a", "b"] * 100 if stratified else None
    first = choose_rows(200, 0.3, 1, "test", labels)
    assert (first == choose_rows(200, 0.3, 1, "test", labels)).all()
    assert (first != choose_rows(200, 0.3, 2, "test", labels)).any()
    assert (first != choose_rows(200, 0.3, 1, "public", labels)).any()

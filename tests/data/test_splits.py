"""Folds: every scheme covers the rows once, follows from the seed alone and keeps its promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kagglerun.config.card import Card, Task
from kagglerun.data.splits import Array, auto_scheme, fold_rows, make_folds, schemes, signature
from kagglerun.errors import ConfigError, DataError

RNG = np.random.default_rng(1)
CLASSES = RNG.permutation(np.repeat([0, 1, 2], [60, 30, 13]))
GROUPS = RNG.integers(0, 25, len(CLASSES)).astype(str)
TIMES = RNG.integers(0, 40, len(CLASSES))


def folds(scheme: str, n_splits: int = 5, seed: int = 0, **more: object) -> Array:
    known: dict = {"targets": CLASSES, "task": Task.MULTICLASS, "groups": GROUPS, "times": TIMES}
    return make_folds(scheme, n_splits, seed, **{**known, **more})


@pytest.mark.parametrize("scheme", schemes.names())
@pytest.mark.parametrize("n_splits", [2, 5, 9])
def test_every_fold_validates_rows_it_does_not_train_on(scheme: str, n_splits: int) -> None:
    split = folds(scheme, n_splits)
    assert split.dtype == np.int64
    validated = np.zeros(len(CLASSES), dtype=int)
    for k in range(n_splits):
        train, valid = fold_rows(split, k, scheme)
        assert len(train) > 0
        assert len(valid) > 0
        assert not set(train) & set(valid)
        assert (np.diff(train) > 0).all()
        if scheme != "time":
            assert len(train) + len(valid) == len(CLASSES)
        validated[valid] += 1
    assert (validated == (split >= 0)).all()
    assert (split >= 0).all() or scheme == "time"


@pytest.mark.parametrize("scheme", schemes.names())
def test_the_same_seed_gives_the_same_folds_and_signature(scheme: str) -> None:
    assert signature(folds(scheme), scheme) == signature(folds(scheme), scheme)
    if scheme != "time":
        assert signature(folds(scheme, seed=1), scheme) != signature(folds(scheme), scheme)


KFOLD_42 = [1, 2, 0, 0, 2, 0, 1, 2, 2, 1, 0, 1]
STRATIFIED_42 = [0, 1, 2, 2, 1, 2, 1, 0, 1, 0, 2, 0]


def test_folds_are_those_of_every_earlier_release() -> None:
    targets = np.arange(12) % 3
    assert make_folds("kfold", 3, 42, targets, Task.MULTICLASS).tolist() == KFOLD_42
    assert make_folds("stratified", 3, 42, targets, Task.MULTICLASS).tolist() == STRATIFIED_42


def test_stratified_folds_differ_by_one_row_of_a_class_at_most() -> None:
    split = folds("stratified")
    for label in range(3):
        counts = np.bincount(split[label == CLASSES], minlength=5)
        assert counts.max() - counts.min() <= 1
    sizes = np.bincount(split)
    assert sizes.max() - sizes.min() <= 1


def test_stratified_folds_share_out_rare_labels_of_several_targets() -> None:
    targets = (RNG.random((200, 3)) < [0.5, 0.3, 0.04]).astype(float)
    split = make_folds("stratified", 4, 0, targets, Task.MULTILABEL)
    counts = np.array([targets[split == k].sum(axis=0) for k in range(4)])
    assert (np.ptp(counts, axis=0) <= 4).all()
    assert counts[:, 2].min() >= 1


@pytest.mark.parametrize("scheme", ["group", "stratified_group"])
def test_a_group_is_never_on_both_sides(scheme: str) -> None:
    split = folds(scheme)
    for group in set(GROUPS):
        assert len(set(split[group == GROUPS])) == 1


def test_stratified_groups_even_out_the_classes() -> None:
    split = folds("stratified_group")
    for label in range(3):
        shares = np.array([(CLASSES[split == k] == label).mean() for k in range(5)])
        assert np.ptp(shares) < 0.2


def test_groups_of_one_class_each_still_fill_every_fold() -> None:
    targets = np.repeat(np.arange(5), 4)
    split = make_folds("stratified_group", 5, 0, targets, Task.MULTICLASS, groups=targets)
    assert sorted(set(split)) == [0, 1, 2, 3, 4]


def test_time_folds_train_on_earlier_rows_only() -> None:
    split = folds("time")
    for k in range(5):
        train, valid = fold_rows(split, k, "time")
        assert TIMES[train].max() < TIMES[valid].min()
    assert (split == -1).any()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=12, max_size=60), st.integers(2, 4))
def test_time_folds_hold_for_any_times(times: list[int], n_splits: int) -> None:
    targets = np.zeros((len(times), 1))
    if len(set(times)) <= n_splits:
        with pytest.raises(ConfigError, match="different times cannot make"):
            make_folds("time", n_splits, 0, targets, Task.REGRESSION, times=times)
        return
    split = make_folds("time", n_splits, 0, targets, Task.REGRESSION, times=times)
    assert set(split) == set(range(-1, n_splits))
    for moment in set(times):
        assert len(set(split[np.array(times) == moment])) == 1
    order = np.argsort(times, kind="stable")
    assert (np.diff(split[order]) >= 0).all()


def test_times_may_be_iso_texts_and_nothing_vaguer() -> None:
    days = np.array([f"2024-01-{day:02d}" for day in range(1, 13)])
    split = make_folds("time", 3, 0, np.zeros(12), Task.BINARY, times=days)
    assert split.tolist() == [-1] * 3 + [0] * 3 + [1] * 3 + [2] * 3
    with pytest.raises(DataError, match="no ISO 8601 times"):
        make_folds("time", 3, 0, np.zeros(12), Task.BINARY, times=np.array(["13/01/2024"] * 12))
    with pytest.raises(DataError, match="1 training rows have no time"):
        make_folds("time", 3, 0, np.zeros(12), Task.BINARY, times=[np.nan, *range(11)])


@pytest.mark.parametrize(
    ("scheme", "more", "message"),
    [
        ("group", {"groups": None}, "needs a group column"),
        ("stratified_group", {"groups": None}, "needs a group column"),
        ("group", {"groups": CLASSES}, "3 groups cannot make 5 folds"),
        ("time", {"times": None}, "needs a time column"),
        ("time", {"times": np.zeros(len(CLASSES))}, "1 different times cannot make 5 folds"),
        ("stratified", {"task": Task.REGRESSION}, "a stratified split needs classes"),
        ("stratified", {"task": Task.BINARY, "targets": np.array([0] * 100 + [1] * 3)}, "3 rows, too few for 5 folds"),
        ("kfold", {"n_splits": 104}, "103 training rows cannot make 104 folds"),
        ("stratifed", {}, "unknown split scheme 'stratifed'"),
    ],
)
def test_a_split_that_cannot_be_made_says_why(scheme: str, more: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        folds(scheme, **more)
    assert caught.value.hint


def test_missing_groups_are_an_error() -> None:
    with pytest.raises(DataError, match="1 training rows have no group"):
        folds("group", groups=[None, *GROUPS[1:]])


def test_a_class_with_fewer_rows_than_folds_is_spread_as_far_as_it_goes() -> None:
    targets = np.array([0] * 20 + [1] * 20 + [2] * 2)
    split = make_folds("stratified", 5, 0, targets, Task.MULTICLASS)
    assert len(set(split[targets == 2])) == 2


@pytest.mark.parametrize(
    ("fields", "scheme"),
    [
        ({"task": Task.BINARY}, "stratified"),
        ({"task": Task.MULTILABEL}, "stratified"),
        ({"task": Task.REGRESSION}, "kfold"),
        ({"task": Task.REGRESSION, "group": "g"}, "group"),
        ({"task": Task.MULTICLASS, "group": "g"}, "stratified_group"),
        ({"task": Task.MULTICLASS, "group": "g", "time": "t"}, "time"),
    ],
)
def test_the_card_suggests_the_scheme(fields: dict, scheme: str) -> None:
    assert auto_scheme(Card(slug="demo", **fields)) == scheme


def test_the_signature_depends_on_scheme_and_every_row() -> None:
    split = folds("kfold")
    other = split.copy()
    other[0] = (other[0] + 1) % 5
    assert len({signature(split, "kfold"), signature(split, "stratified"), signature(other, "kfold")}) == 3
    assert signature(split.astype(np.int32), "kfold") == signature(split, "kfold")

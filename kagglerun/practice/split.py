"""Which rows become test rows, and which of these are scored in public. Same input, same rows, on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from kagglerun.randomness import generator

PUBLIC_SHARE = 0.3
"""Share of the test rows behind the public score."""


def count_of_share(rows: int, share: float) -> int:
    """The number of rows that a share is: rounded, at least one, at most all but one."""
    return min(max(round(rows * share), 1), rows - 1)


def choose_rows(
    rows: int, share: float, seed: int, purpose: str, labels: Sequence[str] | None = None
) -> npt.NDArray[np.bool_]:
    """Choose a share of rows at random.

    Args:
        rows: how many there are, at least 2.
        share: the share to choose, between 0 and 1.
        seed: with `purpose` decides which rows.
        purpose: what they are chosen for, e.g. "test".
        labels: one class a row. Each class then gives its share (largest remainders first), and a class with a
            single row gives none, so that what is chosen can be learnt from the rest.

    Returns:
        (rows,) bool, True where chosen; `count_of_share` of them unless single-row classes leave fewer.
    """
    chosen = np.zeros(rows, dtype=np.bool_)
    groups = [np.arange(rows)] if labels is None else _groups(labels)
    counts = _allocate([len(group) for group in groups], count_of_share(rows, share), stratified=labels is not None)
    for number, (group, count) in enumerate(zip(groups, counts, strict=True)):
        order = generator(seed, purpose, number).permutation(group)
        chosen[order[:count]] = True
    return chosen


def _groups(labels: Sequence[str]) -> list[npt.NDArray[Any]]:
    array = np.asarray(labels, dtype=object)
    return [np.flatnonzero(array == label) for label in sorted(set(labels))]


def _allocate(sizes: Sequence[int], total: int, stratified: bool) -> list[int]:
    """Share `total` out over groups in proportion to their sizes, leaving at least one row in each class."""
    most = [size - 1 for size in sizes] if stratified else list(sizes)
    wanted = [total * size / sum(sizes) for size in sizes]
    counts = [min(int(value), limit) for value, limit in zip(wanted, most, strict=True)]
    while sum(counts) < min(total, sum(most)):
        open_groups = [k for k in range(len(sizes)) if counts[k] < most[k]]
        counts[max(open_groups, key=lambda k: (wanted[k] - counts[k], -k))] += 1
    return counts

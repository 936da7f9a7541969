"""Predictions of all test rows, as folds and views come in, and what they make together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kagglerun.ensemble.blend import Blend
from kagglerun.experiment.postprocess import Postprocess

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Unit:
    """One prediction of all rows.

    Attributes:
        member: id of the run.
        fold: its fold.
        view: in which way rows are looked at.
    """

    member: str
    fold: int
    view: int

    def __str__(self) -> str:
        """For people."""
        return f"{self.member}, fold {self.fold}" + (f", view {self.view + 1}" if self.view else "")


def in_order(members: Sequence[tuple[str, Sequence[int], int]]) -> list[Unit]:
    """All units, those first that a file is best made of when time runs short.

    First each member's first fold, the most useful member at the start; then the other folds in turn; then the other
    views likewise.

    Args:
        members: run id, folds and number of views of each, the most useful first.
    """
    most_folds = max(len(folds) for _, folds, _ in members)
    most_views = max(views for _, _, views in members)
    return [
        Unit(run, folds[turn], view)
        for view in range(most_views)
        for turn in range(most_folds)
        for run, folds, views in members
        if turn < len(folds) and view < views
    ]


@dataclass(eq=False)
class _Member:
    """One run's predictions so far.

    Folds that have all their views are added up as they come, so that one array stands for all of them; the run itself
    adds its folds in the same order.
    """

    views: int
    finish: Callable[[Values], Values]
    count: int = 0
    _total: Values | None = None
    _folds: int = 0
    _open: dict[int, list[Values]] = field(default_factory=dict)

    def add(self, fold: int, values: Values) -> None:
        of_views = self._open.setdefault(fold, [])
        of_views.append(values)
        self.count += 1
        if len(of_views) == self.views and next(iter(self._open)) == fold:
            self._total, self._folds = _sum(self._total, self._finished(self._open.pop(fold))), self._folds + 1

    def mean(self) -> Values:
        """The mean over folds of the mean over views, float64 (n, k)."""
        total, folds = self._total, self._folds
        for of_views in self._open.values():
            total, folds = _sum(total, self._finished(of_views)), folds + 1
        assert total is not None, "a member has a fold as soon as it is known"
        mean: Values = total / folds
        return mean

    def _finished(self, of_views: list[Values]) -> Values:
        # The mean of one view is that view, bit for bit.
        return self.finish(np.mean(of_views, axis=0) if len(of_views) > 1 else of_views[0].copy())


def _sum(total: Values | None, values: Values) -> Values:
    return values if total is None else total + values


@dataclass(eq=False)
class Gathered:
    """What was predicted so far.

    Attributes:
        finish: (run id, a fold's predictions) to those after the run's own post-processing.
        views: run id to the number of views that each of its folds will have.
        blend: how members become one; None for one member.
        postprocess: what the result goes through; None for nothing.
    """

    finish: Callable[[str, Values], Values]
    views: Mapping[str, int]
    blend: Blend | None
    postprocess: Postprocess | None
    _members: dict[str, _Member] = field(default_factory=dict)

    def add(self, unit: Unit, values: Values) -> None:
        """Take in a unit's predictions, float64 (n, k); folds of a member in its own order."""
        run = unit.member
        if run not in self._members:
            self._members[run] = _Member(self.views[run], lambda of_fold: self.finish(run, of_fold))
        self._members[run].add(unit.fold, values)

    @property
    def used(self) -> dict[str, int]:
        """Member to the number of its predictions."""
        return {run: member.count for run, member in self._members.items()}

    def raw(self) -> Values:
        """What the members together predict, float64 (n, k)."""
        means = {run: member.mean() for run, member in self._members.items()}
        if self.blend is None:
            [only] = means.values()
            return only
        return self.blend.combine(means)

    def result(self) -> Values:
        """What is written: `raw` after the run's post-processing."""
        values = self.raw()
        return values if self.postprocess is None else self.postprocess.apply(values)

"""Predictions of all test rows, as folds and views come in, and what they make together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
class Gathered:
    """What was predicted so far.

    Attributes:
        finish: (run id, a fold's predictions) to those after the run's own post-processing.
        blend: how members become one; None for one member.
        postprocess: what the result goes through; None for nothing.
    """

    finish: Callable[[str, Values], Values]
    blend: Blend | None
    postprocess: Postprocess | None
    _views: dict[str, dict[int, list[Values]]] = field(default_factory=dict)

    def add(self, unit: Unit, values: Values) -> None:
        """Take in a unit's predictions, float64 (n, k)."""
        self._views.setdefault(unit.member, {}).setdefault(unit.fold, []).append(values)

    @property
    def used(self) -> dict[str, int]:
        """Member to the number of its predictions."""
        return {run: sum(map(len, folds.values())) for run, folds in self._views.items()}

    def raw(self) -> Values:
        """What the members together predict, float64 (n, k)."""
        means = {run: self._member(run) for run in self._views}
        if self.blend is None:
            [only] = means.values()
            return only
        return self.blend.combine(means)

    def result(self) -> Values:
        """What is written: `raw` after the run's post-processing."""
        values = self.raw()
        return values if self.postprocess is None else self.postprocess.apply(values)

    def _member(self, run: str) -> Values:
        """The mean over folds of the mean over views, added in the order of the folds, as a run itself does."""
        total: Values | None = None
        folds = self._views[run]
        for fold in sorted(folds):
            of_views = folds[fold]
            # The mean over views of one view is that view, bit for bit.
            values = self.finish(run, np.mean(of_views, axis=0) if len(of_views) > 1 else of_views[0].copy())
            total = values if total is None else total + values
        assert total is not None, "a member has a fold as soon as it is known"
        mean: Values = total / len(folds)
        return mean

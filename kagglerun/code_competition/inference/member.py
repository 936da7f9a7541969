"""One member of a packaged run: its hooks, its folds, and the predictions of each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kagglerun.code_competition.inference.data_set import FrozenMember, MemberPaths
from kagglerun.code_competition.inference.pictures import Pictures
from kagglerun.code_competition.inference.test_set import TestSet
from kagglerun.config.load import load_config
from kagglerun.config.schema import Config
from kagglerun.errors import PackageError
from kagglerun.experiment.predictions import prediction_names
from kagglerun.hooks import CompetitionHooks, load_hooks
from kagglerun.models.base import FrozenFold, InferenceInput, ModelFamily, PackagedFamily, Predictor, find_family

_TABLE_ROWS_AT_ONCE = 50_000
_IMAGES_AT_ONCE = 1024


def packaged_family(family: ModelFamily, kind: str) -> PackagedFamily:
    """A family, which must be one that can be packaged.

    Raises:
        PackageError: it cannot.
    """
    missing = [name for name in ("freeze_fold", "load_fold") if not callable(getattr(family, name, None))]
    if missing:
        raise PackageError(
            f"the model family {type(family).__name__} ({kind}) has no {' and no '.join(missing)}, so its runs cannot "
            "be packaged",
            hint="see PackagedFamily in kagglerun/models/base.py for the two methods it needs",
        )
    packaged: PackagedFamily = family  # type: ignore[assignment]  # looked at just now
    return packaged


@contextmanager
def as_many_threads(count: int | None) -> Iterator[None]:
    """Compute with as many threads as the run was trained with, since sums on a CPU depend on them.

    Args:
        count: so many, if the machine has the cores; None for torch's own choice.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(min(count or before, max(before, len(os.sched_getaffinity(0)))))
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(eq=False)
class Member:
    """A run whose folds predict the test rows.

    Attributes:
        paths: its files.
        said: what inference.json says of it.
        tests: the test rows.
        pictures: opens their images.
        memory_bytes: most that the rows of a piece may take; None for the usual size.
    """

    paths: MemberPaths
    said: FrozenMember
    tests: TestSet
    pictures: Pictures
    memory_bytes: int | None = None

    @cached_property
    def config(self) -> Config:
        """The run's config."""
        return load_config(self.paths.config)

    @cached_property
    def hooks(self) -> CompetitionHooks:
        """The run's own code."""
        return load_hooks(self.paths.hooks, self.config.hooks)

    @cached_property
    def input(self) -> InferenceInput:
        """What the model sees of the test rows."""
        table, images = self.tests.input(self.hooks)
        if images is None:
            return InferenceInput(table)
        return InferenceInput(table, images, lambda side, aspect: self.pictures.open(images, side, aspect))

    def load(self, fold: int) -> Predictor:
        """Read the weights of a fold.

        Raises:
            PackageError: they are damaged, or the family cannot read them.
        """
        family = packaged_family(self.hooks.model() or find_family(self.config.model.kind), self.config.model.kind)
        task = self.tests.card.learnt_task
        assert task is not None, "a card that was trained with has a task"
        return family.load_fold(
            FrozenFold(self.config, task, len(prediction_names(self.tests.card)), self.paths.fold(fold))
        )

    def predict(self, predictor: Predictor, view: int) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """Predictions piece by piece: the rows, and float64 (rows, n_outputs) for them."""
        count = len(self.input.table)
        step = self._rows_of_a_piece(predictor)
        for start in range(0, count, step):
            rows = np.arange(start, min(start + step, count), dtype=np.int64)
            yield slice(start, start + len(rows)), predictor.predict(self.input, rows, view)

    def mean_over_views(self, predictor: Predictor) -> NDArray[np.float64]:
        """A fold's predictions for all test rows, float64 (n, k)."""
        of_views = [np.vstack([part for _, part in self.predict(predictor, view)]) for view in range(predictor.views)]
        return np.asarray(np.mean(of_views, axis=0), dtype=np.float64) if len(of_views) > 1 else of_views[0]

    def finished(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """A fold's predictions for all test rows, float64 (n, k), after the run's own post-processing."""
        return self.hooks.post_process(values, self.input.table)

    def _rows_of_a_piece(self, predictor: Predictor) -> int:
        step = _IMAGES_AT_ONCE if self.input.images is not None else _TABLE_ROWS_AT_ONCE
        if self.memory_bytes is not None and self.input.images is None:
            bytes_of_a_row = 8 * 6 * max(1, self.input.table.shape[1])  # the row, its numbers and copies of both
            step = max(1, min(step, self.memory_bytes // 10 // bytes_of_a_row))
        at_once = predictor.rows_at_once
        return max(1, step // at_once) * at_once

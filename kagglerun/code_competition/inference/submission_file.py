"""The submission file of a notebook: written early, and again as predictions get better."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kagglerun.code_competition.inference.test_set import TestSet, overrides
from kagglerun.experiment.own_cells import checked_cells
from kagglerun.experiment.predictions import Predictions, names_of
from kagglerun.hooks import CompetitionHooks, load_hooks
from kagglerun.submission.write import write_submission

_NAME = "submission.csv"
"""What Kaggle expects of a notebook unless the competition says otherwise; the ending is the sample's."""


def open_file(tests: TestSet, output: Path) -> SubmissionFile:
    """The file that is to be written: `output`, or submission.* in that folder."""
    target = output / _NAME if output.is_dir() else output
    return SubmissionFile(tests, load_hooks(tests.paths.hooks, tests.inference.hooks), target)


@dataclass(eq=False)
class SubmissionFile:
    """A submission file for the test rows.

    Attributes:
        tests: the test rows.
        hooks: the run's own code, which may write the cells.
        path: the file; its ending follows the sample's.
        held: member to the number of its predictions that the file was made of; empty before there is one.
    """

    tests: TestSet
    hooks: CompetitionHooks
    path: Path
    held: dict[str, int] = field(default_factory=dict)
    _written: float = field(default=0.0)

    def write(self, values: NDArray[np.float64], used: dict[str, int]) -> None:
        """Write the file in one step.

        Args:
            values: predictions of the test rows, float64 (n, k), after post-processing.
            used: what they were made of; see `held`.

        Raises:
            DataError: they do not fit the sample submission.
        """
        tests = self.tests
        predictions = Predictions(tests.ids, values, names_of(tests.card, values), cells=self._cells(values))
        self.path = write_submission(tests.paths, tests.card, predictions, self.path)
        self.held, self._written = dict(used), time.monotonic()

    @property
    def age(self) -> float:
        """Seconds since it was written."""
        return time.monotonic() - self._written

    def _cells(self, values: NDArray[np.float64]) -> pd.DataFrame | None:
        if not overrides(self.hooks, "cells"):
            return None
        table, card = self.tests.rows.test, self.tests.card
        known = table.drop(columns=[name for name in card.targets if name in table]).reset_index(drop=True)
        given = self.hooks.cells(values, known)
        return None if given is None else checked_cells(given, table.reset_index(drop=True), card)

"""The test set as the notebook finds it: read as the run's own was, whatever its size and types."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kagglerun.code_competition.inference.data_set import DataSetPaths, Inference, Kind
from kagglerun.config.card import Card
from kagglerun.config.load import load_card
from kagglerun.data.tables import CompetitionData, TestRows, load_competition, load_test_rows
from kagglerun.errors import DataError
from kagglerun.experiment.predictions import prediction_names
from kagglerun.files import write_bytes
from kagglerun.hooks import CompetitionHooks
from kagglerun.models.base import ModelInput
from kagglerun.models.table_features import as_numbers
from kagglerun.workspace import CompetitionPaths


def kind_of(column: pd.Series[Any]) -> Kind:
    """What a column holds."""
    if pd.api.types.is_bool_dtype(column):
        return "yes or no"
    if pd.api.types.is_numeric_dtype(column):
        return "number"
    return "date" if pd.api.types.is_datetime64_any_dtype(column) else "text"


def overrides(hooks: CompetitionHooks, name: str) -> bool:
    """Whether the competition's own code has this hook."""
    return inspect.getattr_static(type(hooks), name) is not inspect.getattr_static(CompetitionHooks, name)


@contextmanager
def competition_beside(paths: DataSetPaths, slug: str, data: Path, scratch: Path) -> Iterator[CompetitionPaths]:
    """A competition's folder, with the packaged card and hooks, and the notebook's data by a link.

    Raises:
        DataError: there is no such folder of data.
    """
    if not data.is_dir():
        raise DataError(
            f"the competition's data is not at {data}",
            hint="attach the competition to the notebook",
        )
    laid = CompetitionPaths(scratch / slug)
    laid.folder.mkdir(parents=True)
    write_bytes(laid.card, paths.competition.card.read_bytes(), durable=False)
    if paths.competition.hooks.is_file():
        write_bytes(laid.hooks, paths.competition.hooks.read_bytes(), durable=False)
    laid.data.symlink_to(data.resolve(), target_is_directory=True)
    yield laid


@dataclass(eq=False)
class TestSet:
    """The test rows, and where a run's own code needs them, the training rows.

    Attributes:
        paths: the competition's folder.
        card: what is known of it.
        inference: what the packaged run was made with.
        notes: what is odd about it; filled while it is read.
    """

    __test__ = False  # no test of pytest's

    paths: CompetitionPaths
    card: Card
    inference: Inference
    notes: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, paths: CompetitionPaths, inference: Inference) -> TestSet:
        """Read card and test rows.

        Raises:
            DataError: a file or a column is missing or damaged.
        """
        found = cls(paths, load_card(paths.card), inference)
        found._require_features()
        return found

    @cached_property
    def rows(self) -> TestRows:
        """Test table, sample submission and images, as they are."""
        return load_test_rows(self.paths, self.card, self.inference.text)

    @property
    def ids(self) -> pd.DataFrame:
        """The id columns of the test rows; their row numbers where the sample submission has no ids."""
        test = self.rows.test
        return test[list(self.card.ids)] if self.card.ids else pd.DataFrame({"row": np.arange(len(test))})

    @cached_property
    def features(self) -> pd.DataFrame:
        """The feature columns, each with what it held when the run was trained."""
        table = self.rows.test[list(self.inference.kinds)]
        return self._as_trained(table.copy(), told=True)

    def input(self, hooks: CompetitionHooks) -> tuple[pd.DataFrame, tuple[Path, ...] | None]:
        """What a model sees of the test rows, after a run's own hooks: the feature columns, and the images.

        Raises:
            DataError: the hooks changed the number of rows, or columns that they need are missing.
        """
        if not overrides(hooks, "features") and not overrides(hooks, "dataset"):
            return self.features.reset_index(drop=True), self.rows.images
        data = self._whole(with_images=overrides(hooks, "dataset"))
        columns = list(self.inference.kinds)
        train = self._as_trained(data.train[columns].copy(), told=False)
        train, test = hooks.features(train, self.features.copy())
        if not isinstance(test, pd.DataFrame) or len(test) != len(self.rows.test):
            raise DataError("hooks.features changed the number of test rows; they must stay, in number and order")
        train, test = train.reset_index(drop=True), test.reset_index(drop=True)
        if not overrides(hooks, "dataset"):
            return test, self.rows.images
        changed = hooks.dataset(self._model_input(data, train, test))
        return changed.test, changed.test_images

    def _model_input(self, data: CompetitionData, train: pd.DataFrame, test: pd.DataFrame) -> ModelInput:
        task = self.card.learnt_task
        assert task is not None, "a card that was trained with has a task"
        return ModelInput(
            task=task,
            n_outputs=len(prediction_names(self.card)),
            targets=data.targets,
            train=train,
            test=test,
            train_images=data.train_images,
            test_images=self.rows.images,
            content="notebook",
            cache=self.paths.folder / "cache",
        )

    def _whole(self, with_images: bool) -> CompetitionData:
        """The training rows too, with their images only where they are asked for; a missing test image is none."""
        files = {"test_files": None}
        if not with_images and self.card.files.train_table is not None:
            files["train_files"] = None
        card = self.card.model_copy(update={"files": self.card.files.model_copy(update=files)})
        return load_competition(self.paths, card)

    def _require_features(self) -> None:
        test = self.rows.test
        missing = [name for name in self.inference.kinds if name not in test.columns]
        if missing:
            raise DataError(
                f"the test table has no column {missing[0]!r}, which the run was trained with"
                + (f" (and {len(missing) - 1} more are missing)" if len(missing) > 1 else ""),
                hint=f"it has: {', '.join(map(str, test.columns[:12]))}",
            )

    def _as_trained(self, table: pd.DataFrame, told: bool) -> pd.DataFrame:
        """Columns that hold something else now are turned into what they were; cells that cannot are missing."""
        for name, kind in self.inference.kinds.items():
            column = table[name]
            now = kind_of(column)
            if now == kind or not len(column):
                continue
            lost = 0
            if kind in ("number", "yes or no") and now != "number":
                numbers = as_numbers(column)
                lost = int((np.isnan(numbers) & column.notna().to_numpy()).sum())
                table[name] = numbers
            elif kind == "date" and now == "text":
                table[name] = pd.to_datetime(column.astype("string"), errors="coerce", format="mixed")
                lost = int((table[name].isna() & column.notna()).sum())
            elif kind == "text" and column.notna().any():
                table[name] = column.astype("string").astype("str").where(column.notna())
            if told and lost:
                self.notes.append(
                    f"column {name}: {lost} of {len(column)} cells are no {kind}, as they were when the run was "
                    "trained; they count as missing"
                )
        return table

"""Everything a competition's hooks.py can change.

    # competitions/titanic/hooks.py
    from kagglerun.hooks import CompetitionHooks

    class Hooks(CompetitionHooks):
        def features(self, train, test):
            for table in (train, test):
                table["family"] = table["SibSp"] + table["Parch"] + 1
            return train, test

Each method has a default that changes nothing. `self.parameters` holds the config's `hooks` section.

A metric of your own is a function in the same file, in either of two formats; the card names it, `metric: amex`:

    from kagglerun.metrics import metric

    @metric(greater_is_better=True, prediction="probability")
    def amex(y_true, y_pred): ...                                       # arrays

    def score(solution, submission, row_id_column_name): ...            # Kaggle's own, pasted from a host's notebook

Masks, boxes, text and lists that are no classes have no built-in model. Bring one by `model()`; it gives numbers, as
many a row as it likes, and `cells()` turns them into what the submission's cells hold.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kagglerun import metrics
from kagglerun.config.card import Card
from kagglerun.data.tables import CompetitionData
from kagglerun.errors import ConfigError
from kagglerun.importing import import_file
from kagglerun.metrics import Metric
from kagglerun.models.base import ModelFamily, ModelInput
from kagglerun.workspace import CompetitionPaths


class CompetitionHooks:
    """Base of a competition's own code; override what should differ.

    Args:
        parameters: the config's `hooks` section.
    """

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self.parameters = parameters

    def features(self, train: pd.DataFrame, test: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Change the feature columns; rows must stay, in number and order.

        Args:
            train: columns of the training table but ids and targets.
            test: the same columns of the test table.
        """
        return train, test

    def folds(self, data: CompetitionData) -> NDArray[np.int64] | None:
        """Fold of each training row, int64 (n_train,), -1 for rows only trained on; None for the config's scheme."""
        return None

    def metric(self) -> Metric | None:
        """A metric that judges runs in place of the card's; None for the card's. A function needs only the card."""
        return None

    def dataset(self, data: ModelInput) -> ModelInput:
        """Change what the model sees, e.g. its image files. Training rows must stay in number and order."""
        return data

    def transforms(self, image_size: int) -> Callable[[Any], Any] | None:
        """Torchvision transforms (or any function) for training images, in place of the config's augmentation.

            def transforms(self, image_size):
                from torchvision.transforms import v2
                return v2.Compose([v2.RandomResizedCrop(image_size), v2.TrivialAugmentWide(), v2.PILToTensor()])

        The function gets each image of an epoch as an RGB PIL image of the side `model.cache_size` (more than
        `image_size` leaves detail to crops), and gives a tensor (3, image_size, image_size), uint8 or float in
        [0, 1]. Normalize stays out: all images are normalised as the model expects. Mixup and cutmix still apply
        where the config has them; validation and test images are resized only.

        It runs on the CPU, in `training.loader_workers` processes. Before each image the generators of Python, NumPy
        and torch are seeded from (seed, epoch, row), so that its result does not depend on processes, batches or
        resumes; it must draw from these and keep nothing from one image to the next.
        """
        return None

    def model(self) -> ModelFamily | None:
        """A model family in place of the config's; None for the config's.

        Its predictions are float64 (n, k). For tasks that are no classes and no numbers k is the family's own, and
        `cells` says what they mean; `context.data.targets` then holds the text of each training row's target cell.

        To be packaged for a code competition it needs two methods more, see `kagglerun.models.base.PackagedFamily`:
        `freeze_fold(context, destination)` copies weights and what else predicting needs, `load_fold(fold)` gives an
        object with `predict(data, rows, view)`, `views` and `rows_at_once`.
        """
        return None

    def cells(
        self, predictions: NDArray[np.float64], rows: pd.DataFrame
    ) -> Mapping[str, Sequence[Any]] | pd.DataFrame | None:
        """What the submission's cells hold, where labels, probabilities and numbers are not what is asked for.

        Args:
            predictions: float64 (n, k), after `post_process`; for test rows the mean over the folds.
            rows: the n rows of the training or test table, without targets.

        Returns:
            A submission column's name to its n cells (run lengths, text, ...), for every predicted column; out-of-fold
            predictions are scored by them against the training table's own cells. Where an id has several rows in the
            submission (an instance each), its cell is a list of texts; or give a DataFrame with the id columns, in
            which ids repeat. None leaves it to the card's layout.
        """
        return None

    def post_process(self, predictions: NDArray[np.float64], features: pd.DataFrame) -> NDArray[np.float64]:
        """Change predictions, float64 (n, n_outputs); called for out-of-fold and for test rows, before scoring."""
        return predictions


def load_hooks(path: Path, parameters: Mapping[str, Any]) -> CompetitionHooks:
    """The hooks of a competition; those that change nothing where it has no hooks.py.

    Raises:
        ConfigError: hooks.py fails, or holds several subclasses of CompetitionHooks, or neither one nor a metric.
    """
    if not path.is_file():
        return CompetitionHooks(parameters)
    module = import_file(path)
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, CompetitionHooks) and value.__module__ == module.__name__
    ]
    if not found and _brings_a_metric_only(module):
        return CompetitionHooks(parameters)
    if len(found) != 1:
        raise ConfigError(
            f"{path} holds {len(found)} subclasses of CompetitionHooks; it must hold one",
            hint="class Hooks(CompetitionHooks): ...",
        )
    return found[0](parameters)


def competition_metric(paths: CompetitionPaths, card: Card) -> Metric:
    """The metric that a competition's submissions are scored by: the card's.

    Raises:
        ConfigError: the card names none that is known; see `kagglerun.metrics.resolve`.
    """
    try:
        return metrics.resolve(str(card.metric), paths.hooks, card)
    except ConfigError:
        own = load_hooks(paths.hooks, {}).metric()
        if own is None or own.name != card.metric:
            raise
        return own


def digest_of_hooks(path: Path) -> str | None:
    """Hex SHA-256 of hooks.py; None where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _brings_a_metric_only(module: ModuleType) -> bool:
    """Whether a file holds functions or metrics, and no class that was meant to be hooks."""
    own = [value for value in vars(module).values() if getattr(value, "__module__", "") == module.__name__]
    points = {name for name, value in vars(CompetitionHooks).items() if callable(value) and not name.startswith("_")}
    meant = any(isinstance(value, type) and points & set(vars(value)) for value in own)
    brings = any(inspect.isfunction(value) for value in own)
    return not meant and (brings or any(isinstance(value, Metric) for value in vars(module).values()))

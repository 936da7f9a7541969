"""What every model family does, and the registry they enter by."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kagglerun.config.card import Task
from kagglerun.config.schema import Config
from kagglerun.data.image_decoding import Aspect
from kagglerun.data.image_store import ImageSource
from kagglerun.metrics import Metric
from kagglerun.registry import Registry
from kagglerun.workspace import FoldPaths


@dataclass(frozen=True)
class ModelInput:
    """What a model may see of a competition, after the hooks.

    Attributes:
        task: what is predicted.
        n_outputs: columns of the predictions; a family of the user's may give others where `cells` reads them.
        targets: int64 class indices (n_train,), float64 (n_train, n_targets), or for masks, boxes and text the cells'
            own text, object (n_train,).
        train: feature columns of the training rows.
        test: the same columns of the test rows.
        train_images: one file a training row, or None.
        test_images: one file a test row, or None.
        content: digest of the competition's files.
        cache: folder for what can be made again.
        cache_bytes: most that decoded images may take there; None leaves it to the size of the disk.
        transforms: makes a training image of a PIL image, in place of our augmentation; see `CompetitionHooks`.
    """

    task: Task
    n_outputs: int
    targets: NDArray[np.int64] | NDArray[np.float64]
    train: pd.DataFrame
    test: pd.DataFrame
    train_images: tuple[Path, ...] | None
    test_images: tuple[Path, ...] | None
    content: str
    cache: Path
    cache_bytes: int | None = None
    transforms: Callable[..., Any] | None = None


@dataclass(frozen=True)
class FoldContext:
    """One fold to be trained.

    Attributes:
        config: the resolved config.
        data: the input.
        metric: the competition's metric.
        score: (targets of the validation rows, predictions for them) to the metric, with the card's parameters.
        fold: its number.
        train_rows: rows to learn from, int64.
        valid_rows: rows to be judged on, int64.
        paths: where weights and checkpoints go.
        report: (step, values) after each epoch or tree.
        should_stop: asked often; True ends the training at once.
        trainer: what trains a network in place of `kagglerun.training.loop.fit`, e.g. to measure; None for that.
    """

    config: Config
    data: ModelInput
    metric: Metric
    score: Callable[[NDArray[np.int64] | NDArray[np.float64], NDArray[np.float64]], float]
    fold: int
    train_rows: NDArray[np.int64]
    valid_rows: NDArray[np.int64]
    paths: FoldPaths
    report: Callable[[int, dict[str, float]], None]
    should_stop: Callable[[dict[str, float]], bool]
    trainer: Callable[..., Any] | None = None


@dataclass(frozen=True)
class FoldOutcome:
    """What a fold gives.

    Attributes:
        valid: predictions for the validation rows, float64 (n_valid, n_outputs).
        test: predictions for the test rows, float64 (n_test, n_outputs).
        history: one dict of values an epoch or tree.
        best_step: epoch or tree whose weights made the predictions, counted from 0.
        importances: feature name to its gain, where the family knows it.
        notes: what a reader of the run should know, e.g. columns left out.
    """

    valid: NDArray[np.float64]
    test: NDArray[np.float64]
    history: tuple[dict[str, float], ...]
    best_step: int
    importances: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class ModelFamily(Protocol):
    """Trains one fold. Contract: resuming after a kill, and running again with the same seed, give the same bits."""

    def fit_fold(self, context: FoldContext) -> FoldOutcome:
        """Train on `train_rows`, predict `valid_rows` and the test rows, leave the weights in `paths`.

        Raises:
            TrainingError: it cannot go on.
            kagglerun.training.loop.Stopped: `should_stop` said so.
        """


@dataclass(frozen=True)
class InferenceInput:
    """The rows that a packaged run predicts.

    Attributes:
        table: the feature columns, after the hooks, (n, columns); what a model was trained on may be missing in cells.
        images: one file a row, or None.
        decoded: the rows' images as RGB squares, given their side in pixels and how images become squares; one that
            cannot be read is grey. None without images.
    """

    table: pd.DataFrame
    images: tuple[Path, ...] | None = None
    decoded: Callable[[int, Aspect], ImageSource] | None = None


@dataclass(frozen=True)
class FrozenFold:
    """One fold of a packaged run, as it is read back.

    Attributes:
        config: the run's resolved config.
        task: what is predicted.
        n_outputs: columns of the predictions.
        paths: its folder; see `PackagedFamily.freeze_fold`.
        trained_on: the kind of device that its weights were trained on.
    """

    config: Config
    task: Task
    n_outputs: int
    paths: FoldPaths
    trained_on: Literal["cpu", "cuda"] = "cpu"


class Predictor(Protocol):
    """Predicts with the weights of one fold.

    Attributes:
        views: in how many ways each row can be looked at (test-time augmentation); the prediction is their mean.
        rows_at_once: rows are predicted in pieces of a multiple of this number, so that batches are composed as they
            were after training; 1 where each row stands for itself.
    """

    views: int
    rows_at_once: int

    def predict(self, data: InferenceInput, rows: NDArray[np.int64], view: int = 0) -> NDArray[np.float64]:
        """Predictions for some rows, float64 (len(rows), n_outputs), as `fit_fold` gives them.

        Args:
            data: the test rows, however many.
            rows: neighbouring rows of `data`, int64.
            view: which of the views.

        Raises:
            DataError: the rows lack what the model needs; the message names it.
        """


class PackagedFamily(ModelFamily, Protocol):
    """A family whose runs can be packaged for a code competition; the built-in ones can.

    A family of a competition's own (`hooks.model()`) needs these two methods beside `fit_fold`. What they leave and
    read must be weights as safetensors or text, and JSON: nothing pickled. `load_fold` runs in a notebook without
    network, where there may be no GPU and where only the test rows are known.
    """

    def freeze_fold(self, context: FoldContext, destination: FoldPaths) -> None:
        """Write all that predicting needs of a finished fold into a folder of its own.

        Args:
            context: the fold as `fit_fold` saw it; `context.paths` holds the weights that it left.
            destination: the folder; `destination.preprocessing` is where what belongs to the input goes.

        Raises:
            PackageError: the fold left no weights.
        """

    def load_fold(self, fold: FrozenFold) -> Predictor:
        """What `freeze_fold` wrote, ready to predict the same bits for the same rows.

        Raises:
            PackageError: the folder is damaged.
        """


families: Registry[ModelFamily] = Registry("model kind")
"""Model kind to family. A competition's hooks may add their own."""

_MODULES = {
    "image": "kagglerun.models.image",
    "tabular_boosting": "kagglerun.models.tabular_boosting",
    "tabular_neural": "kagglerun.models.tabular_neural",
}


def find_family(kind: str) -> ModelFamily:
    """The family of a model kind; its module is imported now, since image and neural bring timm and torch.

    Raises:
        ConfigError: there is no such kind.
    """
    if kind in _MODULES:
        importlib.import_module(_MODULES[kind])
    return families.get(kind)

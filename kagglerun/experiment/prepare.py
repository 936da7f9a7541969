"""From a resolved config to everything its folds share: data, hooks, folds, metric, model family."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kagglerun.config.card import Card
from kagglerun.config.schema import (
    AutoModelConfig,
    Config,
    EnsembleModelConfig,
    ImageModelConfig,
    ModelConfig,
    TabularBoostingConfig,
)
from kagglerun.config.settings import load_settings
from kagglerun.data.splits import auto_scheme, fold_rows, signature
from kagglerun.data.tables import CompetitionData
from kagglerun.errors import ConfigError, DataError
from kagglerun.experiment import warm
from kagglerun.experiment.checks import check_scoring, folds_of, preflight_once, writes_cells
from kagglerun.experiment.fingerprint import Fingerprint, describe_environment, take_fingerprint
from kagglerun.experiment.own_cells import checked_cells, needs_tables, score_tables
from kagglerun.experiment.postprocess.method import require_fit
from kagglerun.experiment.predictions import prediction_names
from kagglerun.experiment.settle import Tell, settle
from kagglerun.files import sha256_of_file
from kagglerun.hooks import CompetitionHooks, digest_of_hooks, load_hooks
from kagglerun.metrics import Metric, columns_needed, score_rows
from kagglerun.metrics.list_cells import at_least_one, rows_may_be_empty
from kagglerun.models.base import ModelFamily, ModelInput, find_family
from kagglerun.training.compiled import use_compile_cache
from kagglerun.workspace import Workspace


def _say_nothing(_: str) -> None:
    """For callers whom nobody watches."""


def resolve_config(workspace: Workspace, config: Config, tell: Tell = _say_nothing) -> Config:
    """Fill in what a config leaves to the competition and the machine; the result is frozen into the run.

    Args:
        workspace: where the competition is.
        config: as the user wrote it.
        tell: is told what was settled on this machine and why, in one line.

    Raises:
        ConfigError: no competition, an unknown model, a card that is not complete.
        DataError: the data was not fetched or is damaged.
        TrainingError: not even the smallest step fits the GPU.
    """
    slug = workspace.resolve_competition(config.competition)
    paths = workspace.competition(slug)
    loaded = warm.load(paths, understands=True)
    card, data = loaded.card, loaded.data
    hooks = load_hooks(paths.hooks, config.hooks)
    metric = check_scoring(paths, loaded, hooks)
    require_fit(config.postprocess, card, metric, data.targets)
    scheme = auto_scheme(card) if config.cv.scheme == "auto" else config.cv.scheme
    seed = config.seed if config.cv.seed is None else config.cv.seed
    threads = config.training.cpu_threads or max(1, _cores() // (_at_a_time(config) * config.training.gpus))
    filled = config.model_copy(
        update={
            "competition": slug,
            "model": _resolve_model(config.model, card, data),
            "cv": config.cv.model_copy(update={"scheme": scheme, "seed": seed}),
            "training": config.training.model_copy(update={"cpu_threads": threads}),
        }
    )
    use_compile_cache(workspace.compiled)
    seen = None if hooks.model() else partial(_model_input, workspace, data, hooks, warm.data_digest(paths))
    return settle(filled, seen, metric, workspace.measurements, tell)


def _resolve_model(model: ModelConfig, card: Card, data: CompetitionData) -> ModelConfig:
    if isinstance(model, EnsembleModelConfig):
        raise ConfigError(
            "model.kind 'ensemble' is made of finished runs, it is not trained", hint="kagglerun ensemble --help"
        )
    if isinstance(model, AutoModelConfig):
        images = card.modality == "image"
        model = ImageModelConfig(pretrained=model.pretrained) if images else TabularBoostingConfig()
    if not isinstance(model, ImageModelConfig):
        return model
    if data.train_images is None:
        raise ConfigError(
            f"model.kind is 'image', but {card.slug} has no images",
            hint="model.kind=auto, or fill in files.train_files in the card",
        )
    from kagglerun.models.image import build_image_model, resolve_image_model

    resolved = resolve_image_model(model, data.train_images)
    # Weights out of reach or options the model does not have show here, before a job is started. A process that
    # executes trial after trial builds the model a moment later anyway.
    if not warm.is_kept():
        build_image_model(resolved, len(prediction_names(card)))
    return resolved


def _at_a_time(config: Config) -> int:
    """Trials that run at the same time on this machine."""
    return config.sweep.workers if isinstance(config.sweep.workers, int) else 1


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Prepared:
    """Everything the folds of a run share.

    Attributes:
        config: the resolved config.
        card: the competition's card.
        data: its tables and targets.
        input: what the model sees, after the hooks.
        hooks: the competition's code.
        metric: the metric, the card's or the hooks'.
        family: the model family.
        folds: fold of each training row, int64 (n_train,), -1 for rows only trained on.
        fingerprint: what the run depends on.
        start_weights: digest of the file that the model starts from; None without one.
        environment: machine and versions.
        warnings: what the user should know before the run.
    """

    config: Config
    card: Card
    data: CompetitionData
    input: ModelInput
    hooks: CompetitionHooks
    metric: Metric
    family: ModelFamily
    folds: NDArray[np.int64]
    fingerprint: Fingerprint
    start_weights: str | None
    environment: dict[str, Any]
    warnings: tuple[str, ...]

    @cached_property
    def chosen_folds(self) -> tuple[int, ...]:
        """The folds that this run executes."""
        return self.config.cv.folds or tuple(range(self.config.cv.n_splits))

    def fold_rows(self, fold: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Training and validation rows of a fold."""
        return fold_rows(self.folds, fold, self.config.cv.scheme)

    def score(self, rows: NDArray[np.int64], predictions: NDArray[np.float64]) -> float:
        """The competition's metric of predictions for these training rows, with the card's parameters."""
        cells = self.cells(predictions, self.data.train, rows)
        table = self.data.train[self._scored_columns].iloc[rows]
        if cells is not None and needs_tables(self.card, cells, table):
            return score_tables(self.metric, self.card, cells, table)
        columns = None if cells is None else {str(name): cells[name].to_numpy() for name in cells}
        decided = at_least_one(predictions) if self._lists_are_never_empty else predictions
        return score_rows(self.metric, self.card, self.data.targets[rows], decided, table, columns)

    @cached_property
    def _lists_are_never_empty(self) -> bool:
        """Whether each row has one of the labels at least, as the submission will have."""
        if self.card.submission_layout != "label_list" or len(self.card.submission_columns) != 1:
            return False
        cells = self.data.sample[self.card.submission_columns[0]]
        none = bool((self.data.targets.sum(axis=1) == 0).any()) if self.data.targets.ndim == 2 else False
        return not rows_may_be_empty(list(cells.map(str).where(cells.notna(), "")), none)

    @cached_property
    def _scored_columns(self) -> list[str]:
        """Columns of the training table that scoring may need."""
        needed = {*self.card.ids, *self.card.targets, *columns_needed(self.metric, self.card.metric_parameters)}
        return [name for name in self.data.train.columns if name in needed]

    def cells(
        self, predictions: NDArray[np.float64], table: pd.DataFrame, rows: NDArray[np.int64] | None = None
    ) -> pd.DataFrame | None:
        """What the hooks make of predictions, (n, columns), see `checked_cells`; None without such a hook.

        Args:
            predictions: float64 (n, k).
            table: the training or test table.
            rows: which rows of it were predicted, (n,); all by default.

        Raises:
            ConfigError: they do not give each predicted column n cells.
        """
        if not writes_cells(self.hooks):
            return None
        known = table.drop(columns=[name for name in self.card.targets if name in table])
        given = self.hooks.cells(predictions, (known if rows is None else known.iloc[rows]).reset_index(drop=True))
        if given is None:
            return None
        asked = (table if rows is None else table.iloc[rows]).reset_index(drop=True)
        return checked_cells(given, asked, self.card)


def prepare(workspace: Workspace, config: Config) -> Prepared:
    """Load, check and fold a competition's data for a resolved config.

    Raises:
        ConfigError: the card, the hooks or the config cannot be used.
        DataError: the data cannot be used.
    """
    assert config.competition is not None, "resolve_config fills the competition in"
    paths = workspace.competition(config.competition)
    use_compile_cache(workspace.compiled)
    loaded = warm.load(paths, understands=False)
    card, data = loaded.card, loaded.data
    hooks = load_hooks(paths.hooks, config.hooks)
    metric = check_scoring(paths, loaded, hooks)
    require_fit(config.postprocess, card, metric, data.targets)
    warnings = preflight_once(loaded, config, metric)
    folds = folds_of(config, loaded, hooks, metric)
    content = warm.data_digest(paths)
    environment = describe_environment(config)
    start_weights = _weights_digest(config)
    fingerprint = take_fingerprint(
        config,
        content,
        signature(folds, config.cv.scheme),
        metric,
        card.metric_parameters,
        digest_of_hooks(paths.hooks),
        environment,
        start_weights,
    )
    return Prepared(
        config=config,
        card=card,
        data=data,
        input=_with_own_transforms(_model_input(workspace, data, hooks, content), config, hooks),
        hooks=hooks,
        metric=metric,
        family=hooks.model() or find_family(config.model.kind),
        folds=folds,
        fingerprint=fingerprint,
        start_weights=start_weights,
        environment=environment,
        warnings=warnings,
    )


def _model_input(workspace: Workspace, data: CompetitionData, hooks: CompetitionHooks, content: str) -> ModelInput:
    columns = list(data.features)
    train, test = hooks.features(data.train[columns].copy(), data.test[columns].copy())
    for name, table, original in (("training", train, data.train), ("test", test, data.test)):
        if not isinstance(table, pd.DataFrame) or len(table) != len(original):
            raise DataError(f"hooks.features changed the number of {name} rows; they must stay, in number and order")
    if list(train.columns) != list(test.columns):
        differing = ", ".join(sorted(set(map(str, train.columns)) ^ set(map(str, test.columns)))[:5])
        raise DataError(f"hooks.features gave both tables different columns: {differing}")
    task = data.card.learnt_task
    assert task is not None
    made = ModelInput(
        task=task,
        n_outputs=len(prediction_names(data.card)),
        targets=data.targets,
        train=train.reset_index(drop=True),
        test=test.reset_index(drop=True),
        train_images=data.train_images,
        test_images=data.test_images,
        content=content,
        cache=workspace.cache,
    )
    changed = hooks.dataset(made)
    if len(changed.targets) != len(made.targets):
        raise DataError("hooks.dataset changed the number of training rows; they must stay, in number and order")
    limit = load_settings(workspace.settings).image_cache_gb
    return replace(changed, cache=workspace.cache, cache_bytes=int(limit * 1e9) if limit else None)


def _with_own_transforms(data: ModelInput, config: Config, hooks: CompetitionHooks) -> ModelInput:
    if not isinstance(config.model, ImageModelConfig):
        return data
    assert config.model.image_size is not None, "the image size is filled in when the config is resolved"
    return replace(data, transforms=hooks.transforms(config.model.image_size))


def _weights_digest(config: Config) -> str | None:
    model = config.model
    return sha256_of_file(model.weights) if isinstance(model, ImageModelConfig) and model.weights else None

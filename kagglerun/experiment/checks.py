"""What is checked before a run, and its folds: once for the same data and settings in a process that keeps them."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
from numpy.typing import NDArray

from kagglerun import metrics
from kagglerun.config.schema import Config
from kagglerun.data.preflight import preflight, require_learnable, require_metric_fits
from kagglerun.data.splits import make_folds
from kagglerun.data.tables import CompetitionData
from kagglerun.errors import ConfigError
from kagglerun.experiment import warm
from kagglerun.experiment.own_cells import require_whole_images
from kagglerun.experiment.rehearsal import rehearse_metric
from kagglerun.hooks import CompetitionHooks
from kagglerun.metrics import Metric
from kagglerun.metrics.custom import source_of
from kagglerun.workspace import CompetitionPaths


def check_scoring(paths: CompetitionPaths, loaded: warm.Loaded, hooks: CompetitionHooks) -> Metric:
    """The metric, after everything that can be checked before anything is trained.

    Raises:
        ConfigError: it is not known, cannot score the task, lacks parameters; or no model learns the task.
        DataError: a column that a parameter names is missing or has blanks.
    """
    metric = hooks.metric() or metrics.of_card(loaded.card, paths.hooks)
    own_model, own_cells = hooks.model() is not None, writes_cells(hooks)

    def check() -> None:
        require_metric_fits(loaded.data, metric)
        if not own_model:
            require_learnable(loaded.card, loaded.data.sample)
        if not own_cells:
            rehearse_metric(metric, loaded.data)

    warm.kept("scoring", _measured(loaded, metric, own_model, own_cells), check)
    return metric


def _measured(loaded: warm.Loaded, metric: Metric, *settings: Hashable) -> Hashable:
    """What a check of the data by its metric follows from; None where the metric is the user's own code."""
    built_in = metrics.registered().get(metric.name) is metric and source_of(metric) is None
    return (loaded.evidence, metric.name, *settings) if loaded.evidence is not None and built_in else None


def preflight_once(loaded: warm.Loaded, config: Config, metric: Metric) -> tuple[str, ...]:
    """What the user should know before the run; see `preflight`.

    Raises:
        ConfigError, DataError: the run cannot work.
    """
    evidence = _measured(loaded, metric, config.cv)
    return warm.kept("preflight", evidence, lambda: preflight(loaded.data, config, metric))


def writes_cells(hooks: CompetitionHooks) -> bool:
    """Whether the competition's code writes the submission's cells itself."""
    return type(hooks).cells is not CompetitionHooks.cells


def folds_of(config: Config, loaded: warm.Loaded, hooks: CompetitionHooks, metric: Metric) -> NDArray[np.int64]:
    """Fold of each training row: the hooks' own, else by the config's scheme, which are kept.

    Raises:
        ConfigError: the hooks' folds do not fit; or rows of one image, which is scored whole, are in several folds.
    """
    own = hooks.folds(loaded.data)
    if own is not None:
        folds = np.asarray(own, dtype=np.int64)
        if folds.shape != (len(loaded.data.train),) or folds.max() >= config.cv.n_splits:
            raise ConfigError(
                f"hooks.folds gave {folds.shape} values up to {folds.max()}; it must give one of 0 to "
                f"{config.cv.n_splits - 1} (or -1) for each of {len(loaded.data.train)} training rows"
            )
        require_whole_images(loaded.data, metric, folds)
        return folds

    def make() -> NDArray[np.int64]:
        made = _folds_of_scheme(config, loaded.data)
        require_whole_images(loaded.data, metric, made)
        return made

    # A hook that looks at the data may have changed it.
    untouched = type(hooks).folds is CompetitionHooks.folds
    evidence = _measured(loaded, metric, config.cv, config.seed) if untouched else None
    return warm.kept("folds", evidence, make).copy()


def _folds_of_scheme(config: Config, data: CompetitionData) -> NDArray[np.int64]:
    seed = config.cv.seed if config.cv.seed is not None else config.seed
    task = data.card.learnt_task
    assert task is not None
    return make_folds(config.cv.scheme, config.cv.n_splits, seed, data.targets, task, data.groups, data.times)

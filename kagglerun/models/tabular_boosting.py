"""Gradient-boosted trees on tables; the only importer of LightGBM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from kagglerun.config.card import Task
from kagglerun.config.schema import Config, TabularBoostingConfig
from kagglerun.errors import DataError, PackageError, TrainingError
from kagglerun.files import write_json, write_text
from kagglerun.metrics import Metric
from kagglerun.models.base import FoldContext, FoldOutcome, FrozenFold, InferenceInput, families
from kagglerun.models.frozen import PACKAGE_AGAIN, copy_weights, read_preprocessing
from kagglerun.models.table_features import TableEncoding, TableFeatures, encode_tables, learn_encoding
from kagglerun.models.targets import TargetTransform, learns_absolute_error
from kagglerun.randomness import derive
from kagglerun.training.loop import Stopped
from kagglerun.workspace import FoldPaths

_REPORT_EVERY_TREES = 10


class TabularBoostingFamily:
    """LightGBM with its deterministic histograms; one booster, or one a target where there are several.

    A killed fold starts again from its first tree: the same data, seed and settings give the same trees.
    """

    def fit_fold(self, context: FoldContext) -> FoldOutcome:
        """Train one fold; see `ModelFamily`."""
        train, test, notes = encode_tables(context.data.train, context.data.test)
        if not train.names:
            raise DataError(
                "no column of the tables can be learnt from: " + ("; ".join(notes) or "both have none"),
                hint="make features in the competition's hooks.py",
            )
        columns = _target_columns(context)
        parts = [_fit_target(context, train, test, column, output) for output, column in enumerate(columns)]
        return _joined(context, parts, notes)

    def freeze_fold(self, context: FoldContext, destination: FoldPaths) -> None:
        """Copy the boosters and write how tables and targets are read; see `PackagedFamily`."""
        columns = _target_columns(context)
        for output in range(len(columns)):
            copy_weights(context.paths.booster(output), destination.booster(output))
        transforms = [_transform(context, column).to_dict() for column in columns]
        encoding = learn_encoding(context.data.train, context.data.test)
        write_json(destination.preprocessing, {"table": encoding.to_dict(), "targets": transforms})

    def load_fold(self, fold: FrozenFold) -> BoostingPredictor:
        """See `PackagedFamily`."""
        saved = read_preprocessing(fold.paths)
        transforms = [TargetTransform.from_dict(each) for each in saved["targets"]]
        boosters = [_read_booster(fold.paths.booster(output)) for output in range(len(transforms))]
        return BoostingPredictor(TableEncoding.from_dict(saved["table"]), boosters, transforms, fold.task)


class BoostingPredictor:
    """Predicts with the boosters of one fold; see `Predictor`.

    Args:
        encoding: how tables become numbers.
        boosters: one, or one a target.
        transforms: of each booster's target.
        task: what is predicted.
    """

    views = 1
    rows_at_once = 1

    def __init__(
        self,
        encoding: TableEncoding,
        boosters: Sequence[lightgbm.Booster],
        transforms: Sequence[TargetTransform],
        task: Task,
    ) -> None:
        self._encoding, self._boosters, self._transforms, self._task = encoding, boosters, transforms, task

    def predict(self, data: InferenceInput, rows: NDArray[np.int64], view: int = 0) -> NDArray[np.float64]:
        """Predictions for some rows; see `Predictor`."""
        del view
        values = self._encoding.encode(data.table.iloc[rows]).matrix()
        parts = zip(self._boosters, self._transforms, strict=True)
        return np.hstack([_predict(booster, values, transform, self._task) for booster, transform in parts])


def _read_booster(path: Path) -> lightgbm.Booster:
    try:
        return lightgbm.Booster(model_file=path)
    except lightgbm.basic.LightGBMError as error:
        raise PackageError(f"{path} cannot be read as a LightGBM model: {error}", hint=PACKAGE_AGAIN) from error


def _predict(
    booster: lightgbm.Booster,
    values: NDArray[np.float64],
    transform: TargetTransform,
    task: Task,
    trees: int | None = None,
) -> NDArray[np.float64]:
    """Predictions, float64 (n, columns), by the first so many trees."""
    raw = np.asarray(booster.predict(values, num_iteration=trees), dtype=np.float64)
    raw = raw.reshape(len(values), -1)
    return transform.inverse(raw) if task == Task.REGRESSION else raw


def _transform(context: FoldContext, targets: NDArray[np.float64]) -> TargetTransform:
    """How a booster's target is learnt, from the fold's training rows."""
    return TargetTransform.fit(targets[context.train_rows][:, None], context.metric, standardise=False)


def _target_columns(context: FoldContext) -> list[NDArray[np.float64]]:
    """What each booster learns, float64 (n_train,): classes in one, else one a target."""
    targets = np.asarray(context.data.targets, dtype=np.float64)
    return [targets] if targets.ndim == 1 else list(targets.T)


@dataclass(frozen=True)
class _Part:
    """What one booster gives: predictions (n, columns), its curve, the best tree, gains by feature."""

    valid: NDArray[np.float64]
    test: NDArray[np.float64]
    history: list[dict[str, float]]
    best: int
    gains: dict[str, float]


def _fit_target(
    context: FoldContext, train: TableFeatures, test: TableFeatures, targets: NDArray[np.float64], output: int
) -> _Part:
    config = context.config.model
    assert isinstance(config, TabularBoostingConfig)
    rows, held_out = context.train_rows, context.valid_rows
    transform = _transform(context, targets)
    learnt = transform.forward(targets[:, None])[:, 0] if context.data.task == Task.REGRESSION else targets
    matrix = train.matrix()
    parameters = _parameters(context.config, config, context, output)
    train_set = lightgbm.Dataset(
        matrix[rows],
        learnt[rows],
        feature_name=[f"f{position}" for position in range(matrix.shape[1])],
        categorical_feature=train.category_positions,
        params=parameters,
    )
    valid_set = train_set.create_valid(matrix[held_out], learnt[held_out])
    history: list[dict[str, float]] = []
    callbacks = [_reporter(context, history, parameters["metric"])]
    if config.early_stopping_rounds:
        callbacks.append(lightgbm.early_stopping(config.early_stopping_rounds, verbose=False))
    try:
        booster = lightgbm.train(
            parameters,
            train_set,
            config.n_estimators,
            valid_sets=[valid_set],
            valid_names=["valid"],
            callbacks=callbacks,
        )
    except lightgbm.basic.LightGBMError as error:
        raise TrainingError(f"LightGBM: {error}", hint="see the model section of the config") from error
    trees = booster.best_iteration or booster.current_iteration()
    write_text(context.paths.booster(output), booster.model_to_string(num_iteration=trees))

    def predict(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return _predict(booster, values, transform, context.data.task, trees)

    gains = booster.feature_importance("gain", iteration=trees).tolist()
    return _Part(
        predict(matrix[held_out]),
        predict(test.matrix()),
        history,
        trees - 1,
        dict(zip(train.names, gains, strict=True)),
    )


def _parameters(config: Config, model: TabularBoostingConfig, context: FoldContext, output: int) -> dict[str, Any]:
    objective, metric = _objective(context.data.task, context.metric)
    return {
        "objective": objective,
        "metric": metric,
        **({"num_class": context.data.n_outputs} if context.data.task == Task.MULTICLASS else {}),
        "learning_rate": model.learning_rate,
        "num_leaves": model.num_leaves,
        "max_depth": model.max_depth,
        "min_data_in_leaf": model.min_child_samples,
        "bagging_fraction": model.subsample,
        "bagging_freq": 1 if model.subsample < 1 else 0,
        "feature_fraction": model.colsample_bytree,
        "lambda_l1": model.reg_alpha,
        "lambda_l2": model.reg_lambda,
        "max_bin": model.max_bin,
        "seed": derive(config.seed, "boosting", context.fold, output) % 2**31,
        "deterministic": config.training.deterministic,
        # Without this LightGBM times both layouts and takes the quicker, which differs from run to run.
        "force_row_wise": config.training.deterministic,
        "num_threads": config.training.cpu_threads or 0,
        "feature_pre_filter": False,
        "verbosity": -1,
    }


def _objective(task: Task, metric: Metric) -> tuple[str, str]:
    """LightGBM's objective, and the loss that early stopping watches."""
    if task == Task.MULTICLASS:
        return "multiclass", "multi_logloss"
    if task != Task.REGRESSION:
        return "binary", "binary_logloss"
    return ("l1", "l1") if learns_absolute_error(metric) else ("l2", "rmse")


def _reporter(context: FoldContext, history: list[dict[str, float]], loss: str) -> Callable[[Any], None]:
    """A LightGBM callback that reports every tenth tree and stops when asked."""

    def after_tree(environment: Any) -> None:
        step = environment.iteration
        if context.should_stop({"step": step}):
            raise Stopped
        if step % _REPORT_EVERY_TREES == 0 or step + 1 == environment.end_iteration:
            values = {"step": float(step)} | {
                f"{data}_{name.replace(loss, 'loss')}": float(value)
                for data, name, value, *_ in environment.evaluation_result_list
            }
            history.append(values)
            context.report(step, {name: value for name, value in values.items() if name != "step"})

    return after_tree


def _joined(context: FoldContext, parts: list[_Part], notes: tuple[str, ...]) -> FoldOutcome:
    """Several targets side by side; curves of the first, gains summed."""
    gains = {name: sum(part.gains[name] for part in parts) for name in parts[0].gains}
    valid = np.hstack([part.valid for part in parts])
    if context.data.task == Task.MULTICLASS and valid.shape[1] != context.data.n_outputs:
        raise TrainingError(f"LightGBM gave {valid.shape[1]} columns for {context.data.n_outputs} classes")
    return FoldOutcome(
        valid=valid,
        test=np.hstack([part.test for part in parts]),
        history=tuple(parts[0].history),
        best_step=parts[0].best,
        importances=gains,
        notes=notes,
    )


families.add("tabular_boosting", TabularBoostingFamily())

"""Pools of real fits: many configs, each cross-validated several times on real small data.

    python tests/benchmarks/pruning_pools.py /path/to/bundles

Out-of-fold predictions are kept in a folder, so that they are made once: about a quarter of an hour on one core.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kagglerun.config.card import Task
from kagglerun.data.splits import fold_rows, make_folds
from kagglerun.randomness import derive, generator

Array = npt.NDArray[Any]

N_SPLITS = 5
REPEATS = 6
CONFIGS = 60
CACHE = Path(os.environ.get("KAGGLERUN_PRUNING_POOLS", Path(tempfile.gettempdir()) / "kagglerun-pruning-pools"))


@dataclass(frozen=True)
class PoolSource:
    """Data, metric and the configs that are tried on it.

    Attributes:
        name: what it is.
        bundle: file name of the competition's bundle; None for data that comes with scikit-learn.
        metrics: our names of the metrics, the competition's own first.
        task: what is predicted.
        load: from the unpacked training table to features (n, p) and targets.
        propose: from a generator to a config.
        build: from a config and a seed to an estimator.
    """

    name: str
    bundle: str | None
    metrics: tuple[str, ...]
    task: Task
    load: Callable[[pd.DataFrame | None], tuple[Any, Array]]
    propose: Callable[[np.random.Generator], dict[str, Any]]
    build: Callable[[dict[str, Any], int], Any]


@dataclass(frozen=True)
class Pool:
    """Out-of-fold predictions of many configs over repeated cross-validation.

    Attributes:
        name: of the data and the metric.
        metric: our name of the metric.
        task: what is predicted.
        targets: (n,) class indices, or (n, 1) values.
        folds: (repeats, n) fold of each row.
        predictions: (configs, repeats, n, n_outputs) float32.
    """

    name: str
    metric: str
    task: Task
    targets: Array
    folds: Array
    predictions: Array


def load_pools(data: Path, names: Sequence[str] = ()) -> list[Pool]:
    """All pools (or those of the named data), one a metric, from the cache or made now.

    Args:
        data: folder with the competitions' bundles.
        names: which; all when empty.
    """
    return [pool for source in SOURCES if not names or source.name in names for pool in _pools(source, data)]


def _pools(source: PoolSource, data: Path) -> list[Pool]:
    file = CACHE / f"{source.name}-{CONFIGS}x{REPEATS}x{N_SPLITS}.npz"
    if not file.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        arrays = _fit(source, data)
        part = file.with_suffix(".part.npz")
        np.savez(part, **arrays)
        part.replace(file)
    with np.load(file) as held:
        arrays = {name: held[name] for name in ("targets", "folds", "predictions")}
    return [Pool(source.name, metric, source.task, **arrays) for metric in source.metrics]


def _fit(source: PoolSource, data: Path) -> dict[str, Array]:
    features, targets = source.load(None if source.bundle is None else _train_table(data, source.bundle))
    scheme = "kfold" if source.task is Task.REGRESSION else "stratified"
    folds = np.stack([make_folds(scheme, N_SPLITS, repeat, targets, source.task) for repeat in range(REPEATS)])
    configs = [source.propose(generator(7, source.name, number)) for number in range(CONFIGS)]
    width = int(targets.max()) + 1 if source.task is Task.MULTICLASS else 1
    predictions = np.zeros((CONFIGS, REPEATS, len(targets), width), dtype=np.float32)
    for number, config in enumerate(configs):
        for repeat in range(REPEATS):
            for fold in range(N_SPLITS):
                train, valid = fold_rows(folds[repeat], fold, scheme)
                model = source.build(config, derive(7, "model", number, repeat, fold) % 2**31)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # solvers that did not converge are configs like any other
                    model.fit(features[train], targets[train].reshape(-1))
                    predictions[number, repeat, valid] = _predicted(model, features[valid], source.task)
    return {"targets": targets, "folds": folds, "predictions": predictions}


def _predicted(model: Any, features: Any, task: Task) -> Array:
    if task is Task.REGRESSION:
        return np.asarray(model.predict(features)).reshape(-1, 1)
    if hasattr(model, "predict_proba"):
        probabilities = model.predict_proba(features)
    else:
        margin = model.decision_function(features)
        probabilities = np.column_stack([1 - 1 / (1 + np.exp(-margin)), 1 / (1 + np.exp(-margin))])
    return np.asarray(probabilities if task is Task.MULTICLASS else probabilities[:, 1:])


def _train_table(data: Path, bundle: str) -> pd.DataFrame:
    with zipfile.ZipFile(data / f"{bundle}.zip") as archive, archive.open("train.csv") as file:
        return pd.read_csv(file)


def _numbers(table: pd.DataFrame) -> Array:
    """Columns as numbers: texts by their code, what is missing as -1."""
    coded = [pd.factorize(table[name])[0] if table[name].dtype.kind not in "biuf" else table[name] for name in table]
    return np.nan_to_num(np.column_stack(coded).astype(np.float64), nan=-1.0)


def _digits(_: pd.DataFrame | None) -> tuple[Array, Array]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return bunch.data / 16.0, bunch.target.astype(np.int64)


def _diabetes(_: pd.DataFrame | None) -> tuple[Array, Array]:
    from sklearn.datasets import load_diabetes

    bunch = load_diabetes()
    return bunch.data, bunch.target.reshape(-1, 1).astype(np.float64)


def _titanic(table: pd.DataFrame | None) -> tuple[Array, Array]:
    assert table is not None
    titles = table["Name"].str.extract(r",\s*([^.]+)\.")[0]
    kept = table.drop(columns=["PassengerId", "Survived", "Name", "Ticket", "Cabin"])
    return _numbers(kept.assign(title=titles)), table["Survived"].to_numpy(np.int64)


def _houses(table: pd.DataFrame | None) -> tuple[Array, Array]:
    assert table is not None
    return _numbers(table.drop(columns=["Id", "SalePrice"])), table[["SalePrice"]].to_numpy(np.float64)


def _steel(table: pd.DataFrame | None) -> tuple[Array, Array]:
    assert table is not None
    rows = table.iloc[:5000]
    return _numbers(rows.iloc[:, 1:28]), rows["Bumps"].to_numpy(np.int64)


def _disasters(table: pd.DataFrame | None) -> tuple[Any, Array]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    assert table is not None
    words = TfidfVectorizer(min_df=3, sublinear_tf=True).fit_transform(table["text"])
    return words.tocsr(), table["target"].to_numpy(np.int64)


def _boosting_config(random: np.random.Generator) -> dict[str, Any]:
    """The ranges of the shipped sweeps, with the number of trees in place of early stopping."""
    return {
        "learning_rate": float(np.exp(random.uniform(np.log(0.01), np.log(0.1)))),
        "num_leaves": int(np.exp(random.uniform(np.log(4), np.log(32)))),
        "min_child_samples": int(np.exp(random.uniform(np.log(3), np.log(50)))),
        "colsample_bytree": float(random.uniform(0.1, 0.9)),
        "reg_lambda": float(np.exp(random.uniform(np.log(0.01), np.log(30)))),
        "n_estimators": int(random.choice([60, 120, 240])),
    }


def _classifier(config: dict[str, Any], seed: int) -> Any:
    from lightgbm import LGBMClassifier

    return LGBMClassifier(**config, subsample=0.9, subsample_freq=1, random_state=seed, n_jobs=1, verbosity=-1)


def _regressor(config: dict[str, Any], seed: int) -> Any:
    from lightgbm import LGBMRegressor
    from sklearn.compose import TransformedTargetRegressor

    inner = LGBMRegressor(**config, subsample=0.9, subsample_freq=1, random_state=seed, n_jobs=1, verbosity=-1)
    return TransformedTargetRegressor(inner, func=np.log1p, inverse_func=np.expm1)


def _neural_config(random: np.random.Generator) -> dict[str, Any]:
    return {
        "learning_rate_init": float(np.exp(random.uniform(np.log(3e-4), np.log(3e-2)))),
        "alpha": float(np.exp(random.uniform(np.log(1e-5), np.log(1.0)))),
        "hidden_layer_sizes": (int(random.choice([16, 32, 64])),),
        "batch_size": int(random.choice([32, 64, 128])),
        "max_iter": int(random.choice([5, 10, 20])),
    }


def _neural(config: dict[str, Any], seed: int) -> Any:
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(**config, random_state=seed)


def _linear_config(random: np.random.Generator) -> dict[str, Any]:
    kind = str(random.choice(["logistic", "bayes", "sgd"]))
    return {"kind": kind, "strength": float(np.exp(random.uniform(np.log(0.03), np.log(30))))}


def _linear(config: dict[str, Any], seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression, SGDClassifier
    from sklearn.naive_bayes import BernoulliNB

    if config["kind"] == "logistic":
        return LogisticRegression(C=config["strength"])
    if config["kind"] == "bayes":
        return BernoulliNB(alpha=config["strength"])
    return SGDClassifier(loss="log_loss", alpha=1e-4 * config["strength"], max_iter=8, random_state=seed)


def _shrinkage_config(random: np.random.Generator) -> dict[str, Any]:
    kind = str(random.choice(["forest", "support", "neighbours"]))
    return {
        "kind": kind,
        "strength": float(np.exp(random.uniform(np.log(0.3), np.log(100)))),
        "leaf": int(random.integers(1, 40)),
        "columns": float(random.uniform(0.1, 1.0)),
    }


def _shrinkage(config: dict[str, Any], seed: int) -> Any:
    from sklearn.ensemble import ExtraTreesRegressor
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.svm import SVR

    if config["kind"] == "support":
        return SVR(C=config["strength"] * 10)
    if config["kind"] == "neighbours":
        return KNeighborsRegressor(config["leaf"])
    return ExtraTreesRegressor(
        20, min_samples_leaf=config["leaf"], max_features=config["columns"], random_state=seed, n_jobs=1
    )


SOURCES = (
    PoolSource("titanic", "titanic", ("accuracy", "log_loss"), Task.BINARY, _titanic, _boosting_config, _classifier),
    PoolSource(
        "house prices", "house-prices-advanced-regression-techniques", ("rmsle", "mae"), Task.REGRESSION, _houses,
        _boosting_config, _regressor,
    ),
    PoolSource(
        "steel plates", "playground-series-s4e3", ("auc", "log_loss"), Task.BINARY, _steel,
        _boosting_config, _classifier,
    ),
    PoolSource(
        "disaster tweets", "nlp-getting-started", ("f1", "log_loss"), Task.BINARY, _disasters, _linear_config, _linear
    ),
    PoolSource("digits", None, ("log_loss", "accuracy"), Task.MULTICLASS, _digits, _neural_config, _neural),
    PoolSource("diabetes", None, ("rmse", "mae"), Task.REGRESSION, _diabetes, _shrinkage_config, _shrinkage),
)  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", default="", help="names of pools, with commas")
    chosen = parser.parse_args()
    for pool in load_pools(chosen.data, [name for name in chosen.only.split(",") if name]):
        print(pool.name, pool.metric, pool.predictions.shape)

"""Two competitions that are trained in a second, for proofs by doing: one of pictures, one of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from kagglerun.config.card import Card
from kagglerun.config.load import dump_yaml, parse_config
from kagglerun.config.schema import Config
from kagglerun.experiment.prepare import resolve_config
from kagglerun.files import sha256_of_file, write_text
from kagglerun.kaggle_api.manifest import Manifest, ManifestFile, write_manifest
from kagglerun.randomness import generator
from kagglerun.workspace import CompetitionPaths, Workspace

KINDS = ("image", "table")
_TRAIN_ROWS, _TEST_ROWS, _SIDE_PIXELS = 40, 8, 16

_TRAINING: dict[str, Any] = {
    "epochs": 4,
    "batch_size": 4,
    "accumulate": 2,
    "ema": 0.9,
    "early_stopping": 2,
    "checkpoint_seconds": 0.02,
    "cpu_threads": 1,
    "device": "cpu",
}
_MODELS: dict[str, dict[str, Any]] = {
    "image": {"kind": "image", "name": "test_resnet", "image_size": 32, "pretrained": False, "drop_rate": 0.1},
    "table": {"kind": "tabular_neural", "width": 32, "depth": 2, "dropout": 0.1},
}
_AUGMENT = {"image": {"preset": "medium", "mixup": 0.2}, "table": {"preset": "none"}}


def tiny_workspace(root: Path) -> Workspace:
    """A new workspace with both competitions; MLflow is switched off in it."""
    workspace = Workspace(root)
    workspace.sweeps.mkdir(parents=True)
    write_text(workspace.settings, "mlflow_uri: none\n", durable=False)
    for kind in KINDS:
        _write_competition(workspace.competition(f"tiny-{kind}"), kind)
    return workspace


def tiny_config(workspace: Workspace, kind: str, **training: object) -> Config:
    """A resolved config of two folds: average of weights, accumulation, dropout, early stopping, mixup on pictures.

    Args:
        workspace: made by `tiny_workspace`.
        kind: "image" or "table".
        training: changes to the training section.
    """
    values = {
        "competition": f"tiny-{kind}",
        "name": f"tiny-{kind}",
        "cv": {"n_splits": 2},
        "model": _MODELS[kind],
        "training": {**_TRAINING, "augment": _AUGMENT[kind], **training},
    }
    return resolve_config(workspace, parse_config(values, "tiny"))


def _write_competition(paths: CompetitionPaths, kind: str) -> None:
    numbers = generator(0, "tiny", kind)
    rows = _TRAIN_ROWS + _TEST_ROWS
    table = pd.DataFrame(
        {"id": np.arange(rows), "x": numbers.normal(size=rows), "word": numbers.choice(["a", "b"], rows)}
    )
    labels = np.where(table["x"] + (table["word"] == "a") > 0.5, "yes", "no")
    paths.data.mkdir(parents=True)
    if kind == "image":
        for row, label in enumerate(labels):
            pixels = numbers.integers(0, 160, (_SIDE_PIXELS, _SIDE_PIXELS, 3)) + (80 if label == "yes" else 0)
            Image.fromarray(pixels.astype(np.uint8)).save(paths.data / f"{row}.png")
        table = table[["id"]]
    train, test = table.iloc[:_TRAIN_ROWS], table.iloc[_TRAIN_ROWS:]
    train.assign(y=labels[:_TRAIN_ROWS]).to_csv(paths.data / "train.csv", index=False)
    test.to_csv(paths.data / "test.csv", index=False)
    test[["id"]].assign(y="no").to_csv(paths.data / "sample_submission.csv", index=False)
    write_text(paths.card, dump_yaml(_card(paths.slug, kind)), durable=False)
    files = tuple(
        ManifestFile(path.name, path.stat().st_size, sha256_of_file(path)) for path in sorted(paths.data.iterdir())
    )
    write_manifest(paths.manifest, Manifest("practice", files))


def _card(slug: str, kind: str) -> Card:
    files = {"train_table": "train.csv", "test_table": "test.csv", "sample_submission": "sample_submission.csv"}
    pictures = {"train_files": "{id}.png", "test_files": "{id}.png"} if kind == "image" else {}
    values = {
        "slug": slug,
        "source": "practice",
        "ids": ["id"],
        "targets": ["y"],
        "submission_columns": ["y"],
        "task": "binary",
        "classes": ["no", "yes"],
        "modality": kind,
        "metric": "accuracy",
        "greater_is_better": True,
        "files": {**files, **pictures},
    }
    return Card.model_validate(values)

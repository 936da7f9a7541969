"""A hosted competition with runs whose predictions were made up, and so are quick: only their quality differs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kagglerun import metrics
from kagglerun.config.load import parse_config, save_config
from kagglerun.experiment.predictions import Predictions, write_predictions
from kagglerun.experiment.prepare import Prepared, prepare, resolve_config
from kagglerun.files import write_json
from kagglerun.practice.create import TableCompetition, create
from kagglerun.practice.paths import PracticePaths
from kagglerun.workspace import RunPaths, Workspace

SLUG = "flips"
_ROWS = 900
_FOLDS = 4


@dataclass(frozen=True)
class Flips:
    """The competition, ready to have runs made of it."""

    workspace: Workspace
    prepared: Prepared
    truths: dict[str, int]

    def make_run(self, name: str, quality: float, seed: int, leak: float = 0.0) -> RunPaths:
        """A finished run whose predictions are the truth times `quality` and noise; CV sees a `leak` besides."""
        paths = self.workspace.run(SLUG, name)
        data, random = self.prepared.data, np.random.default_rng(seed)
        folds = self.prepared.folds
        oof = _predicted(data.targets, quality + leak, random)
        test_ids = data.test[["id"]]
        test = _predicted(np.array([self.truths[str(key)] for key in test_ids["id"]]), quality, random)
        rows = np.arange(len(oof), dtype=np.int64)
        save_config(paths.config, self.prepared.config)
        write_json(paths.fingerprint, self.prepared.fingerprint.to_dict())
        write_predictions(paths.oof, Predictions(data.train_ids, oof, ("face",), folds, rows))
        write_predictions(paths.test, Predictions(test_ids, test, ("face",)))
        minute = len(list(self.workspace.all_runs(SLUG)))
        write_json(paths.status, {"state": "FINISHED", "started": f"2026-01-01T00:{minute:02}:00+00:00"})
        scores = [self.prepared.score(rows[folds == fold], oof[folds == fold]) for fold in range(_FOLDS)]
        write_json(
            paths.metrics,
            {
                "score": self.prepared.score(rows, oof),
                "fold_scores": scores,
                "metric": "auc",
                "greater_is_better": True,
                "seconds": 1.0,
            },
        )
        return paths


def host(workspace: Workspace) -> None:
    """Host the competition on the workspace's practice server."""
    random = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "id": [f"{1000 + row}" for row in range(_ROWS)],
            "weight": [f"{value:.3f}" for value in random.standard_normal(_ROWS)],
            "face": [str(face) for face in random.integers(0, 2, _ROWS)],
        }
    )
    table.to_csv(workspace.root / "truth.csv", index=False)
    source = TableCompetition(
        slug=SLUG,
        title="Flips",
        description="Made for a test.",
        table=table,
        targets=("face",),
        metric=metrics.get("auc"),
        id_column="id",
        test_share=0.5,
        daily=50,
    )
    create(PracticePaths(workspace.practice), source)


def ready(workspace: Workspace) -> Flips:
    """The competition after its fetch."""
    config = parse_config(
        {"competition": SLUG, "cv": {"n_splits": _FOLDS, "seed": 1}, "model": {"kind": "tabular_boosting"}}, "a test"
    )
    truth = pd.read_csv(workspace.root / "truth.csv", dtype=str)
    truths = dict(zip(truth["id"], truth["face"].astype(int), strict=True))
    return Flips(workspace, prepare(workspace, resolve_config(workspace, config)), truths)


def _predicted(truths: np.ndarray, quality: float, random: np.random.Generator) -> np.ndarray:
    odds = quality * (2.0 * np.asarray(truths, dtype=np.float64) - 1) + random.standard_normal(len(truths))
    return 1 / (1 + np.exp(-odds))[:, None]

"""Small competitions with a finished run, to be frozen and predicted from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from kagglerun.config.load import parse_config
from kagglerun.experiment.predictions import read_predictions
from kagglerun.experiment.run import new_run_id, resolve_config, run_experiment
from kagglerun.submission.write import write_submission
from kagglerun.workspace import RunPaths, Workspace
from tests.experiment.made import seal, write_card

SMALL = {
    "tabular_boosting": {"kind": "tabular_boosting", "n_estimators": 20, "min_child_samples": 3},
    "tabular_neural": {"kind": "tabular_neural", "width": 8, "depth": 1},
    "image": {"kind": "image", "name": "test_resnet", "image_size": 32},
}


def make_rows(count: int, seed: int, first_id: int = 0) -> pd.DataFrame:
    """Numbers, gaps, categories, a date in text and a target that follows them."""
    numbers = np.random.default_rng(seed)
    signal = numbers.random(count)
    return pd.DataFrame(
        {
            "id": np.arange(first_id, first_id + count),
            "signal": signal,
            "gaps": np.where(numbers.random(count) < 0.3, np.nan, signal + numbers.normal(size=count)),
            "count": numbers.integers(0, 9, count),
            "word": np.where(signal > 0.5, "high", np.where(numbers.random(count) < 0.2, None, "low")),
            "flag": numbers.random(count) < 0.5,
            "y": np.where(signal + 0.3 * numbers.normal(size=count) > 0.5, "yes", "no"),
        }
    )


def write_table_competition(workspace: Workspace, hooks: str | None = None, **card: object) -> Path:
    """A competition `made` with 120 training and 31 test rows; its data folder."""
    paths = workspace.competition("made")
    paths.data.mkdir(parents=True)
    make_rows(120, seed=0).to_csv(paths.data / "train.csv", index=False)
    write_test(paths.data, make_rows(31, seed=1, first_id=1000))
    if hooks is not None:
        paths.hooks.write_text(hooks, "utf-8")
    write_card(paths, **card)
    seal(paths)
    return paths.data


def write_test(data: Path, rows: pd.DataFrame) -> None:
    """The test table and its sample submission, which has the rows in another order."""
    data.mkdir(parents=True, exist_ok=True)
    rows.drop(columns="y", errors="ignore").to_csv(data / "test.csv", index=False)
    pd.DataFrame({"id": rows["id"][::-1], "y": "no"}).to_csv(data / "sample_submission.csv", index=False)


def train(workspace: Workspace, kind: str, **values: object) -> RunPaths:
    """A finished run of three folds."""
    config = {
        "competition": "made",
        "cv": {"n_splits": 3},
        "model": SMALL[kind],
        "training": {"epochs": 2, "batch_size": 16, "cpu_threads": 1, "device": "cpu"},
        **values,
    }
    resolved = resolve_config(workspace, parse_config(config, "test"))
    run_id = new_run_id(resolved)
    run_experiment(workspace, resolved, run_id)
    return workspace.run("made", run_id)


def submission_of(workspace: Workspace, run: RunPaths) -> bytes:
    """What `kagglerun submit` would send of a run."""
    from kagglerun.config.load import load_card

    paths = workspace.competition(run.slug)
    return write_submission(paths, load_card(paths.card), read_predictions(run.test), run.submission).read_bytes()

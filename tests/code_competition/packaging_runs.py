"""Small competitions with a finished run, to be frozen and predicted from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from kagglerun.config.load import parse_config
from kagglerun.ensemble import blend
from kagglerun.experiment.predictions import read_predictions, write_predictions
from kagglerun.experiment.run import new_run_id, resolve_config, run_experiment
from kagglerun.files import write_bytes, write_json
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
    """A competition `made` with 120 training and 31 test rows, scored by probabilities; its data folder."""
    paths = workspace.competition("made")
    paths.data.mkdir(parents=True)
    make_rows(120, seed=0).to_csv(paths.data / "train.csv", index=False)
    write_test(paths.data, make_rows(31, seed=1, first_id=1000))
    if hooks is not None:
        paths.hooks.write_text(hooks, "utf-8")
    write_card(paths, **{"metric": "auc", **card})
    seal(paths)
    return paths.data


def write_test(data: Path, rows: pd.DataFrame) -> None:
    """The test table and its sample submission, which has the rows in another order."""
    data.mkdir(parents=True, exist_ok=True)
    rows.drop(columns="y", errors="ignore").to_csv(data / "test.csv", index=False)
    pd.DataFrame({"id": rows["id"][::-1], "y": 0.5}).to_csv(data / "sample_submission.csv", index=False)


def write_image_competition(workspace: Workspace) -> Path:
    """A competition `made` of 60 training and 11 test images, bright or dark; its data folder."""
    paths = workspace.competition("made")
    (paths.data / "train").mkdir(parents=True)
    rows = make_rows(60, seed=0)[["id", "y"]]
    write_images(paths.data / "train", rows)
    rows.to_csv(paths.data / "train.csv", index=False)
    write_test_images(paths.data, make_rows(11, seed=1, first_id=1000))
    files = {"train_table": "train.csv", "sample_submission": "sample_submission.csv"}
    patterns = {"train_files": "train/{id}.png", "test_files": "test/{id}.png"}
    write_card(paths, metric="auc", modality="image", files={**files, **patterns})
    seal(paths)
    return paths.data


def write_test_images(data: Path, rows: pd.DataFrame) -> None:
    """Test images and the sample submission, which alone lists them."""
    (data / "test").mkdir(parents=True, exist_ok=True)
    write_images(data / "test", rows)
    pd.DataFrame({"id": rows["id"], "y": 0.5}).to_csv(data / "sample_submission.csv", index=False)


def write_images(folder: Path, rows: pd.DataFrame) -> None:
    """One PNG a row; the same id and answer give the same picture."""
    for number, answer in zip(rows["id"], rows["y"], strict=True):
        noise = np.random.default_rng(int(number)).integers(0, 90, (20, 20, 3))
        Image.fromarray((noise + (140 if answer == "yes" else 20)).astype(np.uint8)).save(folder / f"{number}.png")


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


def join(workspace: Workspace, weights: dict[str, float]) -> RunPaths:
    """An ensemble of finished runs with given weights, as `kagglerun ensemble` leaves it."""
    members = {name: workspace.run("made", name) for name in weights}
    first = next(iter(members.values()))
    run = workspace.run("made", "joined")
    for name in ("config", "fingerprint", "metrics", "status", "environment"):
        write_bytes(getattr(run, name), getattr(first, name).read_bytes())
    parts = tuple(blend.Member(name, (weight,)) for name, weight in weights.items())
    joined = blend.Blend(blend.Space.VALUE, parts, (0.0,))
    for place in ("oof", "test"):
        of_members = {name: read_predictions(getattr(member, place)) for name, member in members.items()}
        values = joined.combine({name: each.values for name, each in of_members.items()})
        write_predictions(getattr(run, place), replace(of_members[first.run_id], values=values))
    write_json(run.ensemble, {"method": "mean", **joined.to_dict()})
    return run

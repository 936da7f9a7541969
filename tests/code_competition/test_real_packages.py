"""Packaged runs on real competitions: mixed columns, blanks, many categories, photos."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pandas as pd
import pytest

from kagglerun.code_competition.freeze import freeze_run
from kagglerun.code_competition.inference import predict_package
from kagglerun.config.card import CompetitionFacts
from kagglerun.config.load import dump_yaml, parse_config
from kagglerun.data.understand import understand
from kagglerun.experiment.run import resolve_config, run_experiment
from kagglerun.files import write_text
from kagglerun.workspace import Workspace
from tests.code_competition.packaging_runs import SMALL, submission_of
from tests.experiment.made import seal

METRICS = {
    "titanic": "Categorization Accuracy",
    "house-prices-advanced-regression-techniques": "RMSLE",
    "playground-series-s4e3": "Mean Columnwise Area Under Receiver Operating Characteristic Curve",
    "sign-language-digits": "Categorization Accuracy",
}
TABLES = ("tabular_boosting", "tabular_neural")
CASES = [(slug, kind) for slug in METRICS for kind in (("image",) if "sign" in slug else TABLES)]


@pytest.mark.real
@pytest.mark.long
@pytest.mark.parametrize(("slug", "kind"), CASES)
def test_a_packaged_run_writes_the_real_submission_byte_for_byte_and_one_of_three_times_the_rows(
    slug: str, kind: str, workspace: Workspace, real_data: Path, tmp_path: Path
) -> None:
    paths = workspace.competition(slug)
    with zipfile.ZipFile(real_data / f"{slug}.zip") as archive:
        archive.extractall(paths.data)
    card = understand(paths, CompetitionFacts(slug=slug, evaluation_metric=METRICS[slug]), None, "kaggle")
    write_text(paths.card, dump_yaml(card))
    seal(paths)
    training = {"epochs": 1, "batch_size": 256, "cpu_threads": 1, "device": "cpu"}
    values = {"competition": slug, "cv": {"n_splits": 2}, "model": SMALL[kind], "training": training}
    config = resolve_config(workspace, parse_config(values, "test"))
    run = workspace.run(slug, run_experiment(workspace, config, "real").run_id)
    assert freeze_run(workspace, run, tmp_path / "package").inference.same_bits
    report = predict_package(tmp_path / "package", paths.data, tmp_path / "submission.csv")
    assert report.complete and report.file.read_bytes() == submission_of(workspace, run)
    if kind == "image":
        return
    more = tmp_path / "more"
    more.mkdir()
    for name in map(str, (card.files.test_table, card.files.sample_submission)):
        table = pd.read_csv(paths.data / name)
        parts = [table.assign(**{card.ids[0]: table[card.ids[0]] + turn * 10**6}) for turn in range(3)]
        pd.concat(parts).to_csv(more / name, index=False)
    told = predict_package(tmp_path / "package", more, tmp_path / "more.csv")
    assert told.complete and told.rows == 3 * report.rows and not told.notes

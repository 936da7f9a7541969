"""Ensembles of a dozen diverse runs on real data: is the nested figure honest, and is the ensemble better than a run?

    python tests/benchmarks/ensembling.py /path/to/bundles [--only titanic] [--splits 4]

Each bundle's labelled rows are split; the runs and the ensemble see one part, the truth of the other one judges them.
The runs are trained by the package's own families: trees and networks of different size, lr, features and seed, on
small budgets.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[2]))

from kagglerun.config.card import Card
from kagglerun.config.load import dump_yaml, parse_config
from kagglerun.ensemble.gains import CONFIDENCE_WIDTH
from kagglerun.ensemble.run import Options, Report, make_ensemble
from kagglerun.experiment.predictions import read_predictions
from kagglerun.experiment.run import resolve_config, run_experiment
from kagglerun.experiment.runs import list_runs
from kagglerun.files import write_text
from kagglerun.metrics import get, score_rows
from kagglerun.randomness import generator
from kagglerun.workspace import Workspace
from tests.experiment.made import seal

HOOKS = '''
from kagglerun.hooks import CompetitionHooks


class Hooks(CompetitionHooks):
    """Every so many columns only, so that runs differ in what they see."""

    def features(self, train, test):
        kept = list(train.columns)[self.parameters.get("first", 0) :: self.parameters.get("every", 1)]
        return train[kept], test[kept]
'''


@dataclass(frozen=True)
class Source:
    """One bundle.

    Attributes:
        bundle: file name without .zip; also the slug.
        card: what the card says, besides slug, files and columns.
        ids: the id column.
        held_out: share of the labelled rows that judge.
        splits: how often it is split anew.
        trees: most trees of a run.
        epochs: of a network.
    """

    bundle: str
    card: Mapping[str, Any]
    ids: str
    held_out: float
    splits: int
    trees: int
    epochs: int


SOURCES = (
    Source(
        "titanic",
        {
            "task": "binary",
            "targets": ["Survived"],
            "classes": [0, 1],
            "metric": "accuracy",
            "greater_is_better": True,
        },
        "PassengerId",
        held_out=0.5,
        splits=8,
        trees=150,
        epochs=12,
    ),
    Source(
        "house-prices-advanced-regression-techniques",
        {"task": "regression", "targets": ["SalePrice"], "metric": "rmsle", "greater_is_better": False},
        "Id",
        held_out=0.4,
        splits=6,
        trees=300,
        epochs=15,
    ),
    Source(
        "playground-series-s4e3",
        {
            "task": "multilabel",
            "targets": ["Pastry", "Z_Scratch", "K_Scatch", "Stains", "Dirtiness", "Bumps", "Other_Faults"],
            "metric": "columnwise_auc",
            "greater_is_better": True,
        },
        "id",
        held_out=0.6,
        splits=3,
        trees=80,
        epochs=8,
    ),
)


def configs(source: Source, stops_early: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
    """Twelve diverse configs, by name; all have one split. They take their last epoch, or the best on their rows."""
    patience = 100 if stops_early else 0
    trees = {"kind": "tabular_boosting", "n_estimators": source.trees, "early_stopping_rounds": patience}
    network = {"kind": "tabular_neural"}
    training = {"epochs": source.epochs, "cpu_threads": 1, "keep": "best" if stops_early else "last"}
    shared = {"cv": {"n_splits": 5, "seed": 1}, "training": training}
    yield "stumps", {**shared, "model": {**trees, "num_leaves": 3, "learning_rate": 0.1}}
    yield "small-trees", {**shared, "model": {**trees, "num_leaves": 8, "learning_rate": 0.05}}
    yield "trees", {**shared, "model": {**trees, "num_leaves": 20, "learning_rate": 0.05}}
    yield "trees-seed", {**shared, "seed": 7, "model": {**trees, "num_leaves": 20, "learning_rate": 0.05}}
    yield "deep-trees", {**shared, "model": {**trees, "num_leaves": 60, "min_child_samples": 5}}
    narrow = {"num_leaves": 12, "colsample_bytree": 0.3, "subsample": 0.6}
    yield "narrow-trees", {**shared, "model": {**trees, **narrow}}
    heavy = {"num_leaves": 8, "reg_lambda": 30.0, "learning_rate": 0.1}
    yield "regularised-trees", {**shared, "model": {**trees, **heavy}}
    yield "half-the-columns", {**shared, "hooks": {"every": 2}, "model": {**trees, "num_leaves": 8}}
    yield "other-half", {**shared, "hooks": {"every": 2, "first": 1}, "model": {**trees, "num_leaves": 8}}
    yield "network", {**shared, "model": network, "optimizer": {"lr": 0.003}}
    yield "wide-network", {**shared, "seed": 3, "model": {**network, "width": 256, "depth": 2, "dropout": 0.3}}
    shallow = {**network, "width": 48, "depth": 1, "dropout": 0.0}
    yield "shallow-network", {**shared, "seed": 5, "model": shallow, "optimizer": {"lr": 0.01}}


@dataclass(frozen=True)
class Judged:
    """An ensemble and the truth.

    Attributes:
        report: the ensemble.
        runs: how many it was chosen from.
        held_out: the ensemble's score on the rows that nobody saw.
        held_out_error: standard error of that, by bootstrap.
        best_held_out: the score of the best run there, the one with the best OOF score.
        runs_optimism: by how much the OOF scores of all runs are better than the truth, their mean: the luck of the
            split, which no figure from one part of the rows can know.
        added: by how much the nested score is better than the truth beyond that, where both are judged by the model of
            one fold at a time, as out-of-fold predictions are: the mean over folds' models is better, for runs more
            than for ensembles.
    """

    report: Report
    runs: int
    held_out: float
    held_out_error: float
    best_held_out: float
    runs_optimism: float
    added: float

    @property
    def sign(self) -> float:
        """1 where greater is better."""
        return 1.0 if self.report.greater_is_better else -1.0

    @property
    def optimism(self) -> float:
        """By how much the nested score is better than the truth."""
        return self.sign * (self.report.score - self.held_out)

    @property
    def is_beyond_its_interval(self) -> bool:
        """Whether the truth is worse than all of the figure's own 95 % interval."""
        return self.optimism > CONFIDENCE_WIDTH * self.report.sureness.error

    @property
    def is_beyond_both_intervals(self) -> bool:
        """The same where the truth, which is taken of few rows as well, has its own error too."""
        return self.optimism > CONFIDENCE_WIDTH * float(np.hypot(self.report.sureness.error, self.held_out_error))


def judge(source: Source, data: Path, split: int, folder: Path, stops_early: bool = False) -> Judged:
    """Split a bundle, train the runs on one part, join them, and score them on the other part."""
    workspace = Workspace(folder / f"{source.bundle}-{split}")
    card, truth = _host(workspace, source, data, split)
    for number, (name, config) in enumerate(configs(source, stops_early)):
        resolved = resolve_config(workspace, parse_config({"competition": source.bundle, "name": name, **config}, name))
        run_experiment(workspace, resolved, f"{name}-{number:02}")
        print(f"{source.bundle} {split}: {name}", file=sys.stderr, flush=True)
    report = make_ensemble(workspace, source.bundle, options=Options(seed=split))
    metric = get(str(card.metric))
    targets = truth[list(card.targets)].to_numpy()
    targets = targets[:, 0].astype(np.int64) if card.task == "binary" else targets.astype(np.float64)

    def score_of(values: NDArray[np.float64], rows: Any = slice(None)) -> float:
        return score_rows(metric, card, targets[rows], values[rows], truth.iloc[rows])

    def score(run_id: str, rows: Any = slice(None)) -> float:
        return score_of(read_predictions(workspace.run(source.bundle, run_id).test).values, rows)

    draws = [generator(split, "held out", number).integers(len(truth), size=len(truth)) for number in range(100)]
    sign = 1.0 if card.greater_is_better else -1.0
    runs = [run for run in list_runs(workspace, source.bundle) if run.model != "ensemble"]
    best = max(runs, key=lambda run: sign * (run.score or 0.0))
    error = float(np.std([score(report.run.run_id, rows) for rows in draws], ddof=1))
    optimism = float(np.mean([sign * ((run.score or 0.0) - score(run.run_id)) for run in runs]))
    tests = {run.run_id: _tests_of_folds(workspace, source, run.run_id) for run in runs}
    n_folds = len(report.fold_scores)
    joined = [
        report.nested.blend.combine({run: parts[fold] for run, parts in tests.items()}) for fold in range(n_folds)
    ]
    of_ensemble = sign * (report.score - float(np.mean([score_of(values) for values in joined])))
    of_runs = [sign * ((run.score or 0.0) - float(np.mean(list(map(score_of, tests[run.run_id]))))) for run in runs]
    added = of_ensemble - float(np.mean(of_runs))
    return Judged(report, len(runs), score(report.run.run_id), error, score(best.run_id), optimism, added)


def _tests_of_folds(workspace: Workspace, source: Source, run_id: str) -> list[NDArray[np.float64]]:
    """Predictions for the test rows by the model of each fold, (n, k) each."""
    return [read_predictions(fold.test).values for fold in workspace.run(source.bundle, run_id).all_folds()]


def _host(workspace: Workspace, source: Source, data: Path, split: int) -> tuple[Card, pd.DataFrame]:
    """Write the competition as fetch leaves it; its card, and the truth of its test rows in their order."""
    with zipfile.ZipFile(data / f"{source.bundle}.zip") as archive, archive.open("train.csv") as stream:
        table = pd.read_csv(stream)
    order = generator(split, "split", source.bundle).permutation(len(table))
    held = int(len(table) * source.held_out)
    truth, known = table.iloc[order[:held]].reset_index(drop=True), table.iloc[order[held:]].reset_index(drop=True)
    targets = list(source.card["targets"])
    paths = workspace.competition(source.bundle)
    paths.data.mkdir(parents=True)
    workspace.sweeps.mkdir()
    known.to_csv(paths.data / "train.csv", index=False)
    truth.drop(columns=targets).to_csv(paths.data / "test.csv", index=False)
    sample = truth[[source.ids]].assign(**{name: known[name].iloc[0] for name in targets})
    sample.to_csv(paths.data / "sample_submission.csv", index=False)
    files = {"train_table": "train.csv", "test_table": "test.csv", "sample_submission": "sample_submission.csv"}
    said = {"slug": source.bundle, "source": "practice", "ids": [source.ids], "modality": "table", "files": files}
    card = Card.model_validate({**said, "submission_columns": targets, **source.card})
    write_text(paths.card, dump_yaml(card))
    write_text(paths.hooks, HOOKS)
    write_text(workspace.settings, "mlflow_uri: none\n")
    seal(paths)
    return card, truth


def report(data: Path, names: Sequence[str] = (), splits: int | None = None, stops_early: bool = False) -> str:
    """Markdown: each split, and how often the figure was too good."""
    lines = [
        "### Ensembles of a dozen runs on real data, judged by rows that nobody saw",
        "",
        "Runs and ensemble are made of one part of the labelled rows; `truth` is the score on the other part, with its",
        "own standard error. `nested` is the figure that `kagglerun ensemble` prints, with its 95 % interval; `best",
        "run` is the run with the best OOF score.",
        "",
        "| data | split | metric | method | members | nested (95 %) | truth | best run: OOF | truth |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    counted = []
    for source in SOURCES:
        if names and source.bundle not in names:
            continue
        found = []
        for split in range(splits or source.splits):
            with tempfile.TemporaryDirectory(prefix="kagglerun-bench-") as folder:
                found.append(judge(source, data, split, Path(folder), stops_early))
            lines.append(_row(source, split, found[-1]))
            print(lines[-1], file=sys.stderr, flush=True)
        counted.append(_count(source, found))
    lines += [
        "",
        "`optimism` is nested minus truth; that of the single runs is the luck of a split. `added`, with its standard",
        "error over the splits, is what choosing and weighting adds to it, judged by the model of one fold at a time.",
        "`beyond`: splits in which the truth is worse than all of the figure's interval; than that with the truth's",
        "own error.",
        "",
    ]
    heading = "| data | splits | beyond | optimism | of the runs | added | better than the best run | by (mean) |"
    return "\n".join([*lines, heading, "|---|---|---|---|---|---|---|---|", *counted])


def _row(source: Source, split: int, judged: Judged) -> str:
    found, width = judged.report, CONFIDENCE_WIDTH * judged.report.sureness.error
    return (
        f"| {source.bundle} | {split} | {found.metric} | {found.nested.method} | {len(found.members)} of {judged.runs} "
        f"| {found.score:.5f} ({found.score - width:.5f} to {found.score + width:.5f}) "
        f"| {judged.held_out:.5f} ± {judged.held_out_error:.5f} | {found.best.score or 0.0:.5f} "
        f"| {judged.best_held_out:.5f} |"
    )


def _count(source: Source, found: Sequence[Judged]) -> str:
    leads = [one.sign * (one.held_out - one.best_held_out) for one in found]
    optimism, runs = (np.asarray([getattr(one, name) for one in found]) for name in ("optimism", "runs_optimism"))
    added = np.asarray([one.added for one in found])
    error = f" ± {added.std(ddof=1) / np.sqrt(len(added)):.5f}" if len(added) > 1 else ""
    beyond = sum(one.is_beyond_its_interval for one in found), sum(one.is_beyond_both_intervals for one in found)
    return (
        f"| {source.bundle} | {len(found)} | {beyond[0]}; {beyond[1]} | {optimism.mean():+.5f} | {runs.mean():+.5f} "
        f"| {added.mean():+.5f}{error} | {sum(lead > 0 for lead in leads)} | {np.mean(leads):+.5f} |"
    )


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", action="append", default=[], choices=[source.bundle for source in SOURCES])
    parser.add_argument("--splits", type=int)
    parser.add_argument("--stop-early", action="store_true", help="runs pick their epoch by their validation rows")
    chosen = parser.parse_args()
    print(report(chosen.data, chosen.only, chosen.splits, chosen.stop_early))


if __name__ == "__main__":
    main()

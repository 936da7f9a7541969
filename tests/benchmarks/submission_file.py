"""The submission file: every layout scored as written, and how often the checks speak.

python tests/benchmarks/submission_file.py
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[2]))

from sklearn.ensemble import HistGradientBoostingClassifier

from kagglerun.config.card import Card
from kagglerun.experiment.predictions import Predictions, write_predictions
from kagglerun.files import write_json
from kagglerun.practice.server import stop
from kagglerun.randomness import generator
from kagglerun.submission.shift import check_shift
from kagglerun.workspace import RunPaths, Workspace
from tests.submission.layouts import LAYOUTS, Competed, compete

FOLDS = 5
COLUMNS = [f"x{place}" for place in range(6)]


@dataclass(frozen=True)
class World:
    """How training and test rows differ.

    Attributes:
        name: in words.
        drift: how far the first feature moves, in its spreads; the second one widens with it.
        fault: what is wrong with the test features that the model sees.
        is_wrong: whether an alarm is right.
    """

    name: str
    drift: float = 0.0
    fault: Callable[[np.ndarray], None] | None = None

    @property
    def is_wrong(self) -> bool:
        return self.fault is not None


def _zero(test: np.ndarray) -> None:
    test[:, 0] = 0.0


def _scaled(test: np.ndarray) -> None:
    test[:, 0] *= 0.3


WORLDS = (
    World("drawn alike"),
    World("one feature drifts by 0.3", 0.3),
    World("one feature drifts by 0.7", 0.7),
    World("one feature drifts by 1.5", 1.5),
    World("drawn alike, a feature on another scale for test rows", fault=_scaled),
    World("drawn alike, a feature missing for test rows", fault=_zero),
    World("drifts by 0.7, and a feature missing for test rows", 0.7, _zero),
)


def report(worlds: int = 200) -> str:
    """The part of RESULTS.md."""
    return "\n".join(["### The submission file", "", *_layouts(), "", *_alarms(worlds)])


def _layouts() -> Iterator[str]:
    yield "A practice competition of every layout, submitted by `kagglerun submit` and read back:"
    yield ""
    yield "| layout | metric | rows | a cell | out of fold | public | private | as the metric scores the file |"
    yield "|---|---|---|---|---|---|---|---|"
    for found in _competed():
        cell = found.example if len(found.example) <= 30 else found.example[:27] + "..."
        yield (
            f"| {found.layout.name} | {found.layout.metric} | {found.rows} | `{cell}` | {found.oof:.5f} "
            f"| {found.server[0]:.5f} | {found.server[1]:.5f} | {'yes' if found.agrees else 'NO'} |"
        )


def _competed() -> Iterator[Competed]:
    with tempfile.TemporaryDirectory(prefix="kagglerun-layouts-") as folder:
        workspace = Workspace(Path(folder) / "workspace")
        workspace.competitions.mkdir(parents=True)
        workspace.sweeps.mkdir()
        os.environ["KAGGLERUN_WORKSPACE"] = str(workspace.root)
        try:
            for layout in LAYOUTS:
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                    found = compete(workspace, layout, Path(folder))
                yield found
        finally:
            stop(workspace)
            del os.environ["KAGGLERUN_WORKSPACE"]


def _alarms(worlds: int) -> Iterator[str]:
    yield (
        f"The warning that test predictions are distributed otherwise than out-of-fold ones ({FOLDS} boosted models "
        f"each; {worlds} worlds of 1,000 and 600 rows, {worlds // 10} of 5,000 and 5,000), stated level 1 %:"
    )
    yield ""
    yield "| test rows | an alarm is | small: alarms | large: alarms |"
    yield "|---|---|---|---|"
    for world in WORLDS:
        small = _rate(world, worlds, 1000, 600)
        large = _rate(world, max(10, worlds // 10), 5000, 5000)
        yield f"| {world.name} | {'right' if world.is_wrong else 'false'} | {small:.1%} | {large:.1%} |"


def _rate(world: World, times: int, n: int, m: int) -> float:
    with tempfile.TemporaryDirectory(prefix="kagglerun-shift-") as folder:
        alarms = [_alarm(world, number, n, m, Workspace(Path(folder))) for number in range(times)]
    return float(np.mean(alarms))


def _alarm(world: World, number: int, n: int, m: int, workspace: Workspace) -> bool:
    numbers = generator(number, "a world", world.name)
    train, test = numbers.normal(size=(n, 6)), numbers.normal(size=(m, 6))
    test[:, 0] += world.drift
    test[:, 1] *= 1 + world.drift / 2
    signal = 1.2 * train[:, 0] + train[:, 1] * train[:, 2] - 0.5 * train[:, 3]
    labels = (signal + numbers.logistic(size=n) > 0).astype(int)
    seen = test.copy()
    if world.fault is not None:
        world.fault(seen)
    run = workspace.run("made", "run")
    _predict(run, train, labels, seen, numbers.permutation(n) % FOLDS)
    tables = [pd.DataFrame(rows, columns=COLUMNS) for rows in (train, test)]
    card = Card(slug="made", ids=("id",), targets=("y",), submission_columns=("y",))
    data: Any = SimpleNamespace(train=tables[0], test=tables[1], features=tuple(COLUMNS), groups=None, card=card)
    return bool(list(check_shift(run, card, lambda: data)))


def _predict(run: RunPaths, train: np.ndarray, labels: np.ndarray, test: np.ndarray, folds: np.ndarray) -> None:
    for fold in range(FOLDS):
        model = HistGradientBoostingClassifier(max_iter=30, learning_rate=0.15, max_leaf_nodes=8)
        model.fit(train[folds != fold], labels[folds != fold])
        rows = np.flatnonzero(folds == fold)
        oof, predicted = model.predict_proba(train[rows])[:, 1:], model.predict_proba(test)[:, 1:]
        ids = [pd.DataFrame({"id": places}) for places in (rows, np.arange(len(test)) + 10**6)]
        write_predictions(run.fold(fold).oof, Predictions(ids[0], oof, ("y",), np.full(len(rows), fold), rows))
        write_predictions(run.fold(fold).test, Predictions(ids[1], predicted, ("y",)))
    write_json(run.metrics, {"folds": list(range(FOLDS))}, durable=False)


if __name__ == "__main__":
    print(report(int(sys.argv[1]) if len(sys.argv) > 1 else 200))

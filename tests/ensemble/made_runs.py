"""Finished runs on a small competition, without training: their predictions are made up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kagglerun.config.load import parse_config, save_config
from kagglerun.experiment.predictions import Predictions, names_of, write_predictions
from kagglerun.experiment.prepare import Prepared, prepare, resolve_config
from kagglerun.files import write_json, write_text
from kagglerun.randomness import generator
from kagglerun.workspace import Workspace
from tests.experiment.made import seal, write_card

TEST_ROWS = 30


@dataclass(frozen=True)
class Made:
    """A competition and the truth of its test rows.

    Attributes:
        workspace: where it is.
        prepared: it, made ready.
        test_targets: targets of the test rows, as `prepared.data.targets` has them.
    """

    workspace: Workspace
    prepared: Prepared
    test_targets: NDArray[Any]

    def add_run(
        self,
        name: str,
        predict: Callable[[NDArray[Any], np.random.Generator], NDArray[np.float64]],
        *,
        minute: int = 0,
        changes: Mapping[str, str] | None = None,
        like: str | None = None,
    ) -> None:
        """Write a finished run.

        Args:
            name: its id.
            predict: from targets to predictions (n, k), with noise of its own.
            minute: when it began.
            changes: parts of its fingerprint that differ.
            like: another run's name, whose noise it has.
        """
        run, prepared = self.workspace.run("made", name), self.prepared
        numbers = generator(1, "made", like or name)
        rows = np.flatnonzero(prepared.folds >= 0)
        values = predict(prepared.data.targets[rows], numbers)
        ids = prepared.data.train_ids.iloc[rows].reset_index(drop=True)
        names = names_of(prepared.card, values)
        oof = Predictions(ids, values, names, prepared.folds[rows], rows)
        write_predictions(run.oof, oof)
        test = predict(self.test_targets, numbers)
        write_predictions(run.test, Predictions(prepared.data.test_ids.reset_index(drop=True), test, names))
        save_config(run.config, prepared.config)
        write_json(run.fingerprint, {**prepared.fingerprint.to_dict(), **(changes or {})})
        write_json(run.metrics, self._metrics(oof))
        started = f"2026-01-01T00:{minute:02}:00+00:00"
        write_json(run.status, {"state": "FINISHED", "started": started, "study": None, "rerun": None})

    def _metrics(self, oof: Predictions) -> dict[str, Any]:
        assert oof.fold is not None
        assert oof.rows is not None
        folds = [int(fold) for fold in np.unique(oof.fold)]
        scores = [self.prepared.score(oof.rows[oof.fold == fold], oof.values[oof.fold == fold]) for fold in folds]
        metric = self.prepared.metric
        return {
            "score": self.prepared.score(oof.rows, oof.values),
            "fold_scores": scores,
            "folds": folds,
            "metric": metric.name,
            "greater_is_better": metric.greater_is_better,
            "seconds": 1.0,
        }


def make_competition(workspace: Workspace, targets: pd.DataFrame, n_splits: int = 3, **card: Any) -> Made:
    """A competition with these target columns; the last 30 rows are the test set, whose truth is kept aside."""
    paths = workspace.competition("made")
    paths.data.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame({"id": np.arange(len(targets)), "x": np.arange(len(targets)) % 7}).assign(**targets)
    train, test = table.iloc[:-TEST_ROWS], table.iloc[-TEST_ROWS:]
    train.to_csv(paths.data / "train.csv", index=False)
    test[["id", "x"]].to_csv(paths.data / "test.csv", index=False)
    columns = list(card.pop("submission_columns", targets))
    sample = test[["id"]].assign(**{name: 0.25 if name not in train else train[name].iloc[0] for name in columns})
    sample.to_csv(paths.data / "sample_submission.csv", index=False)
    write_card(paths, targets=list(targets), submission_columns=columns, **card)
    write_text(workspace.settings, "mlflow_uri: none\n")
    seal(paths)
    workspace.set_current("made")
    config = {"competition": "made", "model": {"kind": "tabular_boosting"}, "cv": {"n_splits": n_splits}}
    resolved = resolve_config(workspace, parse_config(config, "made"))
    prepared = prepare(workspace, resolved)
    classes = prepared.card.classes
    truth = test[list(targets)]
    if classes is not None and len(targets.columns) == 1:
        numbered = truth.iloc[:, 0].map({label: place for place, label in enumerate(classes)}).to_numpy(np.int64)
        return Made(workspace, prepared, numbered)
    return Made(workspace, prepared, truth.to_numpy(np.float64))

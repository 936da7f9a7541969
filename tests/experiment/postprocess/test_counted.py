from __future__ import annotations

import numpy as np
import pytest

from kagglerun import metrics
from kagglerun.config.card import Task
from kagglerun.experiment.postprocess.counted import Counts, counted

CASES = [
    ("f1", Task.BINARY, {}),
    ("f_beta", Task.BINARY, {"beta": 2.0}),
    ("mcc", Task.BINARY, {}),
    ("f1_macro", Task.BINARY, {}),
    ("balanced_accuracy", Task.BINARY, {}),
    ("accuracy", Task.BINARY, {}),
    ("mean_utility", Task.BINARY, {"tp": 2.0, "tn": 0.5, "fp": -1.0, "fn": -3.0}),
    ("f1_macro", Task.MULTICLASS, {}),
    ("f_beta_macro", Task.MULTICLASS, {"beta": 0.5}),
    ("mcc", Task.MULTICLASS, {}),
    ("balanced_accuracy", Task.MULTICLASS, {}),
    ("class_weighted_accuracy", Task.MULTICLASS, {"class_weights": [1, 4, 2, 1]}),
    ("f1_macro", Task.MULTILABEL, {}),
    ("f1_micro", Task.MULTILABEL, {}),
    ("f_beta_macro", Task.MULTILABEL, {"beta": 2.0}),
]


@pytest.mark.parametrize(("name", "task", "parameters"), CASES)
@pytest.mark.parametrize("rows", [60, 5])
def test_counts_give_what_the_metric_gives(name: str, task: Task, parameters: dict[str, object], rows: int) -> None:
    numbers = np.random.default_rng(rows)
    for _ in range(5):
        if task is Task.MULTILABEL:
            truths, given = (numbers.random((rows, 3)) < 0.4 for _ in range(2))
            counts = Counts((truths & given).sum(axis=0), given.sum(axis=0), truths.sum(axis=0))
            truths, given = truths.astype(int), given.astype(int)
        else:
            k = 2 if task is Task.BINARY else 4
            truths, given = (numbers.integers(k, size=rows) for _ in range(2))
            found = [np.bincount(part, minlength=k) for part in (given[given == truths], given, truths)]
            counts = Counts(*(part.astype(float) for part in found))
        score = counted(name, task, parameters)
        assert score is not None
        assert float(score(counts)) == pytest.approx(metrics.get(name)(truths, given, **parameters), abs=1e-12)


def test_metrics_that_counts_do_not_tell_have_none() -> None:
    assert counted("f1_samples", Task.MULTILABEL, {}) is None
    assert counted("qwk", Task.MULTICLASS, {}) is None
    assert counted("weighted_accuracy", Task.BINARY, {"weights": "w"}) is None

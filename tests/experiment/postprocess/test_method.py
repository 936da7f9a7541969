from __future__ import annotations

import numpy as np
import pytest

from kagglerun import metrics
from kagglerun.config.postprocess import PostprocessConfig
from kagglerun.errors import ConfigError
from kagglerun.experiment.postprocess.method import method_for
from kagglerun.metrics import Metric
from tests.experiment.postprocess.problems import made_card

CLASSES = np.array([0, 1, 2, 1])
NUMBERS = np.array([[0.0], [4.0], [2.0]])


@pytest.mark.parametrize(
    ("metric", "task", "method"),
    [
        ("f1", "binary", "thresholds"),
        ("mcc", "binary", "thresholds"),
        ("qwk", "binary", "thresholds"),
        ("qwk", "multiclass", "cutoffs"),
        ("qwk", "regression", "cutoffs"),
        ("f1_macro", "multiclass", "thresholds"),
        ("f1_samples", "multilabel", "thresholds"),
        ("f1_samples", "multiclass", "none"),
        ("f1_micro", "multiclass", "none"),
        ("accuracy", "multiclass", "none"),
        ("hamming_loss", "multilabel", "none"),
        ("auc", "binary", "none"),
        ("log_loss", "multiclass", "none"),
        ("rmse", "regression", "none"),
    ],
)
def test_auto_is_what_the_metric_needs(metric: str, task: str, method: str) -> None:
    targets = NUMBERS if task == "regression" else CLASSES
    card = made_card(metric, task, classes=None if task == "regression" else ["0", "1", "2"])
    assert method_for(PostprocessConfig(), card, metrics.get(metric), targets) == method


def test_auto_leaves_a_metric_of_the_users_own_and_numbers_without_end_alone() -> None:
    own = Metric("f1", lambda y_true, y_pred: 0.0, True, metrics.PredictionKind.LABEL, metrics.ALL_TASKS)
    assert method_for(PostprocessConfig(), made_card("f1", "binary"), own, CLASSES) == "none"
    card = made_card("qwk", "regression")
    assert method_for(PostprocessConfig(), card, metrics.get("qwk"), NUMBERS * 1e9) == "none"


@pytest.mark.parametrize(
    ("metric", "task", "asked", "words"),
    [
        ("auc", "binary", {"method": "thresholds"}, "thresholds are for metrics of labels, the metric auc scores prob"),
        ("f1", "binary", {"method": "platt"}, "these do: auto, none, thresholds"),
        ("f1_macro", "multiclass", {"method": "cutoffs"}, "f1_macro knows no order"),
        ("rmse", "regression", {"method": "isotonic"}, "these do: auto, none$"),
        ("auc", "binary", {"clip": True}, "clip is for predicted numbers"),
        ("rmse", "regression", {"floor": 0.1}, "only probabilities are calibrated"),
        ("log_loss", "binary", {"sum_to_one": [["y"]]}, "for yes/no targets"),
        ("columnwise_log_loss", "multilabel", {"sum_to_one": [["y", "z"]]}, "'z': there is no such target"),
        ("columnwise_log_loss", "multilabel", {"sum_to_one": [["y"], ["y"]]}, "'y': names it twice"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_does(
    metric: str, task: str, asked: dict[str, object], words: str
) -> None:
    targets = NUMBERS if task == "regression" else CLASSES
    with pytest.raises(ConfigError, match=words):
        method_for(PostprocessConfig.model_validate(asked), made_card(metric, task), metrics.get(metric), targets)

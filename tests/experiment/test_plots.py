"""Pictures are whole PNG files, the same for the same numbers, also at the edges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kagglerun.experiment import plots

_HISTORY = [{"lr": 0.1 / (epoch + 1), "train_loss": 1.0, "valid_loss": 2.0, "valid_score": 0.5} for epoch in range(4)]
_TREES = [{"step": 10.0 * step, "valid_loss": 1.0 / (step + 1)} for step in range(4)]
_VALUES = np.linspace(0, 1, 50)[:, None]

_PICTURES: dict[str, Callable[[Path], Path]] = {
    "learning curves": lambda path: plots.learning_curves([_HISTORY, _HISTORY[:2]], path),
    "learning curves of trees": lambda path: plots.learning_curves([_TREES], path, folds=[3]),
    "learning curves of one epoch": lambda path: plots.learning_curves([_HISTORY[:1]], path),
    "learning curves of nothing": lambda path: plots.learning_curves([[]], path),
    "fold scores": lambda path: plots.fold_scores({0: 0.5, 1: 0.75}, 0.6, "accuracy", path),
    "score of one fold": lambda path: plots.fold_scores({2: 0.5}, 0.5, "accuracy", path),
    "confusion matrix": lambda path: plots.confusion_matrix([0, 1, 1], [0, 1, 0], ["no", "yes"], path),
    "a class that never occurs": lambda path: plots.confusion_matrix([0, 0], [0, 1], ["a", "b", "a long name"], path),
    "residuals": lambda path: plots.residuals(_VALUES, _VALUES * 1.1, ["price"], path),
    "residuals of exact predictions": lambda path: plots.residuals(_VALUES[:, 0], _VALUES[:, 0], ["price"], path),
    "residuals of many targets": lambda path: plots.residuals(
        np.tile(_VALUES, 12), np.zeros((50, 12)), [f"target {index}" for index in range(12)], path
    ),
    "importances": lambda path: plots.importances({f"feature {index}": 0.02 for index in range(50)}, path),
    "importance of one feature": lambda path: plots.importances({"price in $ of {$_} ^ < &": 1.0}, path),
}


@pytest.mark.parametrize("name", _PICTURES)
def test_picture_is_whole_and_the_same_each_time(name: str, tmp_path: Path) -> None:
    first = _PICTURES[name](tmp_path / "plots" / "first.png")
    second = _PICTURES[name](tmp_path / "plots" / "second.png")
    assert first.read_bytes() == second.read_bytes()
    with Image.open(first) as picture:
        picture.load()
        assert picture.format == "PNG"
        assert min(picture.size) > 200
        assert len(set(picture.convert("L").tobytes())) > 5

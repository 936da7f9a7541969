"""Pictures that are drawn after a run are those drawn within it, and none is lost with the process that owed them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kagglerun.errors import DataError
from kagglerun.experiment import afterwards
from kagglerun.experiment.afterwards import Afterwards
from kagglerun.experiment.drawing import Drawing
from kagglerun.files import write_json, write_text
from kagglerun.tracking import pusher
from kagglerun.tracking.journal import Artifact, End, Journal, Start
from kagglerun.workspace import RunPaths, Workspace

_CURVE = [{"step": 10.0 * step, "valid_loss": 1.0 / (step + 1)} for step in range(4)]


def drawing(kind: str = "classes") -> Drawing:
    classes: tuple[Any, Any] = (np.array([0, 1, 1]), np.array([0, 1, 0]))
    numbers: tuple[Any, Any] = (np.linspace(0, 1, 9)[:, None], np.linspace(0, 2, 9)[:, None])
    truths, predictions = classes if kind == "classes" else numbers
    names = ["no", "yes"] if kind == "classes" else ["price"]
    return Drawing([_CURVE], {0: 0.5, 2: 0.75}, 0.6, "accuracy", kind, names, truths, predictions, {"x": 1.0})


@pytest.fixture
def run(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> RunPaths:
    """A run of the study `made-toy` that has ended and owes its pictures; MLflow is switched off."""
    monkeypatch.setenv("KAGGLERUN_MLFLOW_URI", "none")
    monkeypatch.setattr(afterwards, "_active", None)
    monkeypatch.setattr(pusher, "_ends_linger", False)
    paths = workspace.run("made", "made-toy-0000")
    write_text(paths.config, "competition: made\n")
    Journal(paths.journal).append(Start("made-toy-0000"), End("FINISHED"))
    write_json(paths.metrics, {})
    write_json(paths.status, {"state": "FINISHED"})
    drawing().save(paths.drawing)
    return paths


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_a_saved_drawing_gives_the_same_pictures(kind: str, tmp_path: Path) -> None:
    drawing(kind).draw(tmp_path / "now")
    drawing(kind).save(tmp_path / "drawing.npz")
    Drawing.load(tmp_path / "drawing.npz").draw(tmp_path / "later")
    assert len(pictures(tmp_path / "now")) == 4
    assert pictures(tmp_path / "now") == pictures(tmp_path / "later")


def test_a_damaged_drawing_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "drawing.npz").write_bytes(b"PK torn")
    with pytest.raises(DataError, match="cannot be drawn"):
        Drawing.load(tmp_path / "drawing.npz")


def test_what_a_killed_process_owes_is_made_up_for_and_kept_in_the_journal(
    workspace: Workspace, run: RunPaths, tmp_path: Path
) -> None:
    still_running = workspace.run("made", "made-toy-0001")
    write_text(still_running.config, "competition: made\n")
    write_json(still_running.status, {"state": "RUNNING"})
    drawing().save(still_running.drawing)
    works = Afterwards(workspace)
    works.begin()
    works.take_up("made", "made-toy")
    # What it makes up for is added to its list by itself, so the list's end is asked for after that.
    while run.drawing.exists():
        works._thread.join(0.05)
    assert works.finish(60)
    drawing().draw(tmp_path / "now")
    assert pictures(run.plots) == pictures(tmp_path / "now")
    kept = [entry.body.path for entry in Journal(run.journal).read() if isinstance(entry.body, Artifact)]
    assert kept == [f"plots/{name}" for name in sorted(pictures(run.plots))]
    assert still_running.drawing.exists()


def test_a_drawing_that_cannot_be_drawn_keeps_no_other_from_its_pictures(
    workspace: Workspace, run: RunPaths, caplog: pytest.LogCaptureFixture
) -> None:
    broken = workspace.run("made", "made-toy-0002")
    broken.plots.mkdir(parents=True)
    broken.drawing.write_bytes(b"torn")
    works = Afterwards(workspace)
    works.begin()
    works.add(broken)
    works.add(run)
    assert works.finish(60)
    assert len(pictures(run.plots)) == 4
    assert broken.drawing.exists()
    assert "owed" in caplog.text

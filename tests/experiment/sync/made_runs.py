"""Runs and studies as training leaves them, written by hand in no time; and stores that fail when they are told to."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from kagglerun.errors import TargetUnreachable
from kagglerun.experiment.sync.items import Item, Kind, files_of
from kagglerun.experiment.sync.outcome import Outcome, Result
from kagglerun.experiment.sync.store import FolderStore, Store
from kagglerun.files import write_bytes, write_json, write_text
from kagglerun.sweep.trials import Trial, TrialState, write_trial
from kagglerun.workspace import RunPaths, StudyPaths, Workspace

SLUG = "made"


def make_workspace(folder: Path) -> Workspace:
    """An empty workspace."""
    workspace = Workspace(folder)
    workspace.competitions.mkdir(parents=True)
    workspace.sweeps.mkdir()
    return workspace


def make_run(
    workspace: Workspace, name: str, score: float = 0.5, state: str = "FINISHED", weights: int = 3000, folds: int = 2
) -> RunPaths:
    """A run whose predictions follow from its name and score."""
    run = workspace.run(SLUG, name)
    noise = random.Random(f"{name} {score}")
    write_text(run.config, f"model: {{kind: tabular_boosting}}\nname: {name}\n")
    write_json(run.fingerprint, {"comparable": "same", "data": "d"})
    write_json(run.environment, {"python": "3.11"})
    write_text(run.journal, json.dumps({"kind": "values", "run": name}) + "\n")
    write_json(run.tracking, {"uri": "sqlite", "mlflow_run": "of this machine", "offset": 1})
    write_bytes(run.plots / "fold scores.png", noise.randbytes(500))
    for index in range(folds):
        fold = run.fold(index)
        write_bytes(fold.oof, noise.randbytes(700))
        write_json(fold.result, {"score": score, "fold": index})
        if weights:
            write_bytes(fold.weights, noise.randbytes(weights))
            write_bytes(fold.checkpoints / "last.safetensors", noise.randbytes(100))
    if state == "FINISHED":
        write_bytes(run.oof, noise.randbytes(1500))
        scores = [score] * folds
        write_json(run.metrics, {"metric": "auc", "greater_is_better": True, "score": score, "fold_scores": scores})
    if state == "PRUNED":
        write_json(run.pruned, {"reason": "it was worse", "fold_scores": [score]})
    write_json(run.status, {"state": state, "started": "2026-01-01T00:00:00+00:00", "study": None, "rerun": None})
    return run


def make_study(workspace: Workspace, name: str = "made-study", trials: int = 2) -> StudyPaths:
    """A study with some trials that have ended."""
    study = workspace.study(SLUG, name)
    write_text(study.spec, f"name: {name}\n")
    write_text(study.lock, "{}")
    for number in range(trials):
        add_trial(study, number)
    return study


def add_trial(study: StudyPaths, number: int, value: float = 0.5) -> None:
    """Append a trial and its end."""
    write_trial(study, Trial(number, {"x": value}))
    write_trial(study, Trial(number, {"x": value}, TrialState.COMPLETE, value=value))


def content(folder: Path, kind: Kind = Kind.RUN) -> dict[str, bytes]:
    """Names and contents of the files that are carried."""
    return {name: path.read_bytes() for name, path in files_of(kind, folder)} if folder.is_dir() else {}


def results(outcomes: list[Outcome]) -> dict[str, str]:
    """What became of each item."""
    return {str(each.item): each.result.name for each in outcomes}


def of(outcomes: list[Outcome], kind: Kind) -> list[Result]:
    """What became of the items of a kind."""
    return [each.result for each in outcomes if each.item.kind is kind]


def whole_runs(workspace: Workspace, originals: Workspace) -> None:
    """Every run that is there is one of the originals, to the last byte, and nothing else is listed."""
    for run in workspace.all_runs():
        assert content(run.folder) == content(originals.run(SLUG, run.run_id).folder), run.run_id


class Failing:
    """A store that breaks after a number of requests.

    Args:
        inner: does the work.
        allowed: how many requests go well.
    """

    def __init__(self, inner: Store, allowed: int) -> None:
        self._inner, self.left = inner, allowed
        self.label, self.at_once = inner.label, 1
        self.before: Callable[[str], None] = lambda name: None

    def _ask(self, name: str) -> None:
        self.before(name)
        self.left -= 1
        if self.left < 0:
            raise TargetUnreachable("the network is cut")

    def names(self, folder: str) -> dict[str, int]:
        self._ask(folder)
        return self._inner.names(folder)

    def size(self, name: str) -> int | None:
        self._ask(name)
        return self._inner.size(name)

    def read(self, name: str) -> bytes:
        self._ask(name)
        return self._inner.read(name)

    def write(self, name: str, content: bytes) -> None:
        self._ask(name)
        self._inner.write(name, content)

    def remove(self, name: str) -> None:
        self._ask(name)
        self._inner.remove(name)

    def close(self) -> None:
        self._inner.close()


def folder_store(path: Path) -> FolderStore:
    """A target in a folder."""
    return FolderStore(path)


def copy(workspace: Workspace, folder: Path) -> Workspace:
    """The same workspace elsewhere."""
    shutil.copytree(workspace.root, folder)
    return Workspace(folder)


def run_item(name: str, kind: Kind = Kind.RUN) -> Item:
    """The item of a made run."""
    return Item(kind, SLUG, name)

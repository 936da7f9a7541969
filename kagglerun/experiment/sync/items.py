"""What is carried: runs, their weights, studies, and the cards and hooks of competitions; and which of their files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote

from kagglerun.errors import ConfigError
from kagglerun.files import read_json
from kagglerun.workspace import RunPaths, StudyPaths, Workspace

_FOLD_FILES = {"oof.parquet", "test.parquet", "digests.json", "result.json"}
_OF_THIS_MACHINE = {"tracking.json", "weights_deleted.json", "plots/drawing.npz"}
"""Of a run: where MLflow's entry is, what was deleted here, what is still to be drawn."""
_OF_A_STUDY = {"spec.yaml", "trials.jsonl", "earlier.json", "spent.json", "finalists.json", "journal.jsonl"}
_OF_A_COMPETITION = {"competition.yaml", "hooks.py"}
_RUN_FOLDERS = {"folds", "plots"}
_MOST_NAME = 255


class Kind(StrEnum):
    """Kinds of items; at the target each has a folder of this name."""

    RUN = "runs"
    WEIGHTS = "weights"
    STUDY = "studies"
    COMPETITION = "competitions"


@dataclass(frozen=True, order=True)
class Item:
    """One thing that is carried whole.

    Attributes:
        kind: what it is.
        slug: its competition.
        name: id of the run, name of the study, or the slug again.
    """

    kind: Kind
    slug: str
    name: str

    @property
    def prefix(self) -> str:
        """The folder of its versions at the target."""
        return f"{self.kind}/{_quoted(self.slug)}/{_quoted(self.name)}"

    def __str__(self) -> str:
        what = {Kind.RUN: "run", Kind.WEIGHTS: "weights of", Kind.STUDY: "study", Kind.COMPETITION: "card of"}
        return f"{what[self.kind]} {self.name}"

    def folder(self, workspace: Workspace) -> Path:
        """Where it is in a workspace.

        Raises:
            ConfigError: its name cannot be the name of a folder.
        """
        match self.kind:
            case Kind.RUN | Kind.WEIGHTS:
                return workspace.run(_checked(self.slug), self.name).folder
            case Kind.STUDY:
                return workspace.study(_checked(self.slug), _checked(self.name)).folder
            case Kind.COMPETITION:
                return workspace.competition(_checked(self.slug)).folder

    def incoming(self, workspace: Workspace) -> Path:
        """Where it is put together before it is moved to its place, on the same disk."""
        parents = {Kind.STUDY: workspace.incoming_studies, Kind.COMPETITION: workspace.incoming_competitions}
        parent = parents.get(self.kind, workspace.incoming_runs)
        return parent / self.kind / _checked(self.slug) / self.name


def item_of(prefix: str) -> Item | None:
    """The item whose versions are in a folder of the target; None where it is none that this version knows."""
    parts = prefix.split("/")
    if len(parts) != 3 or parts[0] not in set(Kind):
        return None
    return Item(Kind(parts[0]), unquote(parts[1]), unquote(parts[2]))


def belongs(kind: Kind, path: str) -> bool:
    """Whether a file is part of an item; `path` is relative to its folder, with slashes.

    Nothing outside the folder, hidden, or meant for this machine alone belongs to it.
    """
    parts = PurePosixPath(path).parts
    if not parts or path != "/".join(parts) or any(_is_odd(part) for part in parts):
        return False
    if kind is Kind.STUDY:
        return path in _OF_A_STUDY or (parts[0] == "plots" and len(parts) == 2)
    if kind is Kind.COMPETITION:
        return path in _OF_A_COMPETITION
    in_fold = len(parts) == 3 and parts[0] == "folds" and parts[1].isdigit()
    if kind is Kind.WEIGHTS:
        return in_fold and parts[2] not in _FOLD_FILES
    if path in _OF_THIS_MACHINE:
        return False
    return len(parts) == 1 or (in_fold and parts[2] in _FOLD_FILES) or (parts[0] == "plots" and len(parts) == 2)


def files_of(kind: Kind, folder: Path) -> Iterator[tuple[str, Path]]:
    """The files of an item that are in its folder: relative name and path, by name. Links are passed over."""
    depth_one = [path for path in folder.iterdir() if path.is_file() and not path.is_symlink()]
    deeper = [
        path
        for name in sorted(_RUN_FOLDERS)
        for pattern in ("*", "*/*")
        for path in folder.glob(f"{name}/{pattern}")
        if path.is_file() and not path.is_symlink()
    ]
    named = sorted((path.relative_to(folder).as_posix(), path) for path in (*depth_one, *deeper))
    return ((name, path) for name, path in named if belongs(kind, name))


def has_ended(run: RunPaths) -> bool:
    """Whether a run is finished or was stopped early for good; all others may still change, and are not carried."""
    state = state_of(run)
    return (state == "FINISHED" and run.metrics.exists()) or (state == "PRUNED" and run.pruned.exists())


def state_of(run: RunPaths) -> str:
    """The state that a run's status says; RUNNING where it cannot be read."""
    try:
        return str(read_json(run.status)["state"])
    except (OSError, ValueError, KeyError, TypeError):
        return "RUNNING"


def has_weights(run: RunPaths) -> bool:
    """Whether weights, or what else a model left, are there."""
    return next(files_of(Kind.WEIGHTS, run.folder), None) is not None


def run_item(run: RunPaths, kind: Kind = Kind.RUN) -> Item:
    """The item of a run, or of its weights."""
    return Item(kind, run.slug, run.run_id)


def study_item(study: StudyPaths) -> Item:
    """The item of a study."""
    return Item(Kind.STUDY, study.slug, study.name)


def _is_odd(part: str) -> bool:
    """Hidden, temporary or not a name."""
    return part.startswith(".") or "\x00" in part or "\\" in part or len(part.encode()) > _MOST_NAME


def _quoted(name: str) -> str:
    return quote(name, safe="").replace(".", "%2E") if set(name) <= {"."} else quote(name, safe="")


def _checked(name: str) -> str:
    if not re.fullmatch(r"[^/\\\x00-\x1f\x7f.][^/\\\x00-\x1f\x7f]{0,127}", name):
        raise ConfigError(f"{name!r} at the target cannot be the name of a folder")
    return name

"""The files of a packaged run: what `freeze_run` writes and the notebook reads.

inference.json                 written last: what is predicted, by which members
competition/                   competition.yaml  hooks.py
members/<run id>/              config.yaml  hooks.py  fold-<k>/
postprocess.json ensemble.json of the run itself
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pydantic
from pydantic import Field

from kagglerun.config.section import Section
from kagglerun.errors import PackageError
from kagglerun.files import read_json, write_json
from kagglerun.models.frozen import PACKAGE_AGAIN
from kagglerun.paths import CompetitionPaths, Entry, FoldPaths

Kind = Literal["number", "yes or no", "date", "text"]
"""What a column of the test table holds."""


@dataclass(frozen=True)
class MemberPaths:
    """The files of one member: the run itself, or a run of an ensemble."""

    folder: Path

    config = Entry("config.yaml")
    """The run's resolved config."""
    hooks = Entry("hooks.py")
    """The competition's code as the run used it."""

    def fold(self, index: int) -> FoldPaths:
        """The frozen fold `index`, counted from 0."""
        return FoldPaths(self.folder / f"fold-{index}")


@dataclass(frozen=True)
class DataSetPaths:
    """The files of a packaged run."""

    folder: Path

    inference = Entry("inference.json")
    """What is predicted, by which members; written last."""
    competition_folder = Entry("competition")
    """Card and hooks."""
    members = Entry("members")
    """One folder a member."""
    postprocess = Entry("postprocess.json")
    """What predictions go through before they are written."""
    ensemble = Entry("ensemble.json")
    """How the members' predictions become one."""

    @property
    def competition(self) -> CompetitionPaths:
        """Card and hooks."""
        return CompetitionPaths(self.competition_folder)

    def member(self, run_id: str) -> MemberPaths:
        """The files of a member."""
        return MemberPaths(self.members / run_id)


class FrozenMember(Section):
    """One run whose folds predict."""

    run: str
    """Its id."""
    folds: tuple[int, ...]
    """The folds that it has."""
    views: int = 1
    """In how many ways each row is looked at."""
    trained_on: Literal["cpu", "cuda"] = "cpu"
    """The kind of device that its weights were trained on."""


class Inference(Section):
    """What a packaged run predicts, and what its test table looked like."""

    version: Literal[1] = 1
    """Of this file's format."""
    kagglerun: str
    """The version that wrote it."""
    slug: str
    """The competition."""
    run: str
    """The run, an ensemble or a member alone."""
    names: tuple[str, ...]
    """One name a column of the predictions."""
    hooks: dict[str, Any] = Field(default_factory=dict)
    """Parameters of the competition's code."""
    prior: tuple[float, ...]
    """Mean out-of-fold prediction of each column: what stands for rows that time did not suffice for."""
    text: tuple[str, ...]
    """Columns that are text in one of the competition's tables."""
    kinds: dict[str, Kind]
    """Feature columns of the test table and what they held."""
    members: tuple[FrozenMember, ...]
    """In the order in which they should be predicted."""
    same_bits: bool
    """Whether the predictions made from it equal the run's own to the bit, where it was packaged."""
    notes: tuple[str, ...] = ()
    """What the user should know of it."""


def write_inference(paths: DataSetPaths, inference: Inference) -> None:
    """Write inference.json in one step."""
    write_json(paths.inference, inference.model_dump(mode="json"))


def read_inference(paths: DataSetPaths) -> Inference:
    """Read inference.json.

    Raises:
        PackageError: the folder is no packaged run, or of another version.
    """
    if not paths.inference.is_file():
        raise PackageError(f"{paths.folder} holds no packaged run: inference.json is missing", hint=PACKAGE_AGAIN)
    try:
        return Inference.model_validate(read_json(paths.inference))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except (OSError, ValueError) as error:
        reason = str(error)
    raise PackageError(f"{paths.inference} is damaged or of another version: {reason}", hint=PACKAGE_AGAIN)

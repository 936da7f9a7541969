"""What is hosted: a folder a competition, which appears in one step when it is whole."""

from __future__ import annotations

import re
import shutil
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kagglerun.config.card import Task
from kagglerun.errors import CompetitionNotFound, DiskFull, PracticeError
from kagglerun.files import disk_full_named, write_text
from kagglerun.practice.bundle import BundleFile, list_bundle
from kagglerun.practice.paths import HostedPaths, PracticePaths

if TYPE_CHECKING:
    from kagglerun.metrics import Metric
    from kagglerun.practice.builtin import BuiltIn

DEADLINE = datetime(2099, 12, 31, 23, 59, tzinfo=UTC)
DAILY_SUBMISSIONS = 10
"""Submissions a day where nothing else is said: what Kaggle's Titanic allows."""

_LEFTOVER_SECONDS = 3600
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,98}[a-z0-9])?")


class Definition(BaseModel):
    """What a hosted competition is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slug: str
    title: str
    description: str
    task: Task | Literal["unknown"]
    metric: str
    """Our name of the metric, a dotted path, or a function in the competition's `metric.py`."""
    metric_parameters: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the metric; columns of the solution for weights and groups."""
    evaluation_metric: str
    """Kaggle's name of it."""
    greater_is_better: bool
    ids: tuple[str, ...]
    """Columns that name a row of the submission."""
    submission_columns: tuple[str, ...]
    """The other columns of the sample submission, in its order."""
    classes: tuple[str, ...] = ()
    """Class labels in order, for binary and multiclass."""
    sample_submission: str
    """Name of the sample submission in the bundle."""
    train_rows: int | None
    test_rows: int
    public_rows: int
    max_daily_submissions: int = DAILY_SUBMISSIONS
    rules_required: bool = False
    """Downloads and submissions are refused until the rules are accepted."""
    notebooks_only: bool = False
    """Takes no files: a notebook is run again with the hidden test set, and what it writes is scored."""
    created: datetime
    bundle_sha256: str


@dataclass(frozen=True)
class Hosted:
    """A hosted competition: its definition and its files."""

    definition: Definition
    paths: HostedPaths

    def scored_by(self) -> Metric:
        """The metric, with the host's own code where the competition has some, as it stands in its file now.

        Raises:
            ConfigError: the code fails or is gone.
        """
        from kagglerun import metrics

        definition, code = self.definition, self.paths.metric_code
        given = code if code.is_file() else None
        return metrics.resolve(definition.metric, given, greater_is_better=definition.greater_is_better)

    def files(self) -> tuple[BundleFile, ...]:
        """The files of the bundle, sorted by name."""
        return list_bundle(self.paths.bundle)


class Catalogue:
    """All hosted competitions. A built-in one is made when it is first asked for.

    Args:
        paths: where they are.
    """

    def __init__(self, paths: PracticePaths) -> None:
        self._paths = paths
        self._making = threading.Lock()

    def slugs(self) -> list[str]:
        """Slugs of all competitions, built-in ones included, sorted."""
        from kagglerun.practice.builtin import BUILT_IN

        return sorted({*BUILT_IN, *self._made()})

    def built_in(self, slug: str) -> BuiltIn | None:
        """The built-in competition with this slug, made or not."""
        from kagglerun.practice.builtin import BUILT_IN

        return BUILT_IN.get(slug)

    def is_made(self, slug: str) -> bool:
        """Whether the competition's files are there."""
        return self._paths.competition(slug).definition.is_file()

    def get(self, slug: str) -> Hosted:
        """The competition with this slug; a built-in one is made now if it was not made yet.

        Raises:
            CompetitionNotFound: there is none; the message lists those there are.
            PracticeError: its definition cannot be read.
        """
        if slug not in self.slugs():
            known = ", ".join(self.slugs())
            raise CompetitionNotFound(
                f"the practice server has no competition {slug!r}; it has {known}", hint="kagglerun practice list"
            )
        if not self.is_made(slug):
            with self._making:
                built_in = self.built_in(slug)
                if built_in is not None and not self.is_made(slug):
                    built_in.host(self._paths)
        return read_hosted(self._paths.competition(slug))

    def _made(self) -> list[str]:
        found = self._paths.competitions.glob("*/competition.json")
        return [path.parent.name for path in found if not path.parent.name.startswith(".")]


def read_hosted(paths: HostedPaths) -> Hosted:
    """Read a hosted competition's definition.

    Raises:
        PracticeError: it cannot be read.
    """
    try:
        definition = Definition.model_validate_json(paths.definition.read_text("utf-8"))
    except (OSError, ValidationError) as error:
        raise PracticeError(
            f"{paths.definition} cannot be read: {type(error).__name__}",
            hint=f"kagglerun practice remove {paths.folder.name}    (then create or add it again)",
        ) from error
    return Hosted(definition, paths)


def check_slug(paths: PracticePaths, slug: str) -> None:
    """Refuse a slug that Kaggle would refuse or that is taken.

    Raises:
        PracticeError: it is not a slug, belongs to a built-in competition, or is hosted already.
    """
    from kagglerun.practice.builtin import BUILT_IN

    if not _SLUG.fullmatch(slug):
        raise PracticeError(
            f"{slug!r} is not a slug: small letters, digits and hyphens, at most 100",
            hint="for example: house-prices-2",
        )
    if slug in BUILT_IN:
        raise PracticeError(f"{slug!r} is built in", hint="choose another slug")
    if paths.competition(slug).folder.exists():
        raise _taken(slug)


@contextmanager
def new_competition(paths: PracticePaths, slug: str) -> Iterator[HostedPaths]:
    """Yield an empty folder to fill; on leaving without an error it becomes the competition's, in one step.

    On an error nothing is left. A full disk becomes a DiskFull that names the competition. Of two at once the first
    to end wins; where both made the same built-in competition the other's work is dropped, else it is an error.
    """
    final = paths.competition(slug).folder
    _remove_leftovers(paths, slug)
    temporary = paths.competitions / f".{slug}.{uuid.uuid4().hex[:12]}.tmp"
    try:
        with disk_full_named(final):
            temporary.mkdir(parents=True)
            yield HostedPaths(temporary)
            _move_into_place(temporary, final, slug)
    except DiskFull as error:
        raise DiskFull(
            f"the disk is full: the competition {slug!r} was not made, and nothing is left of it",
            hint=f"free some space on the disk of {paths.folder}, then run the same command again",
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _move_into_place(temporary: Path, final: Path, slug: str) -> None:
    from kagglerun.practice.builtin import BUILT_IN

    try:
        temporary.rename(final)
    except OSError as error:
        if not HostedPaths(final).definition.is_file():
            raise
        if slug not in BUILT_IN:
            raise _taken(slug) from error


def _taken(slug: str) -> PracticeError:
    return PracticeError(
        f"the practice server has a competition {slug!r} already",
        hint=f"choose another slug, or: kagglerun practice remove {slug}",
    )


def write_definition(paths: HostedPaths, definition: Definition) -> None:
    """Write what the competition is."""
    write_text(paths.definition, definition.model_dump_json(indent=2) + "\n")


def remove_competition(paths: PracticePaths, slug: str) -> None:
    """Remove a hosted competition's files; a built-in one is made again when it is next asked for.

    Raises:
        PracticeError: it is not there.
    """
    folder = paths.competition(slug).folder
    if not _SLUG.fullmatch(slug) or not folder.is_dir():
        raise PracticeError(f"the practice server has no files of {slug!r}", hint="kagglerun practice list")
    aside = paths.competitions / f".{slug}.{uuid.uuid4().hex[:12]}.tmp"
    folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def _remove_leftovers(paths: PracticePaths, slug: str) -> None:
    """Remove what a killed `create` left, once it is old enough not to be another one at work."""
    oldest = datetime.now(UTC).timestamp() - _LEFTOVER_SECONDS
    for folder in paths.competitions.glob(f".{slug}.*.tmp"):
        if folder.stat().st_mtime < oldest:
            shutil.rmtree(folder, ignore_errors=True)

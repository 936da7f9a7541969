"""Which of two states of an item is ahead, where nothing is remembered of them; or why they cannot be joined.

A file of an item is of one of four sorts. What a run has trained never changes: two runs whose predictions differ are
two runs, whatever they are called. The trials of a study only grow: of two states one must be the beginning of the
other. Of what was tracked and sent each line counts by itself. All else is made from these, and the newer may replace
the older.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from kagglerun.experiment.sync.items import Kind
from kagglerun.experiment.sync.snapshot import FileEntry, by_path, starts_with

_FIXED_OF_A_RUN = {"config.yaml", "fingerprint.json", "metrics.json", "pruned.json", "oof.parquet", "test.parquet"}

Content = Callable[[FileEntry], bytes]
"""Gives the content of a file at the target."""


class Sort(Enum):
    """What may become of a file."""

    FIXED = "never changes"
    GROWING = "lines are appended"
    LINES = "each line counts by itself"
    MADE = "made from the others"


def sort_of(kind: Kind, path: str) -> Sort:
    """The sort of a file."""
    match kind:
        case Kind.WEIGHTS | Kind.COMPETITION:
            return Sort.FIXED
        case Kind.STUDY:
            return Sort.GROWING if path == "trials.jsonl" else Sort.MADE
        case Kind.RUN:
            if path in _FIXED_OF_A_RUN or path.startswith("folds/"):
                return Sort.FIXED
            return Sort.LINES if path.endswith(".jsonl") else Sort.MADE


@dataclass(frozen=True)
class Comparison:
    """How the state here and the state at the target differ.

    Attributes:
        conflicts: files that cannot be joined.
        here: files that are ahead here, or are here alone.
        there: files that are ahead at the target, or are there alone.
        either: files that differ, and of which either may be taken.
    """

    conflicts: tuple[str, ...]
    here: tuple[str, ...]
    there: tuple[str, ...]
    either: tuple[str, ...]


def compare(
    kind: Kind, folder: Path, here: Sequence[FileEntry], there: Sequence[FileEntry], content: Content
) -> Comparison:
    """Compare two states of an item.

    Args:
        kind: of the item.
        folder: where it stands here.
        here: its files here.
        there: its files at the target.
        content: asked for files of the target that grow.
    """
    ours, theirs = by_path(here), by_path(there)
    found: dict[str, list[str]] = {"conflicts": [], "here": [], "there": [], "either": []}
    for path in sorted(ours.keys() | theirs.keys()):
        for side in _sides(kind, folder, path, ours, theirs, content):
            found[side].append(path)
    return Comparison(**{side: tuple(paths) for side, paths in found.items()})


def _sides(
    kind: Kind,
    folder: Path,
    path: str,
    ours: Mapping[str, FileEntry],
    theirs: Mapping[str, FileEntry],
    content: Content,
) -> tuple[str, ...]:
    """Where a file is ahead."""
    if path not in theirs:
        return ("here",)
    if path not in ours:
        return ("there",)
    mine, other = ours[path], theirs[path]
    if mine.sha256 == other.sha256:
        return ()
    match sort_of(kind, path):
        case Sort.FIXED:
            return ("conflicts",)
        case Sort.MADE:
            return ("either",)
        case Sort.GROWING:
            return (_longer(folder / path, mine, other, content),)
        case Sort.LINES:
            return _lines_ahead((folder / path).read_bytes()[: mine.size], content(other))


def _longer(path: Path, mine: FileEntry, other: FileEntry, content: Content) -> str:
    """Which side has the other's lines and more."""
    if mine.size > other.size and starts_with(path, other):
        return "here"
    if other.size > mine.size and content(other)[: mine.size] == path.read_bytes()[: mine.size]:
        return "there"
    return "conflicts"


def _lines_ahead(mine: bytes, other: bytes) -> tuple[str, ...]:
    ours, theirs = set(mine.splitlines()), set(other.splitlines())
    return tuple(side for side, more in (("here", ours - theirs), ("there", theirs - ours)) if more) or ("either",)


def joined_lines(mine: bytes, other: bytes) -> bytes:
    """The lines of both, each once; ours first, so that what has read them goes on behind them."""
    known = set(mine.splitlines())
    return mine + b"".join(line + b"\n" for line in other.splitlines() if line not in known)

"""What a process keeps of a competition from one run to the next, so that the next one starts at once.

Only processes that execute one run after another keep anything; see `keep_between_runs`. Each thing is kept with
evidence of what it was made of, and made again as soon as that differs: card and manifest by their content, tables
by the stamps of their files, folds and checks by the tables and the settings they follow from. Hooks are executed
anew for every run, so that nothing they hold in memory passes from one run to another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from kagglerun.config.card import Card
from kagglerun.config.load import load_card
from kagglerun.data.named_files import fixed_folder
from kagglerun.data.stamps import folders_below, stamps
from kagglerun.data.tables import CompetitionData, load_competition
from kagglerun.data.understand import current_card
from kagglerun.kaggle_api.manifest import read_manifest
from kagglerun.workspace import CompetitionPaths

_Made = TypeVar("_Made")


@dataclass
class _Kept:
    """Values by name, each with its evidence."""

    values: dict[str, tuple[Hashable, Any]] = field(default_factory=dict)

    def get(self, name: str, evidence: Hashable, make: Callable[[], _Made]) -> _Made:
        """The value of this name that was made on this evidence, else a new one; None is no evidence at all."""
        known = self.values.pop(name, None)
        if known is not None and evidence is not None and known[0] == evidence:
            self.values[name] = known
            kept: _Made = known[1]
            return kept
        known = None  # a large table leaves the memory before the next one comes
        made = make()
        if evidence is not None:
            self.values[name] = (evidence, made)
        return made


_kept: _Kept | None = None


def keep_between_runs() -> None:
    """Keep from now on what the next run of the same competition needs again."""
    global _kept
    _kept = _kept or _Kept()


def forget() -> None:
    """Keep nothing any more."""
    global _kept
    _kept = None


def is_kept() -> bool:
    """Whether this process keeps anything."""
    return _kept is not None


def kept(name: str, evidence: Hashable, make: Callable[[], _Made]) -> _Made:
    """What `make` gives, or gave before on the same evidence; see `keep_between_runs`.

    Args:
        name: what it is; one value is kept for each name.
        evidence: all that it follows from; None where that cannot be told, so that it is made now.
        make: makes it.
    """
    return make() if _kept is None else _kept.get(name, evidence, make)


@dataclass(frozen=True)
class Loaded:
    """A competition as it stands on the disk now.

    Attributes:
        card: what is known of it; the run's own copy.
        data: its tables; the run may change them.
        evidence: what the tables were read from; None where they are not kept.
    """

    card: Card
    data: CompetitionData
    evidence: Hashable


def load(paths: CompetitionPaths, *, understands: bool) -> Loaded:
    """Read a competition's card and tables, or take those that were kept.

    Args:
        paths: its files.
        understands: see `current_card`: a card with open questions is looked at again.

    Raises:
        ConfigError, DataError, UnresolvedCard: see `current_card` and `load_competition`.
    """
    card, content = _card(paths, understands)
    card.require_resolved(paths.card)
    if _kept is None or content is None:
        return Loaded(card, load_competition(paths, card), None)
    data, evidence = _tables(_kept, paths, card, content)
    return Loaded(card, data if evidence is None else _own_copy(data, card), evidence)


def data_digest(paths: CompetitionPaths) -> str:
    """Digest of the competition's files, as its manifest has them.

    Raises:
        DataError: the data was not fetched, or its manifest is damaged.
    """
    content = _content(paths.manifest) if _kept is not None else None
    return kept("manifest", content, lambda: read_manifest(paths).sha256)


def _card(paths: CompetitionPaths, understands: bool) -> tuple[Card, str | None]:
    """The card and its file's digest.

    Open questions are looked at once for each state of card and manifest: the answers that there are stand in the card.
    """
    if _kept is None:
        return (current_card(paths) if understands else load_card(paths.card)), None
    card, content = _read_card(_kept, paths)
    is_open = understands and (card.unresolved or not card.evidence)
    if is_open and _kept.values.get("understood") != ((content, _content(paths.manifest)), None):
        current_card(paths)
        card, content = _read_card(_kept, paths)
        _kept.values["understood"] = ((content, _content(paths.manifest)), None)
    return card.model_copy(deep=True), content


def _read_card(keeping: _Kept, paths: CompetitionPaths) -> tuple[Card, str | None]:
    content = _content(paths.card)
    return keeping.get("card", content and (str(paths.card), content), lambda: load_card(paths.card)), content


def _content(path: Path) -> str | None:
    """Hex SHA-256 of a small file; None where there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def _tables(keeping: _Kept, paths: CompetitionPaths, card: Card, content: str) -> tuple[CompetitionData, Hashable]:
    """The tables and the evidence that they are kept on, which is None where they are not."""
    read = [paths.data / name for name in _tables_of(card)]
    known: tuple[CompetitionData, list[Path]] | None
    evidence, known = keeping.values.pop("tables", (None, None))
    if known is not None:
        data, folders = known
        if _may_be_shared(data, paths) and evidence == _evidence(paths, content, [*read, *folders]):
            keeping.values["tables"] = (evidence, known)
            return data, evidence
    data = known = None  # large tables leave the memory before the next ones come
    below = _image_folders(paths, card)
    evidence = None if below is None else _evidence(paths, content, [*read, *below])
    data = load_competition(paths, card)
    if below is None or evidence is None or not _may_be_shared(data, paths):
        return data, None
    keeping.values["tables"] = (evidence, (data, below))
    return data, evidence


def _evidence(paths: CompetitionPaths, content: str, files: list[Path]) -> Hashable:
    stamped = stamps(files)
    return stamped and (str(paths.data), content, stamped)


def _tables_of(card: Card) -> list[str]:
    files = card.files
    named = (files.sample_submission, files.train_table, files.train_labels, files.test_table)
    return [name for name in named if name is not None]


def _image_folders(paths: CompetitionPaths, card: Card) -> list[Path] | None:
    """All folders whose entries tell which images there are; None where entries cannot tell that."""
    found: list[Path] = []
    for pattern in (card.files.train_files, card.files.test_files):
        below = () if pattern is None else folders_below(paths.data / fixed_folder(pattern))
        if below is None:
            return None
        found += below
    return list(dict.fromkeys(found))


def _may_be_shared(data: CompetitionData, paths: CompetitionPaths) -> bool:
    """Whether no run can change what another one sees: lists in cells are the same in all copies of a table."""
    return not paths.hooks.is_file() or not _holds_objects(data)


def _holds_objects(data: CompetitionData) -> bool:
    """Whether cells hold lists or the like, which all copies of a table share, so that hooks may change them."""
    return any(any(map(pd.api.types.is_object_dtype, frame.dtypes)) for frame in (data.train, data.test, data.sample))


def _own_copy(data: CompetitionData, card: Card) -> CompetitionData:
    """The same tables, to be changed freely: pandas copies a column when it is written to."""
    frames = {name: getattr(data, name).copy(deep=False) for name in ("train", "test", "sample")}
    targets = data.targets.copy()
    targets.flags.writeable = data.targets.flags.writeable
    return replace(data, card=card, targets=targets, **frames)

"""What is at a target: versions of items, each a small file that names the parts of the item's files.

    kagglerun-sync.json                        marks the target, and says in which format
    parts/ab/abcdef...                         content, by SHA-256
    runs/<slug>/<run id>/000002-<digest>.json  second version of a run; the first one goes when it is there

Two versions with the same number come from two machines that pushed at the same time.
"""

from __future__ import annotations

import json
import re
import shlex
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from kagglerun import __version__
from kagglerun.errors import ContentDamaged, SyncError
from kagglerun.experiment.sync.items import Item, Kind, belongs, item_of
from kagglerun.experiment.sync.snapshot import PART_BYTES, FileEntry, digest_of
from kagglerun.experiment.sync.store import Store

MARK = "kagglerun-sync.json"
_FORMAT = 1
_NAME = re.compile(r"(\d{6,})-([0-9a-f]{32})\.json")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, order=True)
class Version:
    """A version of an item at a target.

    Attributes:
        number: counted from 1.
        digest: of its files; see `snapshot.digest_of`.
    """

    number: int
    digest: str

    @property
    def file_name(self) -> str:
        """Its file in the item's folder."""
        return f"{self.number:06d}-{self.digest}.json"


def list_versions(store: Store, kinds: Iterable[Kind]) -> dict[Item, list[Version]]:
    """The versions that a target has; files with other names are passed over.

    Raises:
        SyncError: the target cannot be read.
    """
    return _versions(name for kind in kinds for name in store.names(kind))


def versions_of(store: Store, item: Item) -> list[Version]:
    """The versions that a target has of one item, the newest last.

    Raises:
        SyncError: the target cannot be read.
    """
    return _versions(store.names(item.prefix)).get(item, [])


def _versions(names: Iterable[str]) -> dict[Item, list[Version]]:
    found: dict[Item, list[Version]] = {}
    for name in names:
        prefix, _, file_name = name.rpartition("/")
        item, match = item_of(prefix), _NAME.fullmatch(file_name)
        if item is not None and match:
            found.setdefault(item, []).append(Version(int(match[1]), match[2]))
    return {item: sorted(versions) for item, versions in found.items()}


def newest(versions: Sequence[Version]) -> Version | None:
    """The newest version."""
    return versions[-1] if versions else None


def are_two(versions: Sequence[Version]) -> bool:
    """Whether two machines pushed the newest version."""
    return len(versions) > 1 and versions[-1].number == versions[-2].number


def read_version(store: Store, item: Item, version: Version) -> tuple[FileEntry, ...]:
    """The files of a version, checked: nothing in it can lead out of the item's folder.

    Raises:
        ContentDamaged: it is missing, or not what its name says.
        SyncError: it cannot be read.
    """
    name = f"{item.prefix}/{version.file_name}"
    try:
        values = json.loads(store.read(name))
        files = tuple(_entry(item.kind, each) for each in values["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(store, name, error) from error
    if digest_of(files) != version.digest:
        raise _damaged(store, name, "its files are not what its name says")
    return files


def write_version(store: Store, item: Item, version: Version, files: Sequence[FileEntry]) -> None:
    """Make a version known; all its parts must be at the target.

    Raises:
        SyncError: it cannot be written.
    """
    values = {
        "item": str(item),
        "files": [asdict(entry) for entry in files],
        "host": socket.gethostname(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "kagglerun": __version__,
    }
    store.write(f"{item.prefix}/{version.file_name}", json.dumps(values, indent=1, sort_keys=True).encode())


def remove_version(store: Store, item: Item, version: Version) -> None:
    """Forget a version; its parts stay."""
    store.remove(f"{item.prefix}/{version.file_name}")


def mark(store: Store) -> None:
    """Mark a target as one of kagglerun's, where it is not.

    Raises:
        SyncError: it cannot be written, or is in a format that this version does not know.
    """
    if not is_marked(store):
        store.write(MARK, json.dumps({"format": _FORMAT}).encode())


def is_marked(store: Store) -> bool:
    """Whether a target is one of kagglerun's.

    Raises:
        SyncError: it cannot be read, or is in a format that this version does not know.
    """
    if store.size(MARK) is None:
        return False
    try:
        known = json.loads(store.read(MARK))["format"] == _FORMAT
    except (ValueError, KeyError, TypeError):
        known = False
    if not known:
        raise SyncError(
            f"{store.label}/{MARK} is in a format that this version of kagglerun does not know",
            hint="use the version that pushed there, or another folder",
        )
    return True


def _entry(kind: Kind, values: Mapping[str, Any]) -> FileEntry:
    entry = FileEntry(str(values["path"]), int(values["size"]), str(values["sha256"]), tuple(values["parts"]))
    if not belongs(kind, entry.path):
        raise ValueError(f"{entry.path!r} is not the name of a file of this kind")
    if not all(_SHA256.fullmatch(digest) for digest in (entry.sha256, *entry.parts)):
        raise ValueError(f"{entry.path!r} has a digest that is none")
    if entry.size < 0 or len(entry.parts) != -(-entry.size // PART_BYTES):
        raise ValueError(f"{entry.path!r} has {len(entry.parts)} parts for {entry.size} bytes")
    return entry


def _damaged(store: Store, name: str, error: object) -> ContentDamaged:
    return ContentDamaged(
        f"{store.label}/{name} is damaged: {error}",
        hint=f"push it again from a machine that has it: kagglerun sync push {shlex.quote(store.label)} --verify",
    )

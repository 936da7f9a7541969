"""Parts of files at a target, called by their SHA-256 and never changed once they are there."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from kagglerun.errors import ContentDamaged
from kagglerun.experiment.sync.snapshot import PART_BYTES, FileEntry, read_part
from kagglerun.experiment.sync.store import Store
from kagglerun.files import disk_full_named, sync

_T = TypeVar("_T")
_R = TypeVar("_R")

_LIST_FROM = 200
"""From so many parts on one list of all that are there is quicker than a question for each."""
_ASK_FROM_BYTES = 128 << 10
"""Writing a smaller part takes no longer than asking whether it is there."""


@dataclass(frozen=True)
class Part:
    """A part of a file.

    Attributes:
        entry: the file.
        index: which of its parts.
    """

    entry: FileEntry
    index: int

    @property
    def digest(self) -> str:
        """Hex SHA-256 of its content."""
        return self.entry.parts[self.index]

    @property
    def name(self) -> str:
        """Where it is at a target."""
        return part_name(self.digest)

    @property
    def size(self) -> int:
        """Bytes."""
        return self.entry.part_size(self.index)


def part_name(digest: str) -> str:
    """Where a part is at a target."""
    return f"parts/{digest[:2]}/{digest}"


class Parts:
    """The parts at a target; what was seen or written there once is not asked for again.

    Args:
        store: the target.
        verify: read back those that are there, and count damaged ones as missing.
    """

    def __init__(self, store: Store, verify: bool = False) -> None:
        self._store, self._verify = store, verify
        self._known: set[str] = set()

    def note_there(self, files: Iterable[FileEntry]) -> None:
        """A version at the target names these files, so their parts are there; said again by `verify` alone."""
        if not self._verify:
            self._known |= {digest for entry in files for digest in entry.parts}

    def missing(self, files: Iterable[FileEntry]) -> list[Part]:
        """The parts of files that the target has not, each once; small ones of which that is not known as well."""
        all_parts = (Part(entry, index) for entry in files for index in range(len(entry.parts)))
        unknown = {part.digest: part for part in all_parts if part.digest not in self._known}
        if self._verify:
            self._ask(unknown.values())
        elif len(unknown) >= _LIST_FROM:
            self._known |= _listed(self._store.names("parts"), unknown)
        else:
            self._ask([part for part in unknown.values() if part.size >= _ASK_FROM_BYTES])
        return [part for digest, part in unknown.items() if digest not in self._known]

    def _ask(self, parts: Iterable[Part]) -> None:
        self._known |= {part.digest for part, is_there in _at_once(self._store, self._is_there, parts) if is_there}

    def write(self, folder: Path, parts: Iterable[Part]) -> None:
        """Write parts of files in a folder to the target.

        Raises:
            ChangedUnderWay: a file is not what was read before.
            SyncError: one cannot be written.
        """

        def write(part: Part) -> None:
            self._store.write(part.name, read_part(folder, part.entry, part.index))

        for part, _ in _at_once(self._store, write, parts):
            self._known.add(part.digest)

    def _is_there(self, part: Part) -> bool:
        if self._store.size(part.name) != part.size:
            return False
        return not self._verify or _is(part.digest, self._store.read(part.name))


def read_file(store: Store, entry: FileEntry) -> bytes:
    """The content of a file at a target, checked.

    Raises:
        ContentDamaged: a part is missing or damaged.
    """
    return b"".join(_read(store, Part(entry, index)) for index in range(len(entry.parts)))


def fetch_file(store: Store, entry: FileEntry, path: Path) -> int:
    """Fetch a file, or what is missing of one that was begun; when this returns it is whole and on the disk.

    Returns:
        The bytes that were fetched.

    Raises:
        ContentDamaged: a part is missing or damaged.
        DiskFull: there is no room.
    """
    fetched = 0
    with disk_full_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        with path.open("r+b") as stream:
            for part in (Part(entry, index) for index in range(len(entry.parts))):
                stream.seek(part.index * PART_BYTES)
                if _is(part.digest, stream.read(part.size)):
                    continue
                stream.seek(part.index * PART_BYTES)
                stream.write(_read(store, part))
                fetched += part.size
            stream.truncate(entry.size)
        sync(path)
    return fetched


def fetch_files(store: Store, files: Mapping[Path, FileEntry]) -> int:
    """Fetch several files at the same time; see `fetch_file`.

    Returns:
        The bytes that were fetched.
    """

    def fetch(pair: tuple[Path, FileEntry]) -> int:
        return fetch_file(store, pair[1], pair[0])

    return sum(size for _, size in _at_once(store, fetch, files.items()))


def _read(store: Store, part: Part) -> bytes:
    content = store.read(part.name)
    if not _is(part.digest, content):
        raise ContentDamaged(
            f"{part.entry.path} is damaged at {store.label} ({part.name})",
            hint=f"push it again from a machine that has it: kagglerun sync push {shlex.quote(store.label)} --verify",
        )
    return content


def _is(digest: str, content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == digest


def _listed(names: Mapping[str, int], parts: Mapping[str, Part]) -> set[str]:
    return {digest for digest, part in parts.items() if names.get(part.name) == part.size}


def _at_once(store: Store, action: Callable[[_T], _R], things: Iterable[_T]) -> Iterator[tuple[_T, _R]]:
    """Each thing and what the action gave for it, some at the same time; the first error ends it."""
    with _threads(store.at_once) as pool:
        running = [(thing, pool.submit(action, thing)) for thing in things]
        for thing, future in running:
            yield thing, future.result()


@contextmanager
def _threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """A pool that forgets what has not begun when there was an error."""
    pool = ThreadPoolExecutor(count, thread_name_prefix="sync")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)

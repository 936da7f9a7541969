"""Keeping work in progress on storage that outlives the session, so that another session goes on from there.

    <lasting>/files/<sha256>          each content once
    <lasting>/states/00000012.json    names, sizes and digests of one state of the work; the last two are kept

A state is what a kill at that moment would have left: files that prove others whole are read before those. It is
taken up only when every file in it has its digest: Drive uploads in an order of its own (nothing is synced to a disk
for that reason), so the newest state may lack a file after a disconnect. The one before it then serves; resuming is
exact, so only time is lost.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kagglerun.errors import NotebookError
from kagglerun.files import atomic_path, sha256_of_file, write_bytes, write_json
from kagglerun.paths import Entry

_KEPT_STATES = 2
_TRIES = 5
_SMALL_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 20
_STATE_NAME = "{:08d}.json"
_CHECKPOINT = re.compile(r"\d{8}")
MOUNTS = ("*", "notebooks/*/*", "datasets/*/*")
"""Where Kaggle mounts inputs: by slug, or by kind, owner and slug. Deeper may lie millions of a competition's files."""
_READ_FIRST = ("finalists.json", "trials.jsonl", "status.json", "metrics.json", "pruned.json", "result.json")
"""The later one of these is written, the earlier it is read; what they vouch for is there then, and never changes."""
_LEFT_OUT = ("lock", "token", "workers.json", "live.json")
"""Of the machine, not of the work."""


@dataclass(frozen=True)
class KeptFile:
    """A file in a state: its path in the workspace with forward slashes, its size and its hex digest."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class State:
    """The work as it was at one moment.

    Attributes:
        number: states are counted over all sessions.
        files: by name.
        store: where its files are.
    """

    number: int
    files: tuple[KeptFile, ...]
    store: Store


@dataclass(frozen=True)
class Store:
    """A folder that holds states."""

    folder: Path

    contents = Entry("files")
    """Contents, named by their digests."""
    states = Entry("states")
    """Lists of files, numbered."""

    def content(self, file: KeptFile) -> Path:
        """Where a file's content is."""
        return self.contents / file.sha256

    def read_states(self) -> tuple[State, ...]:
        """Every state that can be read, newest first."""
        found = [self._state(path) for path in self.states.glob("*.json")]
        return tuple(sorted((state for state in found if state), key=lambda state: -state.number))

    def list_file(self, number: int) -> Path:
        """The file that holds a state's list."""
        return self.states / _STATE_NAME.format(number)

    def _state(self, path: Path) -> State | None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            said: dict[str, Any] = json.loads(path.read_text("utf-8"))
            return State(int(said["number"]), tuple(KeptFile(**file) for file in said["files"]), self)
        return None  # cut short by the end of a session


@dataclass(frozen=True)
class TakenUp:
    """What a session goes on from.

    Attributes:
        state: the state.
        damaged: numbers of newer states that were not whole.
    """

    state: State
    damaged: tuple[int, ...]


class Keeper:
    """Copies the work to a store, and back.

    Args:
        root: the workspace.
        kept: the folders in it that are kept.
        store: where to.
        earlier: stores of other sessions, to be read only.
    """

    def __init__(self, root: Path, kept: Sequence[Path], store: Store, earlier: Iterable[Store] = ()) -> None:
        self._root, self._kept, self._store = root, tuple(kept), store
        self._earlier = tuple(earlier)
        self._known: dict[tuple[str, int, int, int], KeptFile] = {}
        self._last: tuple[KeptFile, ...] | None = None

    def save(self) -> int | None:
        """Copy what changed, and write down the state; its list comes last.

        Returns:
            The state's number; None when nothing changed since the last one.

        Raises:
            DiskFull: there is no room; the states before are untouched.
            OSError: the store cannot be written to.
        """
        files = self._copy_all()
        if not files or files == self._last:
            return None
        number = 1 + max((state.number for store in self._stores() for state in store.read_states()), default=0)
        self._write(State(number, files, self._store))
        self._last = files
        self._forget_old()
        return number

    def take_up(self) -> TakenUp | None:
        """Bring the newest state that is whole into the workspace, in which the kept folders must not exist.

        Returns:
            None when there was never one.

        Raises:
            NotebookError: there are states, and none of them is whole.
        """
        states = sorted((state for store in self._stores() for state in store.read_states()), key=lambda s: -s.number)
        damaged: list[int] = []
        for state in states:
            staging = self._root / ".taking-up"
            shutil.rmtree(staging, ignore_errors=True)
            try:
                if all(self._bring(state, file, staging) for file in state.files):
                    self._move_in(staging)
                    self._last = state.files
                    return TakenUp(state, tuple(damaged))
            finally:
                shutil.rmtree(staging, ignore_errors=True)
            damaged.append(state.number)
        if damaged:
            raise NotebookError(
                f"what earlier sessions left in {states[0].store.folder} is damaged: no state is whole",
                hint=f"wait for the upload to end where it comes from, or delete {self._store.folder} to begin anew",
            )
        return None

    def _stores(self) -> tuple[Store, ...]:
        return (self._store, *self._earlier)

    def _copy_all(self) -> tuple[KeptFile, ...]:
        """Copy all files as they are at one moment.

        A file that goes away meanwhile belongs to a later moment: then all is looked at again.
        """
        for _ in range(_TRIES):
            with contextlib.suppress(FileNotFoundError):
                return tuple(sorted((self._copy(path) for path in self._in_order()), key=lambda file: file.name))
        return ()

    def _in_order(self) -> list[Path]:
        found = [path for folder in self._kept for path in files_below(folder)]
        return sorted(found, key=lambda path: (_rank(path), str(path)))

    def _copy(self, path: Path) -> KeptFile:
        name, about = path.relative_to(self._root).as_posix(), path.stat()
        stamp = (name, about.st_ino, about.st_size, about.st_mtime_ns)
        known = self._known.get(stamp)
        if known is None or not self._store.content(known).exists():
            known = self._copy_small(name, path) if about.st_size <= _SMALL_BYTES else self._copy_large(name, path)
            self._known[stamp] = known
        return known

    def _copy_small(self, name: str, path: Path) -> KeptFile:
        content = path.read_bytes()
        file = KeptFile(name, len(content), hashlib.sha256(content).hexdigest())
        if not _has(self._store.content(file), file.bytes):
            write_bytes(self._store.content(file), content, durable=False)
        return file

    def _copy_large(self, name: str, path: Path) -> KeptFile:
        """Read once: the digest is known when the copy is written."""
        arriving = self._store.contents / f"arriving-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
        digest, size = hashlib.sha256(), 0
        with atomic_path(arriving, durable=False) as temporary, path.open("rb") as source, temporary.open("wb") as copy:
            while chunk := source.read(_CHUNK_BYTES):
                digest.update(chunk)
                size += copy.write(chunk)
        file = KeptFile(name, size, digest.hexdigest())
        arriving.replace(self._store.content(file))
        return file

    def _write(self, state: State) -> None:
        files = [asdict(file) for file in state.files]
        write_json(self._store.list_file(state.number), {"number": state.number, "files": files}, durable=False)

    def _forget_old(self) -> None:
        """Delete old states, then contents that no state has."""
        states = self._store.read_states()
        for state in states[_KEPT_STATES:]:
            _delete(self._store.list_file(state.number))
        needed = {file.sha256 for state in states[:_KEPT_STATES] for file in state.files}
        for path in list(self._store.contents.iterdir()):
            if path.name not in needed:
                _delete(path)
        self._known = {stamp: file for stamp, file in self._known.items() if file.sha256 in needed}

    def _bring(self, state: State, file: KeptFile, staging: Path) -> bool:
        """Copy a file from the store; False when it is missing or damaged there."""
        source, target = state.store.content(file), staging / file.name
        if not target.resolve().is_relative_to(staging.resolve()) or not _has(source, file.bytes):
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(source, target)
        except OSError:
            return False
        return sha256_of_file(target) == file.sha256

    def _move_in(self, staging: Path) -> None:
        for folder in self._kept:
            arrived = staging / folder.relative_to(self._root)
            if arrived.exists():
                folder.parent.mkdir(parents=True, exist_ok=True)
                arrived.replace(folder)


def find_stores(folders: Iterable[Path], name: str) -> Iterator[Store]:
    """Stores of a notebook among what Kaggle mounts: outputs of notebooks, or data sets made of them.

    Args:
        folders: where they are mounted.
        name: the name of the notebook's store.
    """
    for folder in folders:
        for mount in MOUNTS:
            for found in sorted(folder.glob(f"{mount}/kagglerun/{name}/states")):
                yield Store(found.parent)


def files_below(folder: Path) -> Iterator[Path]:
    """The files that are kept of a folder: no locks, nothing half-written, and of checkpoints the newest.

    A run may go back to those that stand at an epoch's border; they are kept too.
    """
    for here, folders, files in os.walk(folder):
        folders[:] = _newest_checkpoint(folders) if Path(here).name == "checkpoints" else folders
        for name in files:
            if not name.startswith(".") and name not in _LEFT_OUT:
                yield Path(here) / name


def _newest_checkpoint(folders: list[str]) -> list[str]:
    """Two of them would be twice the upload; what comes next is in the next state, and this one stays in this."""
    numbered = sorted(name for name in folders if _CHECKPOINT.fullmatch(name))
    return [name for name in folders if not name.startswith(".") and name not in numbered[:-1]]


def _rank(path: Path) -> tuple[int, int]:
    if path.name in _READ_FIRST:
        return 0, _READ_FIRST.index(path.name)
    return (1 if path.suffix == ".json" else 2), 0


def _has(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def _delete(path: Path) -> None:
    """Empty a file before it goes: what is deleted in a mounted Drive lies in its bin and takes the user's space."""
    with contextlib.suppress(FileNotFoundError):
        os.truncate(path, 0)
        path.unlink()

"""Where a pulled item is put together, and how it gets to its place.

    .incoming/runs/<slug>/<run id>/files/...   what has come; a part that is whole is not fetched again
    .incoming/runs/<slug>/<run id>/moves.json  written when all has come: what is moved, and what is removed

An item that is new moves with one rename. Files that replace others move one by one; who is killed between two of them
leaves moves.json, and whatever pulls or pushes next finishes it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from kagglerun.errors import JobError
from kagglerun.experiment.exclusive import working_in
from kagglerun.experiment.sync.items import Item, Kind, belongs
from kagglerun.files import read_json, sync, write_json
from kagglerun.workspace import StudyPaths, Workspace

_LAST = ("trials.jsonl", "journal.jsonl", "metrics.json", "status.json")
"""What says that the rest is there moves last."""


class InWork(Exception):
    """Another process works on the item here."""


class Staging:
    """The place in which an item is put together.

    Args:
        workspace: where it will be.
        item: which.
    """

    def __init__(self, workspace: Workspace, item: Item) -> None:
        self._item = item
        self._folder = item.incoming(workspace)
        self._place = item.folder(workspace)
        self.files = self._folder / "files"
        """Where its files are put."""

    @property
    def _moves(self) -> Path:
        return self._folder / "moves.json"

    def keep_only(self, paths: Sequence[str]) -> None:
        """Drop what another attempt left of other files."""
        wanted = {self.files / path for path in paths}
        for path in [path for path in self.files.rglob("*") if path.is_file()]:
            if path not in wanted:
                path.unlink()

    def plan(self, paths: Sequence[str], removed: Sequence[str], is_new: bool) -> None:
        """Write down what is to be moved and removed; from now on it will be, whatever happens."""
        for folder in {path.parent for path in self.files.rglob("*")}:
            sync(folder)
        write_json(self._moves, {"paths": list(paths), "removed": list(removed), "new": is_new})

    def move(self) -> None:
        """Bring the files to their place.

        Raises:
            InWork: another process works there.
        """
        moves = read_json(self._moves)
        paths, removed = (
            [path for path in moves[name] if belongs(self._item.kind, path)] for name in ("paths", "removed")
        )
        with _alone(self._item, self._place):
            if moves["new"]:
                self._move_all()
            for path in sorted(paths, key=lambda path: (_LAST.index(path) + 1 if path in _LAST else 0, path)):
                self._move_one(path)
            for path in removed:
                (self._place / path).unlink(missing_ok=True)
            self._settle_beside(paths)
        self._clear()

    def drop(self) -> None:
        """Forget all that has come."""
        self._clear()

    def _clear(self) -> None:
        """Remove the place, moves.json after what it speaks of."""
        shutil.rmtree(self.files, ignore_errors=True)
        shutil.rmtree(self._folder, ignore_errors=True)
        _remove_empty(self._folder.parent, self._folder.parents[2])

    def _move_all(self) -> None:
        """One rename. It is done already where a kill came right after it."""
        if not self.files.is_dir():
            return
        self._place.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.files.rename(self._place)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            self.drop()
            raise InWork("it has begun here meanwhile") from None
        sync(self._place.parent)

    def _move_one(self, path: str) -> None:
        source, target = self.files / path, self._place / path
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)

    def _settle_beside(self, paths: Sequence[str]) -> None:
        """What this machine noted of files that were replaced does not hold any more."""
        if "journal.jsonl" in paths:
            (self._place / "tracking.json").unlink(missing_ok=True)
        if self._item.kind is Kind.WEIGHTS:
            (self._place / "weights_deleted.json").unlink(missing_ok=True)


def finish_moves(workspace: Workspace) -> None:
    """Finish what a process that was killed had begun to move."""
    for parent in (workspace.incoming_competitions, workspace.incoming_runs, workspace.incoming_studies):
        for moves in sorted(parent.glob("*/*/*/moves.json")):
            kind, slug, name = moves.parent.relative_to(parent).parts
            with contextlib.suppress(InWork):
                Staging(workspace, Item(Kind(kind), slug, name)).move()
        for folder, _, _ in os.walk(parent, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()  # only those that are empty


@contextlib.contextmanager
def _alone(item: Item, place: Path) -> Iterator[None]:
    """Be the one process that works on an item that is here; on one that is not nobody can work.

    Raises:
        InWork: another process does.
    """
    if item.kind is Kind.STUDY:
        with _unlocked(StudyPaths(place).lock):
            yield
    elif item.kind is Kind.COMPETITION or not place.is_dir():
        yield
    else:
        try:
            with working_in(place, f"works on {item}"):
                yield
        except JobError as error:
            raise InWork(error.message) from error


@contextlib.contextmanager
def _unlocked(lock: Path) -> Iterator[None]:
    """Hold the lock of a study's coordinator, where there was one."""
    if not lock.exists():
        yield
        return
    descriptor = os.open(lock, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise InWork(f"a sweep works on the study {lock.parent.name}") from None
    finally:
        os.close(descriptor)


def _remove_empty(folder: Path, last: Path) -> None:
    """Remove folders that are empty, upwards."""
    with contextlib.suppress(OSError):
        while True:
            folder.rmdir()
            if folder == last:
                return
            folder = folder.parent

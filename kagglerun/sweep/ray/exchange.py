"""The coordinator's end of moving files to and from nodes that do not see its workspace.

Before a trial its node gets the competition (once), what there is of the trial's run, and the predictions of the run
that it is compared with. After each fold that fold comes back, at the end the whole run; then the node forgets it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from kagglerun.errors import DataError
from kagglerun.files import atomic_path, sha256_of_file
from kagglerun.kaggle_api.manifest import read_manifest
from kagglerun.sweep.objective import TrialTask
from kagglerun.sweep.ray.files_on_node import FileOfRun, Listed
from kagglerun.workspace import RunPaths, Workspace

Call = Callable[..., Any]
"""Calls a method of the slot: its name and arguments; returns or raises what the method does."""
_PIECE_BYTES = 8 << 20
_FILES_AT_ONCE = 256


class _Gone(Exception):
    """A file that was listed is there no more, e.g. the data of a picture that has been drawn."""


class Exchange:
    """Sends what nodes need and fetches what they made.

    Args:
        workspace: the coordinator's.
        slug: the study's competition.
    """

    def __init__(self, workspace: Workspace, slug: str) -> None:
        self._workspace = workspace
        self._slug = slug
        self._seen: dict[str, dict[str, FileOfRun]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()
        self._competition: tuple[Listed, ...] | None = None

    def send_competition(self, call: Call, node: str) -> None:
        """Send the competition's files; nothing where the node has them. One slot a node does it, others wait.

        Raises:
            DataError: the data is not here, or not as it was fetched.
        """
        with self._lock(f"node {node}"):
            if self._competition is None:
                self._competition = tuple(self._list_competition())
            self._send(call, self._competition)

    def send_task(self, call: Call, task: TrialTask) -> None:
        """Send what there is of a trial's run, and the predictions of those that it is compared with."""
        call("forget_run", self._slug, task.run_id)
        own = self._workspace.run(self._slug, task.run_id)
        with self._lock(task.run_id):
            self._seen.pop(task.run_id, None)
            self._send(call, tuple(self._list(_files_in(own.folder))))
        for run_id in task.rule.runs if task.rule else ():
            compared = self._workspace.run(self._slug, run_id)
            self._send(call, tuple(self._list(_compared_with(compared))))

    def fetch_fold(self, call: Call, run_id: str, fold: int) -> None:
        """Fetch a fold that is done, so that a trial whose node is lost goes on after it."""
        run = self._workspace.run(self._slug, run_id)
        done = self._named(run.fold(fold).folder)
        unfinished = self._named(run.fold(fold).checkpoints)
        top = self._named(run.folder)

        def wanted(file: FileOfRun) -> bool:
            in_fold = file.name.startswith(f"{done}/") and not file.name.startswith(f"{unfinished}/")
            return in_fold or file.name.rpartition("/")[0] == top

        self._fetch(call, run, wanted)

    def fetch_run(self, call: Call, run_id: str) -> None:
        """Fetch all that is new of a run, and have the node forget it."""
        run = self._workspace.run(self._slug, run_id)
        there = self._fetch(call, run, lambda _: True)
        for path in _files_in(run.folder):
            if self._named(path) not in there:
                path.unlink(missing_ok=True)  # e.g. the checkpoints of a fold that is done
        call("forget_run", self._slug, run_id)
        self._seen.pop(run_id, None)

    def _fetch(self, call: Call, run: RunPaths, wanted: Callable[[FileOfRun], bool]) -> set[str]:
        with self._lock(run.run_id):
            there: Sequence[FileOfRun] = call("files_of_run", self._slug, run.run_id)
            seen = self._seen.setdefault(run.run_id, {})
            new = [file for file in there if wanted(file) and seen.get(file.name) != file]
            for file in sorted(new, key=lambda file: (_proves_the_rest(run, self._path(file.name)), file.name)):
                with contextlib.suppress(_Gone):
                    self._fetch_file(call, file)
                    seen[file.name] = file
        return {file.name for file in there}

    def _fetch_file(self, call: Call, file: FileOfRun) -> None:
        with atomic_path(self._path(file.name)) as temporary, temporary.open("wb") as stream:
            for offset in range(0, file.bytes, _PIECE_BYTES):
                piece = call("read", file.name, offset, min(_PIECE_BYTES, file.bytes - offset))
                if piece is None:
                    raise _Gone
                stream.write(piece)

    def _send(self, call: Call, listed: tuple[Listed, ...]) -> None:
        missing = set(call("missing", listed))
        wanted = [entry for entry in listed if entry.name in missing]
        for pieces in self._pieces(wanted):
            call("store", pieces)
        if wanted:
            call("keep", tuple(wanted))

    def _pieces(self, wanted: Iterable[Listed]) -> Iterator[dict[str, tuple[int, bytes]]]:
        """Contents in calls of a few MB: many small files at once, large ones bit by bit."""
        pieces: dict[str, tuple[int, bytes]] = {}
        size = 0
        for entry in wanted:
            for offset in range(0, max(entry.bytes, 1), _PIECE_BYTES):
                with self._path(entry.name).open("rb") as stream:
                    stream.seek(offset)
                    content = stream.read(_PIECE_BYTES)
                if pieces and (size + len(content) > _PIECE_BYTES or len(pieces) >= _FILES_AT_ONCE):
                    yield pieces
                    pieces, size = {}, 0
                pieces[entry.name] = (offset, content)
                size += len(content)
        if pieces:
            yield pieces

    def _list_competition(self) -> Iterator[Listed]:
        paths = self._workspace.competition(self._slug)
        yield from self._list(path for path in (paths.card, paths.hooks) if path.is_file())
        if not paths.manifest.is_file():
            return  # e.g. the objective of a test, which has no data
        data = self._named(paths.data)
        for file in read_manifest(paths).files:
            yield Listed(f"{data}/{file.name}", file.bytes, file.sha256)
        yield from self._list([paths.manifest])

    def _list(self, paths: Iterable[Path]) -> Iterator[Listed]:
        for path in paths:
            yield Listed(self._named(path), path.stat().st_size, sha256_of_file(path))

    def _named(self, path: Path) -> str:
        return path.relative_to(self._workspace.root).as_posix()

    def _path(self, name: str) -> Path:
        path = self._workspace.root / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise DataError(f"{name!r} does not lie in the workspace")
        return path

    @contextlib.contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        with self._guard:
            lock = self._locks.setdefault(name, threading.Lock())
        with lock:
            yield


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".tmp"))


def _compared_with(rival: RunPaths) -> list[Path]:
    """What a trial needs of the run that it is compared with: scores and predictions, not weights or pictures."""
    names = {entry.name for entry in (rival.config, rival.metrics, rival.status, rival.fingerprint, rival.oof)}
    names |= {rival.fold(0).oof.name, rival.fold(0).result.name}
    return [path for path in _files_in(rival.folder) if path.name in names]


def _proves_the_rest(run: RunPaths, path: Path) -> int:
    """Order in which files are written: those that prove others whole come last."""
    last = (run.fold(0).result.name, run.fingerprint.name, run.pruned.name, run.metrics.name, run.status.name)
    return last.index(path.name) + 1 if path.name in last else 0

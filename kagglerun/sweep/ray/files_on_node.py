"""The node's end of moving files between the coordinator's workspace and one of the node's own.

Files are named relative to the workspace, with forward slashes. What arrives lies under another name until its
digest was compared; a competition's manifest becomes valid last, so it proves that the data is whole.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kagglerun.errors import DataError
from kagglerun.files import disk_full_named, sha256_of_file, sync
from kagglerun.workspace import CompetitionPaths, Workspace


@dataclass(frozen=True)
class Listed:
    """A file that a node should have.

    Attributes:
        name: relative to the workspace.
        bytes: its size.
        sha256: hex digest of its content.
    """

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class FileOfRun:
    """A file of a run as it stands on a node; another size or time means another content.

    Attributes:
        name: relative to the workspace.
        bytes: its size.
        changed_ns: when it was written, in nanoseconds of the node's clock.
    """

    name: str
    bytes: int
    changed_ns: int


class FilesOnNode:
    """Takes and gives files of a node's own workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def missing(self, listed: Sequence[Listed]) -> tuple[str, ...]:
        """Names of the files that are not here, or have another content.

        Of a competition whose manifest is here only the sizes are compared: the manifest came last.
        """
        whole = {Path(entry.name).parent for entry in listed if _is_manifest(entry.name) and self._has(entry)}
        return tuple(
            entry.name
            for entry in listed
            if not (self._has_size(entry) if whole & set(Path(entry.name).parents) else self._has(entry))
        )

    def store(self, pieces: Mapping[str, tuple[int, bytes]]) -> None:
        """Write pieces of files (name to offset and bytes) beside where the files will be.

        Raises:
            DiskFull: there is no room.
        """
        for name, (offset, content) in pieces.items():
            path = self._path(name)
            with disk_full_named(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                with _arriving(path).open("wb" if offset == 0 else "r+b") as stream:
                    stream.seek(offset)
                    stream.write(content)

    def keep(self, listed: Sequence[Listed]) -> None:
        """Compare what was stored with its digests and make it valid, manifests last.

        Raises:
            DataError: a file is not what was announced.
        """
        for entry in sorted(listed, key=lambda entry: _is_manifest(entry.name)):
            path = self._path(entry.name)
            arrived = _arriving(path)
            if sha256_of_file(arrived) != entry.sha256:
                arrived.unlink()
                raise DataError(f"{entry.name} is not what its manifest says", hint="kagglerun fetch --verify")
            if _is_manifest(entry.name):
                sync(arrived)
            arrived.replace(path)

    def forget_run(self, slug: str, run_id: str) -> None:
        """Delete this node's copy of a run."""
        shutil.rmtree(self._workspace.run(slug, run_id).folder, ignore_errors=True)

    def files_of_run(self, slug: str, run_id: str) -> tuple[FileOfRun, ...]:
        """All files of a run, without those that are being written."""
        found = []
        for folder, _, names in os.walk(self._workspace.run(slug, run_id).folder):
            for path in (Path(folder) / name for name in names if not name.endswith(".tmp")):
                with contextlib.suppress(FileNotFoundError):  # pictures may be drawn at this moment
                    stat = path.stat()
                    name = path.relative_to(self._workspace.root).as_posix()
                    found.append(FileOfRun(name, stat.st_size, stat.st_mtime_ns))
        return tuple(sorted(found, key=lambda file: file.name))

    def read(self, name: str, offset: int, size: int) -> bytes | None:
        """A piece of a file; None when it is gone by now."""
        try:
            with self._path(name).open("rb") as stream:
                stream.seek(offset)
                return stream.read(size)
        except FileNotFoundError:
            return None

    def _path(self, name: str) -> Path:
        path = self._workspace.root / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise DataError(f"{name!r} does not lie in the workspace")
        return path

    def _has_size(self, entry: Listed) -> bool:
        path = self._path(entry.name)
        return path.is_file() and path.stat().st_size == entry.bytes

    def _has(self, entry: Listed) -> bool:
        return self._has_size(entry) and sha256_of_file(self._path(entry.name)) == entry.sha256


def _is_manifest(name: str) -> bool:
    return Path(name).name == CompetitionPaths(Path()).manifest.name


def _arriving(path: Path) -> Path:
    return path.parent / f".{path.name[:80]}.{os.getpid()}.tmp"

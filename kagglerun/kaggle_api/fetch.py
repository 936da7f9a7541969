"""Fetching a competition's files: resumable, verified, unpacked safely, moved into place in one step.

    .download/bundle.part        the archive while it arrives      bundle.json   what it is part of
    .download/unpacked/          what becomes data/                replaced/     what was data/

data/ appears only when it is whole, with its manifest in it. A kill at any point leaves the old data or nothing,
and the next fetch goes on from there.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kagglerun.errors import ConnectionFailed, DataError
from kagglerun.files import disk_full_named, read_json, sha256_of_file, write_json
from kagglerun.kaggle_api.client import KaggleClient
from kagglerun.kaggle_api.manifest import (
    Manifest,
    ManifestFile,
    missing_or_resized,
    read_manifest,
    verify,
    write_manifest,
)
from kagglerun.kaggle_api.records import RemoteFile
from kagglerun.kaggle_api.transport import Download, Partial
from kagglerun.kaggle_api.unpack import Progress as UnpackProgress
from kagglerun.kaggle_api.unpack import in_units, names_in, require_room, unpack
from kagglerun.workspace import CompetitionPaths

__all__ = ["Manifest", "ManifestFile", "fetch_files", "is_fetched", "read_manifest", "verify"]

_TRIES_WITHOUT_PROGRESS = 4
_LISTED_FILES = 2000
"""Enough of the server's list to know the room needed and to notice a file that is missing."""


class FetchProgress(Protocol):
    """Told how a fetch goes on."""

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Take note.

        Args:
            stage: "download" or "unpack".
            done: bytes so far.
            total: bytes in all; None when not known.
        """


@dataclass(frozen=True)
class _Staging:
    """Names inside the folder for what is on its way."""

    folder: Path

    @property
    def part(self) -> Path:
        return self.folder / "bundle.part"

    @property
    def part_of(self) -> Path:
        return self.folder / "bundle.json"

    @property
    def unpacked(self) -> Path:
        return self.folder / "unpacked"

    @property
    def replaced(self) -> Path:
        return self.folder / "replaced"

    @property
    def lock(self) -> Path:
        return self.folder / "lock"


def is_fetched(paths: CompetitionPaths) -> bool:
    """Whether data/ holds every file of its manifest, by name and size."""
    try:
        return missing_or_resized(paths.data, read_manifest(paths)) is None
    except DataError:
        return False


def fetch_files(
    client: KaggleClient,
    paths: CompetitionPaths,
    slug: str,
    *,
    progress: FetchProgress | None = None,
    force: bool = False,
) -> Manifest:
    """Download, verify and unpack a competition's files into data/; a second call downloads nothing.

    Args:
        client: Kaggle or the practice server.
        paths: the competition's files.
        slug: the competition.
        progress: told how far it is.
        force: fetch again even when the files are there.

    Returns:
        The manifest of what is in data/.

    Raises:
        KaggleError: RulesNotAccepted, CompetitionNotFound, ConnectionFailed ...
        DataError: the archive is damaged.
        DiskFull: there is not enough room; data/ is as it was.
    """
    if not force and is_fetched(paths) and not paths.downloads.exists():
        return read_manifest(paths)
    with _alone(paths) as staging:
        _finish_replacing(staging, paths)
        if not force and is_fetched(paths):
            return _forget(staging, paths)
        listed = client.files(slug, at_most=_LISTED_FILES)
        file_name = _download(client, slug, staging, sum(file.bytes for file in listed), progress)
        files = _unpack(staging, slug, file_name, listed, progress)
        write_manifest(staging.unpacked / paths.manifest.name, Manifest(client.source, tuple(files)))
        _replace_data(staging, paths)
        return read_manifest(paths)


def _forget(staging: _Staging, paths: CompetitionPaths) -> Manifest:
    """Drop what a fetch that nobody needs any more left behind."""
    shutil.rmtree(staging.unpacked, ignore_errors=True)
    staging.part.unlink(missing_ok=True)
    return read_manifest(paths)


@contextmanager
def _alone(paths: CompetitionPaths) -> Iterator[_Staging]:
    """Hold the competition's staging folder; it is gone afterwards unless a download can go on in it."""
    if paths.data.is_symlink():
        # data/ is replaced by a rename, which would leave the link's target behind.
        raise DataError(f"{paths.data} is a link", hint=f"make {paths.folder} the link to your other disk instead")
    staging = _Staging(paths.downloads)
    with disk_full_named(staging.folder):
        staging.folder.mkdir(parents=True, exist_ok=True)
        held = staging.lock.open("a")
    with held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            alone = os.fstat(held.fileno()).st_nlink > 0  # else the one before just removed the folder
        except BlockingIOError:
            alone = False
        if not alone:
            raise DataError(f"{paths.slug} is being fetched right now", hint="wait until it is done")
        try:
            yield staging
        finally:
            if not staging.part.exists() and not staging.replaced.exists():
                shutil.rmtree(staging.folder, ignore_errors=True)
                _remove_if_empty(paths.folder)


def _remove_if_empty(folder: Path) -> None:
    """Tidy up; a folder that is not empty, a mounted disk or a link stays."""
    with suppress(OSError):
        folder.rmdir()


def _download(
    client: KaggleClient, slug: str, staging: _Staging, listed_bytes: int, progress: FetchProgress | None
) -> str:
    """Bring the archive to `staging.part`, going on from what is there. Returns the file's name at the server."""
    tries, most = 0, _size(staging.part)
    while True:
        try:
            with client.open_bundle(slug, _partial(staging)) as download:
                _require_room(staging, slug, download, listed_bytes)
                _receive(download, staging, progress)
                return download.file_name
        except ConnectionFailed as error:
            tries = 0 if _size(staging.part) > most else tries + 1
            most = max(most, _size(staging.part))
            if tries >= _TRIES_WITHOUT_PROGRESS:
                raise _broken_off(error, staging, slug) from None
            time.sleep(0.5 * 2.0**tries)


def _broken_off(error: ConnectionFailed, staging: _Staging, slug: str) -> ConnectionFailed:
    have = _size(staging.part)
    if not have:
        return error
    return ConnectionFailed(
        f"{error.message}; {in_units(have)} of {slug} have arrived and are kept",
        hint="run the same command again: it goes on from there",
    )


def _require_room(staging: _Staging, slug: str, download: Download, listed_bytes: int) -> None:
    """Room for what is still to come and for the files that will be unpacked from it."""
    to_come = (download.total or 0) - download.offset
    require_room(staging.folder.parent, to_come + max(listed_bytes, download.total or 0), f"fetching {slug}")


def _receive(download: Download, staging: _Staging, progress: FetchProgress | None) -> None:
    """Append to the part file what comes.

    Raises:
        ConnectionFailed: fewer bytes came than announced.
    """
    with disk_full_named(staging.part):
        if download.offset == 0:
            staging.part.unlink(missing_ok=True)
            write_json(staging.part_of, {"validator": download.validator, "total": download.total})
        done = download.offset
        with staging.part.open("ab") as sink:
            for chunk in download.chunks():
                sink.write(chunk)
                done += len(chunk)
                if progress:
                    progress("download", done, download.total)
    if download.total is not None and done != download.total:
        raise ConnectionFailed(f"the connection broke off after {done} of {download.total} bytes")


def _partial(staging: _Staging) -> Partial | None:
    """What an earlier download left, when it is known what it is part of."""
    try:
        said = read_json(staging.part_of)
        have = staging.part.stat().st_size
        return Partial(have, said["validator"], said["total"]) if said["validator"] and have else None
    except (OSError, json.JSONDecodeError, KeyError, TypeError):
        return None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _unpack(
    staging: _Staging, slug: str, file_name: str, listed: tuple[RemoteFile, ...], progress: FetchProgress | None
) -> list[ManifestFile]:
    """Unpack what arrived; a damaged archive is thrown away, since going on from it would not mend it."""
    shutil.rmtree(staging.unpacked, ignore_errors=True)
    try:
        if not zipfile.is_zipfile(staging.part) and len(listed) == 1 and listed[0].bytes == _size(staging.part):
            return [_take_single(staging, file_name or listed[0].name)]
        _require_all(listed, staging.part)
        return unpack(staging.part, staging.unpacked, _unpack_progress(progress))
    except DataError as error:
        staging.part.unlink(missing_ok=True)
        staging.part_of.unlink(missing_ok=True)
        shutil.rmtree(staging.unpacked, ignore_errors=True)
        raise DataError(
            f"the archive of {slug} cannot be used: {error.message.replace(staging.part.name, 'it')}",
            hint="run the same command again; it is downloaded afresh",
        ) from None
    except BaseException:  # a full disk, Ctrl-C: give the room back, keep the archive
        shutil.rmtree(staging.unpacked, ignore_errors=True)
        raise


def _take_single(staging: _Staging, name: str) -> ManifestFile:
    """A competition with one file may serve it as it is, without an archive around it."""
    staging.unpacked.mkdir()
    file = staging.part.rename(staging.unpacked / Path(name).name)
    return ManifestFile(file.name, file.stat().st_size, sha256_of_file(file))


def _unpack_progress(progress: FetchProgress | None) -> UnpackProgress | None:
    return None if progress is None else lambda done, total: progress("unpack", done, total)


def _require_all(listed: tuple[RemoteFile, ...], archive: Path) -> None:
    """Every listed file must have come. Sizes are not compared: a list may give those of packed files."""
    have = {part for name in names_in(archive) for part in (name, name.rsplit("/", 1)[-1])}
    missing = [file.name for file in listed if file.name not in have]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(f"it lacks {missing[0]}{others} of the competition's file list")


def _replace_data(staging: _Staging, paths: CompetitionPaths) -> None:
    """Put the unpacked folder in the place of data/."""
    staging.part.unlink(missing_ok=True)
    staging.part_of.unlink(missing_ok=True)
    if paths.data.exists():
        paths.data.rename(staging.replaced)
    staging.unpacked.rename(paths.data)
    _finish_replacing(staging, paths)


def _finish_replacing(staging: _Staging, paths: CompetitionPaths) -> None:
    """Finish, or take back, a replacement that was interrupted. What the user put into data/ is kept."""
    if not staging.replaced.exists():
        return
    if not paths.data.exists():
        staging.replaced.rename(paths.data)
        return
    _keep_own_files(staging.replaced, paths)
    shutil.rmtree(staging.replaced)


def _keep_own_files(replaced: Path, paths: CompetitionPaths) -> None:
    """Move over files that no fetch brought, where no fetched file has their name."""
    try:
        said = read_json(replaced / paths.manifest.name)
        fetched = {file["name"] for file in said["files"]} | {paths.manifest.name}
    except (OSError, ValueError, KeyError, TypeError):
        fetched = {paths.manifest.name}
    for path in sorted(replaced.rglob("*")):
        name = path.relative_to(replaced).as_posix()
        target = paths.data / name
        if path.is_dir() or name in fetched or target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)

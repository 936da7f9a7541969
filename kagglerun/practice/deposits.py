"""Data sets and models that users keep on the server: folders of files in numbered versions, each never changed."""

from __future__ import annotations

import json
import shutil
import tarfile
import uuid
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any

from kagglerun.practice.database import Database
from kagglerun.practice.paths import PracticePaths
from kagglerun.practice.wire import ApiError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS deposits (
    kind TEXT NOT NULL, ref TEXT NOT NULL, number INTEGER NOT NULL, about TEXT NOT NULL, files TEXT NOT NULL,
    time TEXT NOT NULL, PRIMARY KEY (kind, ref, number)
);
"""
_ARCHIVES = (".zip", ".tar", ".tar.gz")
"""Folders come packed so from the official client, and Kaggle unpacks them."""


class Kind(StrEnum):
    """What a deposit is."""

    DATA_SET = "dataset"
    MODEL = "model"
    """A model's card alone; its files are in its instances."""
    INSTANCE = "instance"
    """A model's files for one framework: owner/model/framework/instance."""


@dataclass(frozen=True)
class DepositedFile:
    """A file in a deposit: its path with forward slashes, and its size."""

    name: str
    bytes: int


@dataclass(frozen=True)
class Deposit:
    """One version of a data set or of a model.

    Attributes:
        kind: what it is.
        ref: owner/slug; of a model's instance owner/model/framework/instance.
        number: the version, counted from 1.
        about: title, subtitle and the like, as they were sent.
        files: by name.
        time: when it came.
    """

    kind: Kind
    ref: str
    number: int
    about: Mapping[str, Any]
    files: tuple[DepositedFile, ...]
    time: datetime

    @property
    def owner(self) -> str:
        """Who it belongs to."""
        return self.ref.split("/")[0]

    @property
    def slug(self) -> str:
        """The last part of its name."""
        return self.ref.split("/")[-1]


@dataclass(frozen=True)
class Arrived:
    """A file that was uploaded and shall become a part of a deposit.

    Attributes:
        folder: where in the deposit, "" for its top.
        name: its name.
        path: where it is now.
    """

    folder: str
    name: str
    path: Path


class Deposits(Database):
    """All data sets and models.

    Args:
        paths: where they are.
    """

    schema = _SCHEMA

    def __init__(self, paths: PracticePaths) -> None:
        super().__init__(paths.database)
        self._paths = paths

    def add(self, kind: Kind, ref: str, about: Mapping[str, Any], files: Iterable[Arrived], now: datetime) -> Deposit:
        """Add the next version. It is there whole or not at all.

        Raises:
            ApiError: 400 when a file has a name that cannot be, or an archive cannot be unpacked.
        """
        staging = self._paths.deposits / f".{uuid.uuid4().hex}.tmp"
        staging.mkdir(parents=True)
        try:
            for file in files:
                _place(file, staging)
            listed = list_folder(staging)
            said = json.dumps([(file.name, file.bytes) for file in listed])
            with self.transaction() as database:
                newest = database.execute(
                    "SELECT MAX(number) FROM deposits WHERE kind = ? AND ref = ?", (kind, ref)
                ).fetchone()[0]
                number = (newest or 0) + 1
                self._move(staging, kind, ref, number)
                database.execute(
                    "INSERT INTO deposits VALUES (?, ?, ?, ?, ?, ?)",
                    (kind, ref, number, json.dumps(dict(about)), said, now.astimezone(UTC).isoformat()),
                )
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return Deposit(kind, ref, number, about, listed, now)

    def _move(self, staging: Path, kind: Kind, ref: str, number: int) -> None:
        folder = self._paths.deposit(kind, ref, number)
        shutil.rmtree(folder, ignore_errors=True)  # of a server that was killed before it wrote this version down
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging.rename(folder)

    def folder(self, deposit: Deposit) -> Path:
        """The folder with a deposit's files."""
        return self._paths.deposit(deposit.kind, deposit.ref, deposit.number)

    def versions(self, kind: Kind, ref: str) -> list[Deposit]:
        """All versions, the newest first."""
        return self._select("kind = ? AND ref = ? ORDER BY number DESC", (kind, ref))

    def find(self, kind: Kind, ref: str, number: int | None = None) -> Deposit | None:
        """A version, the newest where none is named."""
        return next((one for one in self.versions(kind, ref) if number in (None, 0, one.number)), None)

    def newest(self, kind: Kind) -> list[Deposit]:
        """The newest version of each, the latest first."""
        found: dict[str, Deposit] = {}
        for one in self._select("kind = ? ORDER BY time DESC, number DESC", (kind,)):
            found.setdefault(one.ref, one)
        return list(found.values())

    def remove(self, kind: Kind, ref: str) -> bool:
        """Remove all versions. Returns whether there were any."""
        found = self.versions(kind, ref)
        with self.transaction() as database:
            database.execute("DELETE FROM deposits WHERE kind = ? AND ref = ?", (kind, ref))
        for one in found:
            shutil.rmtree(self.folder(one), ignore_errors=True)
        return bool(found)

    def _select(self, where: str, values: tuple[object, ...]) -> list[Deposit]:
        with self.connection() as database:
            rows = database.execute(f"SELECT * FROM deposits WHERE {where}", values).fetchall()  # noqa: S608
        return [
            Deposit(
                kind=Kind(row["kind"]),
                ref=row["ref"],
                number=row["number"],
                about=json.loads(row["about"]),
                files=tuple(DepositedFile(*file) for file in json.loads(row["files"])),
                time=datetime.fromisoformat(row["time"]),
            )
            for row in rows
        ]


def list_folder(folder: Path) -> tuple[DepositedFile, ...]:
    """The files below a folder, sorted by name."""
    found = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return tuple(
        sorted(
            (DepositedFile(path.relative_to(folder).as_posix(), path.stat().st_size) for path in found),
            key=lambda file: file.name,
        )
    )


def _place(file: Arrived, staging: Path) -> None:
    """Put an uploaded file where it belongs; archives are unpacked into a folder of their name, as Kaggle does."""
    inside = PurePosixPath(file.folder, file.name)
    if not file.name or inside.is_absolute() or ".." in inside.parts or "/" in file.name or "\\" in file.name:
        raise ApiError(400, f"{file.name!r} is not a file name")
    target = staging / inside
    target.parent.mkdir(parents=True, exist_ok=True)
    suffix = next((ending for ending in _ARCHIVES if file.name.lower().endswith(ending)), None)
    if suffix is None:
        shutil.copyfile(file.path, target)
        return
    try:
        _unpack(file.path, target.with_name(file.name[: -len(suffix)]))
    except (zipfile.BadZipFile, tarfile.TarError, OSError) as error:
        raise ApiError(400, f"{file.name} could not be unpacked: {type(error).__name__}") from error


def _unpack(archive: Path, folder: Path) -> None:
    """Both libraries keep names that lead out of the folder from being written there."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(folder)  # noqa: S202
        return
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")

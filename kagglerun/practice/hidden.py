"""A competition's files as notebooks find them: with the test rows that all see, or the hidden ones in their place."""

from __future__ import annotations

import os
import shutil
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from kagglerun.practice.competitions import Hosted


def mounted(hosted: Hosted, *, hidden: bool) -> Path:
    """The folder with a competition's files, unpacked when it is first asked for.

    Args:
        hosted: the competition.
        hidden: with the hidden test set; one that has none shows what all see.
    """
    shown = _folder(hosted, "shown")
    if not shown.is_dir():
        _unpack(shown, lambda folder: _extract(hosted.paths.bundle, folder))
    if not hidden or not hosted.paths.hidden.is_file():
        return shown
    place = _folder(hosted, "hidden")
    if not place.is_dir():
        _unpack(place, lambda folder: _with_hidden_test(shown, hosted.paths.hidden, folder))
    return place


def _folder(hosted: Hosted, name: str) -> Path:
    return hosted.paths.mounts / f"{name}-{hosted.definition.bundle_sha256[:16]}"


def _unpack(place: Path, fill: Callable[[Path], None]) -> None:
    """Fill a folder that appears in one step."""
    place.parent.mkdir(parents=True, exist_ok=True)
    staging = place.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        staging.mkdir()
        fill(staging)
        if not place.is_dir():
            staging.rename(place)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _extract(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)


def _with_hidden_test(shown: Path, hidden: Path, folder: Path) -> None:
    """Training files are the same ones (hard links); those of the test set come from the hidden archive."""
    with zipfile.ZipFile(hidden) as packed:
        tests = {PurePosixPath(name).parts[0] for name in packed.namelist()}
        packed.extractall(folder)
    for path in shown.rglob("*"):
        name = path.relative_to(shown)
        if path.is_file() and name.parts[0] not in tests:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(path, folder / name)

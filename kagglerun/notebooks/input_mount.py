"""A competition's files where Kaggle mounts them, used without a download."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kagglerun.files import sha256_of_file
from kagglerun.kaggle_api.manifest import Manifest, ManifestFile, missing_or_resized, read_manifest, write_manifest
from kagglerun.workspace import CompetitionPaths

_READ_BYTES = 1 << 30
"""So much is read again to be compared with its digests, the smallest files first; the rest is compared by size."""
_THREADS = 8


def find_mount(inputs: Path | None, slug: str) -> Path | None:
    """The folder with the competition's files: input/<slug>, or input/competitions/<slug>; None where there is none."""
    if inputs is None:
        return None
    places = (inputs / slug, inputs / "competitions" / slug)
    return next((place for place in places if place.is_dir() and any(place.iterdir())), None)


def use_mount(mount: Path, carried: CompetitionPaths, paths: CompetitionPaths) -> bool:
    """Make data/ of links to the mounted files, with the manifest that is known from home or, without one, their own.

    Args:
        mount: the mounted folder.
        carried: what the notebook brings of the competition; the manifest may be missing.
        paths: the competition's files.

    Returns:
        False when the mounted files are not those of the manifest: archives that are unpacked at home may be packed
        there. Nothing is put into data/ then.
    """
    manifest = read_manifest(carried) if carried.manifest.exists() else _manifest_of(mount)
    if missing_or_resized(mount, manifest) is not None or not _contents_agree(mount, manifest.files):
        return False
    for file in manifest.files:
        link = paths.data / file.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(mount / file.name)
    write_manifest(paths.manifest, manifest)
    return True


def _manifest_of(mount: Path) -> Manifest:
    """The manifest of files of which nothing is known; all of them are read."""
    found = sorted(path for path in mount.rglob("*") if path.is_file())
    with ThreadPoolExecutor(_THREADS) as pool:
        digests = list(pool.map(sha256_of_file, found))
    files = [
        ManifestFile(path.relative_to(mount).as_posix(), path.stat().st_size, digest)
        for path, digest in zip(found, digests, strict=True)
    ]
    return Manifest("kaggle", tuple(sorted(files)))


def _contents_agree(mount: Path, files: Iterable[ManifestFile]) -> bool:
    chosen, read = [], 0
    for file in sorted(files, key=lambda file: file.bytes):
        read += file.bytes
        if read > _READ_BYTES:
            break
        chosen.append(file)
    with ThreadPoolExecutor(_THREADS) as pool:
        return all(pool.map(lambda file: sha256_of_file(mount / file.name) == file.sha256, chosen))

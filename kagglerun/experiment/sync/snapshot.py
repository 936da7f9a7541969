"""An item as it stands in the workspace: its files, each cut into parts that are called by their digests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kagglerun.experiment.sync.items import Item, Kind, files_of
from kagglerun.files import sha256_of_json

PART_BYTES = 16 << 20
"""A file larger than this goes in several parts, so that what a broken connection costs stays small."""
_BLOCK_BYTES = 1 << 20

Signature = tuple[tuple[str, int, int, int, int], ...]
"""Name, inode, bytes, and the times in ns at which content and inode changed last, of each file."""


class ChangedUnderWay(Exception):
    """A file changed while it was read."""


@dataclass(frozen=True)
class FileEntry:
    """One file.

    Attributes:
        path: relative to the item's folder, with slashes.
        size: bytes.
        sha256: hex digest of the whole.
        parts: hex digests of its parts, in order; each but the last is PART_BYTES long.
    """

    path: str
    size: int
    sha256: str
    parts: tuple[str, ...]

    def part_size(self, index: int) -> int:
        """Bytes of a part."""
        return min(PART_BYTES, self.size - index * PART_BYTES)


@dataclass(frozen=True)
class Snapshot:
    """An item as it stood at one moment.

    Attributes:
        item: which.
        folder: where it stands.
        signature: of its files, taken before they were read.
        files: by path.
    """

    item: Item
    folder: Path
    signature: Signature
    files: tuple[FileEntry, ...]

    @property
    def digest(self) -> str:
        """See `digest_of`."""
        return digest_of(self.files)


def digest_of(files: Iterable[FileEntry]) -> str:
    """Hex digest of names and contents, independent of the machine and the time."""
    return sha256_of_json(sorted([entry.path, entry.size, entry.sha256] for entry in files))[:32]


def sign(item: Item, folder: Path) -> Signature:
    """What changes whenever a file of the item does; empty where it has none."""
    if not folder.is_dir():
        return ()
    signed = []
    for name, path in files_of(item.kind, folder):
        try:
            known = path.stat()
        except FileNotFoundError:
            continue  # it went between the two
        signed.append((name, known.st_ino, known.st_size, known.st_mtime_ns, known.st_ctime_ns))
    return tuple(signed)


def take(item: Item, folder: Path) -> Snapshot:
    """Read an item.

    A file that only grows is taken up to the end of its last whole line.

    Raises:
        ChangedUnderWay: a file came, went or changed meanwhile, other than by growing.
    """
    signature = sign(item, folder)
    files = []
    for name, *_ in signature:
        try:
            files.append(read_entry(folder / name, name, grows(item.kind, name)))
        except FileNotFoundError:
            raise ChangedUnderWay(name) from None
    if _apart_from_growing(item, sign(item, folder)) != _apart_from_growing(item, signature):
        raise ChangedUnderWay(str(item))
    return Snapshot(item, folder, signature, tuple(files))


def grows(kind: Kind, name: str) -> bool:
    """Whether lines are appended to the file while it is in use."""
    return kind in (Kind.RUN, Kind.STUDY) and name.endswith(".jsonl")


def read_entry(path: Path, name: str, whole_lines: bool = False) -> FileEntry:
    """Size and digests of a file, read in blocks.

    Args:
        path: the file.
        name: what it is called within its item.
        whole_lines: leave out what follows the last newline.
    """
    left = size = _whole_lines_bytes(path) if whole_lines else path.stat().st_size
    whole, parts = hashlib.sha256(), []
    with path.open("rb") as stream:
        while left > 0:
            part = hashlib.sha256()
            wanted = min(PART_BYTES, left)
            while wanted > 0:
                block = stream.read(min(_BLOCK_BYTES, wanted))
                if not block:
                    raise ChangedUnderWay(name)
                whole.update(block)
                part.update(block)
                wanted -= len(block)
                left -= len(block)
            parts.append(part.hexdigest())
    return FileEntry(name, size, whole.hexdigest(), tuple(parts))


def read_part(folder: Path, entry: FileEntry, index: int) -> bytes:
    """One part of a file.

    Raises:
        ChangedUnderWay: it is not what was read before.
    """
    try:
        with (folder / entry.path).open("rb") as stream:
            stream.seek(index * PART_BYTES)
            content = stream.read(entry.part_size(index))
    except FileNotFoundError:
        raise ChangedUnderWay(entry.path) from None
    if hashlib.sha256(content).hexdigest() != entry.parts[index]:
        raise ChangedUnderWay(entry.path)
    return content


def starts_with(path: Path, entry: FileEntry) -> bool:
    """Whether a file begins with the content of another one, which may be all of it."""
    digest, left = hashlib.sha256(), entry.size
    with path.open("rb") as stream:
        while left > 0 and (block := stream.read(min(_BLOCK_BYTES, left))):
            digest.update(block)
            left -= len(block)
    return left == 0 and digest.hexdigest() == entry.sha256


def by_path(files: Sequence[FileEntry]) -> dict[str, FileEntry]:
    """The files by their paths."""
    return {entry.path: entry for entry in files}


def _whole_lines_bytes(path: Path) -> int:
    with path.open("rb") as stream:
        end = stream.seek(0, 2)
        while end > 0:
            begin = max(0, end - _BLOCK_BYTES)
            stream.seek(begin)
            newline = stream.read(end - begin).rfind(b"\n")
            if newline >= 0:
                return begin + newline + 1
            end = begin
    return 0


def _apart_from_growing(item: Item, signature: Signature) -> tuple[tuple[object, ...], ...]:
    """The signature without times and sizes of files that grow: what was read of them stays as it is."""
    return tuple(signed[:2] if grows(item.kind, signed[0]) else signed for signed in signature)

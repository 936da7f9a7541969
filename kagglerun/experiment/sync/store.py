"""Where things are kept: named contents of some megabytes, each whole or not there."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Protocol

from kagglerun.errors import ContentDamaged, SyncError, TargetUnreachable
from kagglerun.files import write_bytes

_AWAY = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN, errno.ENODEV, errno.ENXIO)
"""What a network drive or a disk that was pulled out says."""


class Store(Protocol):
    """A target. Names have slashes; a content is seen whole or not at all. It may be used by several threads."""

    label: str
    """What people call it; without credentials."""
    at_once: int
    """How many requests it takes well at the same time."""

    def names(self, folder: str) -> dict[str, int]:
        """Every content below a folder, by name, with its bytes; nothing where the folder is not there.

        Raises:
            SyncError: it cannot be listed.
        """

    def size(self, name: str) -> int | None:
        """Bytes of a content; None where there is none.

        Raises:
            SyncError: that cannot be told.
        """

    def read(self, name: str) -> bytes:
        """A content.

        Raises:
            ContentDamaged: it is not there.
            SyncError: it cannot be read.
        """

    def write(self, name: str, content: bytes) -> None:
        """Write a content in one step.

        Raises:
            SyncError: it cannot be written.
        """

    def remove(self, name: str) -> None:
        """Remove a content; one that is not there is no error.

        Raises:
            SyncError: it cannot be removed.
        """

    def close(self) -> None:
        """Let go of connections."""


class FolderStore:
    """A folder of this machine: another disk, a network drive.

    Args:
        folder: made when something is written.
    """

    def __init__(self, folder: Path) -> None:
        self.label = str(folder)
        self.at_once = 4
        self._folder = folder

    def names(self, folder: str) -> dict[str, int]:
        """See `Store`."""
        found: dict[str, int] = {}
        waiting = [folder]
        while waiting:
            name = waiting.pop()
            try:
                entries = list(os.scandir(self._folder / name))
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise self._failed(name, error) from error
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{name}/{entry.name}")
                elif entry.is_file() and not entry.name.startswith("."):
                    found[f"{name}/{entry.name}"] = entry.stat().st_size
        return found

    def size(self, name: str) -> int | None:
        """See `Store`."""
        try:
            return (self._folder / name).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._failed(name, error) from error

    def read(self, name: str) -> bytes:
        """See `Store`."""
        try:
            return (self._folder / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ContentDamaged(f"{self.label}/{name} is not there") from error
        except OSError as error:
            raise self._failed(name, error) from error

    def write(self, name: str, content: bytes) -> None:
        """See `Store`.

        Raises:
            DiskFull: there is no room.
        """
        try:
            write_bytes(self._folder / name, content)
        except OSError as error:
            raise self._failed(name, error) from error

    def remove(self, name: str) -> None:
        """See `Store`."""
        try:
            (self._folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise self._failed(name, error) from error

    def close(self) -> None:
        """Nothing is open."""

    def _failed(self, name: str, error: OSError) -> SyncError:
        kind = TargetUnreachable if error.errno in _AWAY else SyncError
        return kind(f"{self._folder / name}: {error.strerror or error}", hint="is the disk there, and yours?")

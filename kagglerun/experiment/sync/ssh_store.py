"""A folder of another machine, by ssh."""

from __future__ import annotations

import posixpath
import threading
import uuid
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import quote

from kagglerun.errors import ContentDamaged, SyncError, TargetUnreachable
from kagglerun.experiment.sync.sftp import Attributes, Sftp, SftpError, SftpLost

_T = TypeVar("_T")

_CONNECT_SECONDS = 20
_QUIET_SECONDS = 15
_MOST_QUIET = 4
"""A connection that says nothing for a minute is given up."""


class SshStore:
    """A folder of another machine; a content is written beside its name and then renamed.

    Args:
        host: name, address or alias of `~/.ssh/config`, with `user@` before it where wanted.
        port: None for the usual one.
        folder: absolute, or relative to the home folder.

    Raises:
        TargetUnreachable: there is no connection.
    """

    def __init__(self, host: str, port: int | None, folder: str) -> None:
        shown = quote(folder if folder.startswith("/") else f"/~/{folder}", safe="/~")
        self.label = f"ssh://{host}{f':{port}' if port else ''}{shown}"
        self.at_once = 1
        self._folder = folder or "."
        self._command = ssh_command(host, port)
        self._lock = threading.Lock()
        self._made: set[str] = set()
        self._connection: Sftp | None = None

    def names(self, folder: str) -> dict[str, int]:
        """See `Store`."""
        found: dict[str, int] = {}
        waiting = [folder]
        while waiting:
            name = waiting.pop()
            for entry, about in self._listed(name):
                if about.is_folder and entry not in (".", ".."):
                    waiting.append(f"{name}/{entry}")
                elif about.is_file and not entry.startswith("."):
                    found[f"{name}/{entry}"] = about.size
        return found

    def size(self, name: str) -> int | None:
        """See `Store`."""
        try:
            return self._asked(lambda sftp: sftp.stat(self._path(name)).size, name)
        except FileNotFoundError:
            return None

    def read(self, name: str) -> bytes:
        """See `Store`."""
        try:
            return self._asked(lambda sftp: sftp.read(self._path(name)), name)
        except FileNotFoundError as error:
            raise ContentDamaged(f"{self.label}/{name} is not there") from error

    def write(self, name: str, content: bytes) -> None:
        """See `Store`."""

        def write(sftp: Sftp) -> None:
            path = self._path(name)
            self._make_folder(sftp, posixpath.dirname(path))
            temporary = posixpath.join(posixpath.dirname(path), f".{uuid.uuid4().hex[:12]}.tmp")
            sftp.write(temporary, content)
            sftp.replace(temporary, path)

        try:
            self._asked(write, name)
        except FileNotFoundError as error:
            self._made.clear()  # somebody removed a folder that was there
            raise SyncError(f"{self.label}/{name} cannot be written: {error}") from error

    def remove(self, name: str) -> None:
        """See `Store`."""
        try:
            self._asked(lambda sftp: sftp.remove(self._path(name)), name)
        except FileNotFoundError:
            return

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _path(self, name: str) -> str:
        return posixpath.join(self._folder, name)

    def _listed(self, name: str) -> list[tuple[str, Attributes]]:
        try:
            return self._asked(lambda sftp: list(sftp.list(self._path(name))), name)
        except FileNotFoundError:
            return []

    def _make_folder(self, sftp: Sftp, folder: str) -> None:
        """Make a folder and those above it that are missing."""
        if not folder or folder in self._made:
            return
        try:
            if not sftp.stat(folder).is_folder:
                raise SyncError(f"{folder} at {self.label} is not a folder")
        except SftpError as error:
            if error.code != SftpError.NO_SUCH_FILE:
                raise
            self._make_folder(sftp, posixpath.dirname(folder))
            try:
                sftp.make_folder(folder)
            except SftpError:
                if not sftp.stat(folder).is_folder:  # else another machine was quicker
                    raise
        self._made.add(folder)

    def _asked(self, request: Callable[[Sftp], _T], name: str) -> _T:
        """The answer to a request; what is not there is a FileNotFoundError."""
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = Sftp(self._command)
                return request(self._connection)
            except SftpLost as error:
                self.close()
                raise self._lost(str(error)) from error
            except SftpError as error:
                if error.code == SftpError.NO_SUCH_FILE:
                    raise FileNotFoundError(str(error)) from error
                raise SyncError(
                    f"{self.label}/{name}: {str(error).lower()}", hint="may you write there, and is there room?"
                ) from error

    def _lost(self, said: str) -> TargetUnreachable:
        host = " ".join(self._command[self._command.index("--") + 1 : -1])
        return TargetUnreachable(
            f"{self.label} cannot be reached: {said}", hint=f"ssh {host}    must work without a question"
        )


def ssh_command(host: str, port: int | None) -> list[str]:
    """What gives a connection: it asks nothing, and gives up where the other side is silent."""
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": _CONNECT_SECONDS,
        "ServerAliveInterval": _QUIET_SECONDS,
        "ServerAliveCountMax": _MOST_QUIET,
        "ForwardX11": "no",
        "ForwardAgent": "no",
        "ClearAllForwardings": "yes",
    }
    chosen = [text for name, value in options.items() for text in ("-o", f"{name}={value}")]
    return ["ssh", *chosen, *(["-p", str(port)] if port else []), "-s", "--", host, "sftp"]

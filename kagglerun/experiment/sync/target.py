"""What people call a target: s3://bucket/folder, gs://bucket/folder, ssh://host/folder, or a folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from kagglerun.config.settings import load_settings
from kagglerun.errors import ConfigError
from kagglerun.experiment.sync.store import FolderStore, Store
from kagglerun.workspace import Workspace

_SCHEMES = "s3://BUCKET/FOLDER, gs://BUCKET/FOLDER, ssh://[USER@]HOST[:PORT]/FOLDER, or a folder"
_OTHER_NAMES = {"gcs": "gs", "s3a": "s3", "sftp": "ssh"}
_HOST = re.compile(r"[A-Za-z0-9_.:\[\]%-]+")
_USER = re.compile(r"[A-Za-z0-9_.-]+")


def target_of(workspace: Workspace, named: str | None) -> str:
    """The target that the user names, or that of the settings.

    A folder that the user names is meant from the current folder, one in the settings from the workspace.

    Raises:
        ConfigError: neither names one.
    """
    if named and "://" not in named:
        return str(Path(named).expanduser().absolute())
    target = named or load_settings(workspace.settings).sync
    if not target:
        raise ConfigError(
            "no target was named, and the settings have no `sync`",
            hint=f"kagglerun sync push s3://my-bucket/kagglerun    (or a line `sync: ...` in {workspace.settings})",
        )
    return target


@contextmanager
def opened(workspace: Workspace, target: str) -> Iterator[Store]:
    """The store that a target means, closed at the end.

    Args:
        workspace: a folder is looked for from here.
        target: as the user names it.

    Raises:
        ConfigError: it is no target.
        SyncError: it cannot be opened.
    """
    store = _open(workspace, target)
    try:
        yield store
    finally:
        store.close()


def _open(workspace: Workspace, target: str) -> Store:
    scheme, mark, rest = target.partition("://")
    scheme = _OTHER_NAMES.get(scheme.lower(), scheme.lower())
    if not mark or scheme == "file":
        return _folder(workspace, rest if mark else target)
    if scheme in ("s3", "gs"):
        return _bucket(scheme, rest)
    if scheme == "ssh":
        return _machine(target)
    raise ConfigError(f"{scheme!r} is no kind of target; known: {_SCHEMES}")


def _folder(workspace: Workspace, name: str) -> FolderStore:
    if not name.strip():
        raise ConfigError(f"the target is empty; known: {_SCHEMES}")
    folder = (workspace.root / Path(name).expanduser()).resolve()
    for own in (workspace.runs, workspace.state, workspace.competitions, workspace.sweeps):
        if folder == workspace.root or folder.is_relative_to(own):
            raise ConfigError(f"{folder} is what would be pushed: take a folder outside the workspace")
    return FolderStore(folder)


def _bucket(scheme: str, rest: str) -> Store:
    from kagglerun.experiment.sync.object_store import ObjectStore

    bucket, _, folder = rest.strip("/").partition("/")
    if "@" in bucket or ":" in bucket:
        raise ConfigError(
            "credentials do not belong into a target: it stands in settings and logs",
            hint="leave them to the environment or the cloud's own files",
        )
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]+", bucket):
        raise ConfigError(f"{scheme}://{rest} names no bucket", hint=f"for example {scheme}://my-bucket/kagglerun")
    folder = "/".join(part for part in folder.split("/") if part) or "kagglerun"
    return ObjectStore(scheme, f"{bucket}/{folder}")


def _machine(target: str) -> Store:
    from kagglerun.experiment.sync.ssh_store import SshStore

    try:
        parts = urlsplit(target)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"{target!r} is no target: {error}", hint="for example ssh://me@host:22/data") from None
    if parts.password is not None:
        raise ConfigError(
            "a password does not belong into a target: it stands in settings and logs",
            hint="let ssh have a key: ssh-copy-id HOST",
        )
    host, user, folder = parts.hostname or "", parts.username, unquote(parts.path)
    odd_host = not _HOST.fullmatch(host) or host.startswith("-")
    if odd_host or (user is not None and (not _USER.fullmatch(user) or user.startswith("-"))):
        raise ConfigError(f"{target!r} names no machine", hint="for example ssh://me@host/data/kagglerun")
    named = parts.netloc.rpartition("@")[2]  # urlsplit makes names small, and ssh's aliases may be large
    alias = named.partition(":")[0] if not named.startswith("[") else host
    folder = folder[3:] if folder.startswith("/~/") else folder
    if not folder.strip("/"):
        raise ConfigError(f"{target!r} names no folder", hint=f"for example {target.rstrip('/')}/data/kagglerun")
    return SshStore(f"{user}@{alias}" if user else alias, port, folder.rstrip("/"))

"""kagglerun itself for a notebook: its wheel, small, and with a lock of what it needs to run and nothing else."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import io
import re
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from kagglerun.own_wheel import write_own_wheel

LOCK = "kagglerun/environment/requirements.lock"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ENTRY = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==(.*)(?:\n[ \t].*)*", re.MULTILINE)
_ELSEWHERE = re.compile(r"; (?:sys_platform == '(?:win32|darwin|emscripten)'|os_name == 'nt')$")
_NO_DATE = (1980, 1, 1, 0, 0, 0)


def carried_wheel(lock: str) -> tuple[str, bytes]:
    """A wheel of the package that runs now.

    Args:
        lock: the requirements that stand in it; see `runtime_lock`.

    Returns:
        Its file name, and its content: a zip without compression, which compresses best from outside.

    Raises:
        KagglerunError: kagglerun is not installed here, it only stands in the path.
    """
    with tempfile.TemporaryDirectory() as folder:
        wheel = write_own_wheel(Path(folder))
        with zipfile.ZipFile(wheel) as archive:
            files = {name: archive.read(name) for name in archive.namelist() if not name.endswith(".lock")}
    record = next(name for name in files if name.endswith(".dist-info/RECORD"))
    del files[record]
    files[LOCK] = lock.encode()
    files[record] = _record(files, record)
    return wheel.name, stored_zip(files)


def runtime_lock(lock: str) -> str:
    """The entries of the lock that kagglerun needs to run on Linux: its requirements, and theirs.

    Args:
        lock: `requirements.lock`, with hashes.
    """
    found = [entry for entry in _ENTRY.finditer(lock) if not _ELSEWHERE.search(entry.group(2).rstrip(" \\"))]
    entries = {_canonical(entry.group(1)): entry.group(0) for entry in found}
    needed = _closure(_requirements_of("kagglerun", ()), entries)
    return "".join(f"{entries[name]}\n" for name in sorted(needed))


def stored_zip(files: Mapping[str, bytes]) -> bytes:
    """A zip of files by name, without compression; the same files give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, _NO_DATE), content)
    return buffer.getvalue()


def _record(files: Mapping[str, bytes], own_name: str) -> bytes:
    lines = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in files.items()]
    return "\n".join([*lines, f"{own_name},,", ""]).encode()


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def _closure(requirements: Iterable[str], entries: Mapping[str, str]) -> set[str]:
    """Names in the lock that can be reached; other markers than those of extras are left to pip."""
    needed: set[tuple[str, tuple[str, ...]]] = set()
    waiting = list(requirements)
    while waiting:
        name, extras = _name_and_extras(waiting.pop())
        if name in entries and (name, extras) not in needed:
            needed.add((name, extras))
            waiting += _requirements_of(name, extras)
    return {name for name, _ in needed}


def _name_and_extras(requirement: str) -> tuple[str, tuple[str, ...]]:
    found = _NAME.match(requirement.strip())
    extras = re.search(r"\[([^\]]*)\]", requirement.partition(";")[0])
    names = extras.group(1).split(",") if extras else []
    return _canonical(found.group(0)) if found else "", tuple(sorted(name.strip() for name in names))


def _requirements_of(name: str, extras: tuple[str, ...]) -> list[str]:
    """What an installed package asks for; nothing of one that only other machines need."""
    try:
        asked = importlib.metadata.distribution(name).requires or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [text for text in asked if _asked_for(text.partition(";")[2], extras)]


def _asked_for(marker: str, extras: tuple[str, ...]) -> bool:
    named = re.findall(r"extra == ['\"]([^'\"]*)['\"]", marker)
    return not named or any(extra in extras for extra in named)


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()

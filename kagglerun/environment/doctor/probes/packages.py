"""The interpreter, and what is installed against the lock."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import kagglerun
from kagglerun.environment.doctor.probe import PackageState, PythonState

_LINE = re.compile(r"^(?P<name>[A-Za-z0-9][\w.-]*)==(?P<version>[^\s;\\]+)\s*(?:;\s*(?P<marker>[^\\]+))?", re.MULTILINE)


def python_state() -> PythonState:
    """The interpreter that runs this."""
    root = Path(kagglerun.__file__).resolve().parents[1]
    version = sys.version_info
    return PythonState(
        version=(version.major, version.minor, version.micro),
        executable=sys.executable,
        in_environment=sys.prefix != sys.base_prefix,
        checkout=str(root) if (root / "pyproject.toml").is_file() and (root / "Makefile").is_file() else None,
    )


def package_states(lock: Path) -> tuple[PackageState, ...]:
    """Every package of the lock that is meant for this Python and system; none where there is no lock.

    What the image has beside it is in image.lock, and what another torch brings in torch/<its version>.lock, which
    counts where that torch is installed.

    Args:
        lock: requirements with exact versions, as uv and pip write them; the other locks lie beside it.
    """
    if not lock.is_file():
        return ()
    release = ".".join((_installed("torch") or "").split(".")[:2])
    locked: dict[str, str] = {}
    for path in (lock.with_name("image.lock"), lock, lock.parent / "torch" / f"{release}.lock"):
        if path.is_file():
            locked.update(_locked(path.read_text("utf-8")))
    required = _required()
    return tuple(PackageState(name, locked[name], _installed(name), name in required) for name in sorted(locked))


def _locked(text: str) -> Iterator[tuple[str, str]]:
    for found in _LINE.finditer(text):
        marker = found.group("marker")
        if marker is None or Marker(marker.strip()).evaluate():
            yield canonicalize_name(found.group("name")), found.group("version")


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _required() -> frozenset[str]:
    """What kagglerun itself needs, without its extras; all of nothing where it is not installed but on the path."""
    try:
        asked = importlib.metadata.requires("kagglerun") or []
    except importlib.metadata.PackageNotFoundError:
        return frozenset()
    needed = (Requirement(text) for text in asked)
    return frozenset(
        canonicalize_name(one.name) for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})
    )

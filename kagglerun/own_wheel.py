"""A wheel of kagglerun itself, made from the package as it is installed: for images and notebooks.

Works without a checkout, a compiler or the network. The same source gives the same bytes on any day.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import zipfile
from collections.abc import Iterator
from pathlib import Path

import kagglerun
from kagglerun.errors import KagglerunError
from kagglerun.files import atomic_path

_EXAMPLES = ("sweeps/*.yaml", "competitions/*/competition.yaml", "competitions/*/hooks.py")
_TAG = "py3-none-any"
_WHEEL = f"Wheel-Version: 1.0\nGenerator: kagglerun\nRoot-Is-Purelib: true\nTag: {_TAG}\n"
_COPIED = ("METADATA", "entry_points.txt")
_NO_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can say; a real one would change the bytes


def write_own_wheel(folder: Path) -> Path:
    """Write `kagglerun-<version>-py3-none-any.whl`: the code that runs now, with what is not yet committed.

    Args:
        folder: where to; exists.

    Returns:
        The wheel's path.

    Raises:
        KagglerunError: kagglerun is not installed (only its source is in the path), so its dependencies are unknown.
    """
    metadata = _metadata()
    info = f"kagglerun-{kagglerun.__version__}.dist-info"
    path = folder / f"kagglerun-{kagglerun.__version__}-{_TAG}.whl"
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        record = []
        for name, content in (*_package_files(), *_examples_in_package(), *_information(info, metadata)):
            archive.writestr(_entry(name), content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            record.append(f"{name},sha256={digest},{len(content)}")
        archive.writestr(_entry(f"{info}/RECORD"), "\n".join([*record, f"{info}/RECORD,,", ""]))
    return path


def example_files() -> Iterator[tuple[Path, bytes]]:
    """Relative path and content of the shipped competitions/ and sweeps/, by name."""
    source = examples_folder()
    for pattern in _EXAMPLES:
        for path in sorted(source.glob(pattern)):
            yield path.relative_to(source), path.read_bytes()


def examples_folder() -> Path:
    """The folder with the shipped competitions/ and sweeps/: in the installed package, or the checkout."""
    package = _package()
    shipped = package / "examples"
    return shipped if shipped.is_dir() else package.parent


def _package() -> Path:
    return Path(kagglerun.__file__).parent


def _metadata() -> importlib.metadata.Distribution:
    try:
        return importlib.metadata.distribution("kagglerun")
    except importlib.metadata.PackageNotFoundError:
        raise KagglerunError(
            "kagglerun is not installed here, so what it depends on is not known", hint="pip install -e ."
        ) from None


def _package_files() -> Iterator[tuple[str, bytes]]:
    package = _package()
    for path in sorted(package.rglob("*")):
        relative = path.relative_to(package)
        if path.is_file() and "__pycache__" not in relative.parts and relative.parts[0] != "examples":
            yield f"kagglerun/{relative.as_posix()}", path.read_bytes()


def _examples_in_package() -> Iterator[tuple[str, bytes]]:
    for relative, content in example_files():
        yield f"kagglerun/examples/{relative.as_posix()}", content


def _information(info: str, metadata: importlib.metadata.Distribution) -> Iterator[tuple[str, bytes]]:
    """The wheel's dist-info, without RECORD."""
    for name in _COPIED:
        yield f"{info}/{name}", (metadata.read_text(name) or "").encode()
    yield f"{info}/WHEEL", _WHEEL.encode()
    if text := metadata.read_text("licenses/LICENSE"):
        yield f"{info}/licenses/LICENSE", text.encode()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, date_time=_NO_DATE)
    entry.external_attr = 0o644 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry

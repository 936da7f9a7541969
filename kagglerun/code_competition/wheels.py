"""The wheels that a notebook without internet installs: kagglerun itself, and what Kaggle's image lacks."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import uv
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from kagglerun.code_competition.requirements import TORCH_AND_ITS_OWN, lacking
from kagglerun.errors import PackageError
from kagglerun.own_wheel import write_own_wheel
from kagglerun.sandbox.image import Image

_PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;+]+)", re.MULTILINE)
_MANYLINUX = re.compile(r"manylinux_2_(\d+)_(\w+)")
_OLD_NAMES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_DOWNLOAD_SECONDS = 3600.0
_NO_DATE = (1980, 1, 1, 0, 0, 0)


def collect_wheels(folder: Path, requirements: Sequence[Requirement], image: Image) -> list[Path]:
    """Write every wheel that the notebook installs.

    Args:
        folder: where to; made when missing.
        requirements: what the packaged run needs.
        image: what is there already, and for which Python and platform the wheels are.

    Returns:
        The wheels, by name.

    Raises:
        PackageError: something has no wheel for that Python and platform, or the package index could not be reached.
    """
    folder.mkdir(parents=True, exist_ok=True)
    own_wheel(folder, requirements)
    if lacking(requirements, image):
        pins = _closure(requirements, image)
        differing = [f"{name}=={version}" for name, version in pins.items() if image.packages.get(name) != version]
        _download(folder, differing, image)
    return sorted(folder.glob("*.whl"))


def needs_of(folder: Path) -> set[str]:
    """Names of all that the wheels in a folder ask for, without extras."""
    names: set[str] = set()
    for wheel in sorted(folder.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            lines = archive.read(metadata).decode().partition("\n\n")[0].splitlines()
        asked = [Requirement(line.partition(":")[2].strip()) for line in lines if line.startswith("Requires-Dist:")]
        names |= {canonicalize_name(one.name) for one in asked if not one.marker or one.marker.evaluate({"extra": ""})}
    return names


def own_wheel(folder: Path, requirements: Iterable[Requirement]) -> Path:
    """kagglerun's wheel, with `requirements` instead of all that training needs."""
    with tempfile.TemporaryDirectory() as scratch:
        wheel = write_own_wheel(Path(scratch))
        with zipfile.ZipFile(wheel) as archive:
            files = {name: archive.read(name) for name in archive.namelist() if not _left_out(name)}
    metadata = next(name for name in files if name.endswith(".dist-info/METADATA"))
    record = metadata.removesuffix("METADATA") + "RECORD"
    files.pop(record)
    files[metadata] = _with_requirements(files[metadata].decode(), requirements).encode()
    files[record] = _record(files, record)
    place = folder / wheel.name
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _NO_DATE)
            entry.external_attr, entry.compress_type = 0o644 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return place


def _left_out(name: str) -> bool:
    """What a notebook that predicts has no use for."""
    return name.endswith((".lock", "entry_points.txt")) or name.startswith("kagglerun/examples/")


def _with_requirements(metadata: str, requirements: Iterable[Requirement]) -> str:
    head, blank, description = metadata.partition("\n\n")
    kept = [line for line in head.splitlines() if not line.startswith(("Requires-Dist:", "Provides-Extra:"))]
    return "\n".join([*kept, *(f"Requires-Dist: {one}" for one in requirements)]) + blank + description


def _record(files: Mapping[str, bytes], own_name: str) -> bytes:
    lines = []
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(content)}")
    return "\n".join([*lines, f"{own_name},,", ""]).encode()


def _closure(requirements: Sequence[Requirement], image: Image) -> dict[str, str]:
    """Versions of all that is needed: the image's wherever these fit.

    A torch that the image has stays with what it was built with, of which the package index knows other builds only.

    Raises:
        PackageError: there is no such set.
    """
    own_torch = "torch" not in {canonicalize_name(one.name) for one in lacking(requirements, image)}
    kept = {
        name: version for name, version in image.packages.items() if own_torch and TORCH_AND_ITS_OWN.fullmatch(name)
    }
    with tempfile.TemporaryDirectory() as folder:
        asked, constraints, pins = (Path(folder, name) for name in ("asked.in", "constraints.txt", "pins.txt"))
        asked.write_text("".join(f"{wanted}\n" for wanted in requirements), "utf-8")
        constraints.write_text("".join(f"{name}=={version}\n" for name, version in kept.items()), "utf-8")
        pins.write_text(image.constraints(), "utf-8")  # uv prefers the versions of a file that it is to write
        machine = ["--python-version", image.python, "--python-platform", uv_platform(image.platform)]
        plain = ["--quiet", "--no-header", "--no-annotate", "--only-binary", ":all:"]
        files = ["--constraints", str(constraints), "--output-file", str(pins), str(asked)]
        _run(
            [uv.find_uv_bin(), "pip", "compile", *plain, *machine, *files], "no set of packages fits to Kaggle's image"
        )
        found = {canonicalize_name(name): version for name, version in _PINNED.findall(pins.read_text("utf-8"))}
    return {name: version for name, version in found.items() if not (own_torch and TORCH_AND_ITS_OWN.fullmatch(name))}


def uv_platform(platform: str) -> str:
    """The platform as uv names it, e.g. x86_64-manylinux_2_35."""
    found = _MANYLINUX.fullmatch(platform)
    return f"{found.group(2)}-manylinux_2_{found.group(1)}" if found else platform


def _download(folder: Path, pins: Sequence[str], image: Image) -> None:
    """Download one wheel for each pin."""
    if not pins:
        return
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        tags = [word for tag in platform_tags(image.platform) for word in ("--platform", tag)]
        machine = ["--python-version", image.python, "--implementation", "cp", *tags]
        quiet = ["--quiet", "--disable-pip-version-check", "--no-input", "--no-deps", "--only-binary", ":all:"]
        command = [sys.executable, "-m", "pip", "download", *quiet, *machine, "--dest", scratch, *pins]
        _run(command, f"not every wheel for Python {image.python} could be had")
        for wheel in Path(scratch).iterdir():
            shutil.move(wheel, folder / wheel.name)


def platform_tags(newest: str) -> list[str]:
    """The platform and the older ones whose wheels it takes; pip does not find them by itself (PEP 600)."""
    found = _MANYLINUX.fullmatch(newest)
    if found is None:
        return [newest]
    tags = []
    for minor in range(int(found.group(1)), 4, -1):
        tags.append(f"manylinux_2_{minor}_{found.group(2)}")
        if minor in _OLD_NAMES:
            tags.append(f"{_OLD_NAMES[minor]}_{found.group(2)}")
    return [*tags, f"linux_{found.group(2)}"]


def _run(command: Sequence[str], wrong: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_DOWNLOAD_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise PackageError(f"{wrong}: the package index did not answer within an hour") from error
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip() and "WARNING" not in line]
        raise PackageError(
            f"{wrong}: {' '.join(said[-4:])[:600]}",
            hint="another version of it: --with 'NAME==VERSION'; what the image has by now: --image-packages FILE",
        )
    return done.stdout

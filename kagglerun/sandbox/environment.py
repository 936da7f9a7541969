"""Environments that stand for Kaggle's image, made once and kept.

Two kinds. One is made of links to the packages of the Python that runs this, as far as Kaggle's image has them:
at once, without a network, in the versions of this machine. The other has Kaggle's Python and versions, by uv.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import uv
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from kagglerun.errors import SandboxError
from kagglerun.files import sha256_of_json, write_text
from kagglerun.sandbox.image import Image, read_image
from kagglerun.sandbox.interpreter import LINKS_KEY, describe

EXECUTORS = ("nbclient", "nbformat", "ipykernel", "pip")
"""What executes a notebook; Kaggle's image has it too."""
_FORMAT = 1
_INSTALL_SECONDS = 3600.0


def kaggle_environment(folder: Path, image: Image | None = None) -> Path:
    """Python of an environment with the packages of Kaggle's image in this machine's versions; without kagglerun.

    Args:
        folder: where such environments are kept.
        image: whose packages; by default those of the list that is shipped.
    """
    names = _linked_names(image or read_image())
    versions = {name: importlib.metadata.version(name) for name in names}
    place = folder / f"here-{sha256_of_json([_FORMAT, sys.prefix, sys.version, versions])[:16]}"
    with _made_once(place) as making:
        if making is not None:
            _link(making, names)
    return place / "bin" / "python"


def image_environment(folder: Path, image: Image, names: Iterable[str]) -> Path:
    """Python of an environment with Kaggle's own Python and versions, made by uv from the package index.

    Args:
        folder: where such environments are kept.
        image: Kaggle's image.
        names: packages that are needed; what they depend on comes along, in the image's versions.

    Raises:
        SandboxError: there is no such Python, or a package could not be had.
    """
    wanted = sorted({canonicalize_name(name) for name in (*names, *EXECUTORS)})
    place = folder / f"image-{sha256_of_json([_FORMAT, image.python, wanted, dict(image.packages)])[:16]}"
    with _made_once(place) as making:
        if making is not None:
            _run_uv("venv", "--quiet", "--relocatable", "--python", _find_python(image.python), str(making))
            constraints = making / "image.txt"
            write_text(constraints, image.constraints(), durable=False)
            into = ["--python", str(making), "--constraints", str(constraints)]
            _run_uv("pip", "install", "--quiet", "--compile-bytecode", *into, *wanted)
    return place / "bin" / "python"


@contextlib.contextmanager
def _made_once(place: Path) -> Iterator[Path | None]:
    """A folder to be filled that becomes `place`; None where `place` is there."""
    if place.exists():
        yield None
        return
    making = place.with_name(f".{place.name}.{uuid.uuid4().hex[:12]}")
    making.mkdir(parents=True)
    try:
        yield making
        with contextlib.suppress(FileExistsError, OSError):  # another process was faster
            making.rename(place)
        if not place.exists():
            raise SandboxError(f"{place} could not be made")
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _find_python(version: str) -> str:
    """A Python of this version: one that pyenv keeps, of which uv does not know, or what uv finds or downloads."""
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = sorted(kept.glob(f"{version}.*/bin/python{version}"))
    return str(found[-1]) if found else version


def _run_uv(*arguments: str) -> None:
    """Run uv.

    Raises:
        SandboxError: it failed.
    """
    command = [uv.find_uv_bin(), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise SandboxError("uv was not done after an hour", hint="run it again: what was downloaded is kept") from error
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip() and "warning" not in line]
        raise SandboxError(
            f"an environment like Kaggle's could not be made: {' '.join(said[-4:]) or done.returncode}",
            hint="with this machine's versions instead: --environment here",
        )


def _linked_names(image: Image) -> list[str]:
    """What is linked: packages of the image that are installed here, and what they need here."""
    found: set[tuple[str, str]] = set()
    waiting: list[tuple[str, str]] = [(name, "") for name in (*image.packages, *EXECUTORS)]
    while waiting:
        name, extra = waiting.pop()
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            if (name, extra) not in found and name != "kagglerun":
                waiting += _needs(importlib.metadata.distribution(name), extra)
                found.add((name, extra))
    return sorted({name for name, _ in found})


def _needs(distribution: importlib.metadata.Distribution, extra: str) -> list[tuple[str, str]]:
    """What a package needs on this machine with an extra, or without one (""): names, each with the extras it needs."""
    needed: list[tuple[str, str]] = []
    for text in distribution.requires or ():
        with contextlib.suppress(InvalidRequirement):
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                name = canonicalize_name(requirement.name)
                needed += [(name, asked) for asked in ("", *requirement.extras)]
    return needed


def _link(folder: Path, names: Sequence[str]) -> None:
    """Fill an environment with links to installed packages."""
    here = describe(Path(sys.executable))
    packages = folder / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    packages.mkdir(parents=True)
    sources = set()
    for name in names:
        for source in _top_level(importlib.metadata.distribution(name)):
            sources.add(source.parent)
            with contextlib.suppress(FileExistsError):  # several packages of one namespace
                (packages / source.name).symlink_to(source)
    (folder / "bin").mkdir()
    (folder / "bin" / "python").symlink_to(here.base.resolve())
    config = f"home = {here.base.resolve().parent}\ninclude-system-site-packages = false\n"
    config += f"version = {'.'.join(map(str, here.version))}\n"
    config += "".join(f"{LINKS_KEY} = {source}\n" for source in sorted(sources))
    write_text(folder / "pyvenv.cfg", config, durable=False)


def _top_level(distribution: importlib.metadata.Distribution) -> Iterator[Path]:
    """Files and folders that a package has directly in site-packages."""
    for name in sorted({file.parts[0] for file in distribution.files or ()}):
        path = Path(str(distribution.locate_file(name)))
        if name not in ("..", "__pycache__") and not name.endswith(".pth") and path.exists():
            yield path

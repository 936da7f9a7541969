"""Builds the real image for the tests that enter it: buildah without a daemon, from a Debian of debootstrap's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

BASE = "localhost/kagglerun-base:bookworm"
KAGGLE_LIKE = "localhost/kaggle-like:1"
MARKER = "sesame-4711.invalid"
"""Stands where an index's password would: found in no layer."""
UID = 21_234
_PROGRAMS = ("buildah", "debootstrap", "ssh-keygen")
_PACKAGES = "ca-certificates,python3,python3-venv"
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
_DEBIAN = _CACHE / "kagglerun-tests" / "debian-bookworm.tar"
_UV_CACHE = Path(os.environ.get("UV_CACHE_DIR") or _CACHE / "uv")
_KEPT = os.environ.get("KAGGLERUN_IMAGE_TEST_FOLDER")


@dataclass(frozen=True)
class Built:
    """The image, and a workspace whose owner is not root.

    Attributes:
        folder: with buildah's store.
        workspace: the workspace.
        environment: of every command: buildah with that store.
        said: what `kagglerun image build` printed.
    """

    folder: Path
    workspace: Path
    environment: Mapping[str, str]
    said: str

    def kagglerun(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run kagglerun on this machine, in the workspace."""
        return subprocess.run(
            [sys.executable, "-P", "-m", "kagglerun", *words],
            cwd=self.workspace,
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )

    @contextmanager
    def running(self, *words: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
        """`kagglerun image run` with services, which are ended afterwards."""
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "kagglerun", "image", "run", *words],
            cwd=self.workspace,
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=60)

    def inspect(self) -> Any:
        """What buildah knows of the image."""
        return json.loads(self.buildah("inspect", "--type", "image", self.name))

    def make_kaggle_base(self, torch: str) -> None:
        """A base that has Python packages of its own, as Kaggle's: a torch and a torchvision that are names only."""
        container = self.buildah("from", BASE).strip()
        site = Path(self.buildah("mount", container).strip()) / "usr/local/lib/python3.11/dist-packages"
        for name in ("torch", "torchvision"):
            info = site / f"{name}-{torch}.dist-info"
            info.mkdir(parents=True)
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {torch}\n", "utf-8")
            (info / "RECORD").write_text(f"{info.name}/METADATA,,\n{info.name}/RECORD,,\n", "utf-8")
        self.buildah("umount", container)
        self.buildah("commit", "--quiet", "--rm", container, KAGGLE_LIKE)

    def buildah(self, *words: str) -> str:
        """Run buildah; its output."""
        done = subprocess.run(["buildah", *words], env=self.environment, capture_output=True, text=True, check=True)
        return done.stdout

    @property
    def name(self) -> str:
        """The image's usual name."""
        import kagglerun

        return f"kagglerun:{kagglerun.__version__}"


@contextmanager
def build_image(scratch: Path) -> Iterator[Built]:
    """Build the image in a store of its own, which is gone afterwards.

    KAGGLERUN_IMAGE_TEST_FOLDER names a folder where the store stays: the next build takes its steps from there.

    Args:
        scratch: a folder for the store and the workspace.
    """
    _skip_where_it_cannot_be_built()
    folder = Path(_KEPT) if _KEPT else scratch
    environment = _environment(folder)
    workspace = scratch / "workspace"
    try:
        _make_base(folder, environment)
        _command([sys.executable, "-P", "-m", "kagglerun", "init", str(workspace)], environment)
        build = [sys.executable, "-P", "-m", "kagglerun", "image", "build", "--machine-settings", "--base", BASE]
        said = _command(build, {**environment, "UV_INSECURE_HOST": MARKER}, workspace)
        for path in (workspace, *workspace.rglob("*")):
            os.chown(path, UID, UID)
        yield Built(folder, workspace, environment, said)
    finally:
        if not _KEPT:
            for words in (("rm", "--all"), ("rmi", "--all", "--force")):
                subprocess.run(["buildah", *words], env=environment, capture_output=True, check=False)
            shutil.rmtree(folder, ignore_errors=True)


def _skip_where_it_cannot_be_built() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may make a base by debootstrap and enter it by chroot")
    for program in _PROGRAMS:
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is None:
            pytest.skip(f"{program} is not installed: make system")


def _environment(folder: Path) -> dict[str, str]:
    """This machine's, without what belongs to its user, and with a store of our own."""
    temporary = folder / "tmp"
    cache = temporary / "buildah-cache"
    cache.mkdir(parents=True, exist_ok=True)
    _UV_CACHE.mkdir(parents=True, exist_ok=True)
    shared = cache / "kagglerun-uv"
    if not shared.is_symlink():
        shared.symlink_to(_UV_CACHE)
    driver = "overlay" if _overlay_works(folder) else "vfs"
    storage = folder / "storage.conf"
    storage.write_text(
        f'[storage]\ndriver = "{driver}"\ngraphroot = "{folder}/store"\nrunroot = "{folder}/runroot"\n', "utf-8"
    )
    own = {name: value for name, value in os.environ.items() if not name.startswith(("KAGGLE", "MLFLOW"))}
    return {
        **own,
        "CONTAINERS_STORAGE_CONF": str(storage),
        "BUILDAH_ISOLATION": "chroot",
        "KAGGLERUN_ENGINE": "buildah",
        "TMPDIR": str(temporary),
    }


def _overlay_works(folder: Path) -> bool:
    """Whether this kernel stacks folders here; the alternative, vfs, copies each layer whole."""
    parts = [folder / "overlay" / name for name in ("lower", "upper", "work", "merged")]
    for part in parts:
        part.mkdir(parents=True, exist_ok=True)
    lower, upper, work, merged = parts
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    mounted = subprocess.run(
        ["mount", "-t", "overlay", "overlay", "-o", options, merged], capture_output=True, check=False
    )
    if mounted.returncode == 0:
        subprocess.run(["umount", merged], check=True)
    shutil.rmtree(folder / "overlay")
    return mounted.returncode == 0


def _make_base(folder: Path, environment: Mapping[str, str]) -> None:
    """Debian's bookworm with Python, as python:3.12-slim-bookworm is; made once on a machine."""
    if BASE in _command(["buildah", "images", "--format", "{{.Name}}:{{.Tag}}"], environment).split():
        return
    if not _DEBIAN.is_file():
        _DEBIAN.parent.mkdir(parents=True, exist_ok=True)
        root, archive = folder / "debian", folder / "debian.tar"
        _command(["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", str(root)], environment)
        shutil.rmtree(root / "var/cache/apt/archives")
        _command(["tar", "--create", "--file", str(archive), "--directory", str(root), "."], environment)
        shutil.rmtree(root)
        shutil.copyfile(archive, _DEBIAN.with_suffix(".part"))
        archive.unlink()
        _DEBIAN.with_suffix(".part").replace(_DEBIAN)
    container = _command(["buildah", "from", "scratch"], environment).strip()
    _command(["buildah", "add", "--quiet", container, str(_DEBIAN), "/"], environment)
    _command(["buildah", "config", "--cmd", "bash", container], environment)
    _command(["buildah", "commit", "--quiet", "--rm", container, BASE], environment)


def _command(argv: Sequence[str], environment: Mapping[str, str], folder: Path | None = None) -> str:
    done = subprocess.run(
        argv, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{argv}: {done.stdout[-2000:]} {done.stderr[-4000:]}"
    return done.stdout + done.stderr

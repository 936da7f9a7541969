"""What a Python needs mounted, and a thin environment over it that a notebook may install into."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from kagglerun.errors import SandboxError
from kagglerun.files import write_text

LINKS_KEY = "kagglerun-links-to"
"""Key in pyvenv.cfg: a folder that the environment's packages are links into."""
_ASK = """\
import json, sys, sysconfig
base = getattr(sys, "_base_executable", sys.executable)
said = {"prefix": sys.prefix, "base_prefix": sys.base_prefix, "base": base, "version": list(sys.version_info[:3])}
print(json.dumps({**said, "packages": sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})}))
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python with its packages.

    Attributes:
        prefix: its environment.
        base_prefix: the installation under it.
        base: that installation's program.
        version: e.g. (3, 12, 1).
        packages: its site-packages.
    """

    prefix: Path
    base_prefix: Path
    base: Path
    version: tuple[int, int, int]
    packages: tuple[Path, ...]

    def mounts(self) -> list[Path]:
        """Every folder that it reads, outermost first."""
        found = [self.prefix, self.base_prefix, self.base.resolve().parent.parent, self.base_prefix.resolve()]
        config = self.prefix / "pyvenv.cfg"
        lines = config.read_text("utf-8").splitlines() if config.is_file() else []
        for name, _, value in (line.partition(" = ") for line in lines):
            found += [Path(value)] if name == LINKS_KEY else []
        kept = sorted({folder for folder in found if not folder.is_relative_to("/usr")})
        return [
            folder for folder in kept if not any(folder != other and folder.is_relative_to(other) for other in kept)
        ]


def describe(python: Path) -> Interpreter:
    """Ask a Python where it is.

    Raises:
        SandboxError: it does not answer.
    """
    try:
        # -I: nothing of this process's environment or current folder reaches it.
        done = subprocess.run([str(python), "-I", "-c", _ASK], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        raise SandboxError(f"{python} does not run: {said[-1] if said else error}") from error
    said = json.loads(done.stdout)
    first, second, third = said["version"]
    return Interpreter(
        Path(said["prefix"]),
        Path(said["base_prefix"]),
        Path(said["base"]),
        (first, second, third),
        tuple(Path(folder) for folder in said["packages"]),
    )


def write_thin_environment(folder: Path, under: Interpreter, place: Path) -> None:
    """Write an environment that has all packages of another one and takes new ones before them.

    Args:
        folder: where it is written.
        under: the environment that it stands on, which stays as it is.
        place: where the sandbox shows `folder`.
    """
    major, minor, _ = under.version
    packages = folder / "lib" / f"python{major}.{minor}" / "site-packages"
    packages.mkdir(parents=True)
    version = ".".join(map(str, under.version))
    config = f"home = {under.base.resolve().parent}\ninclude-system-site-packages = false\nversion = {version}\n"
    write_text(folder / "pyvenv.cfg", config, durable=False)
    # Not bare paths: addsitedir reads the .pth files there too.
    lines = [f"import site; site.addsitedir({str(path)!r})\n" for path in under.packages]
    write_text(packages / "image.pth", "".join(lines), durable=False)
    programs = folder / "bin"
    programs.mkdir()
    for name in ("python", "python3", f"python{major}.{minor}"):
        (programs / name).symlink_to(under.base.resolve())
    for name in ("pip", "pip3"):
        write_text(programs / name, f'#!/bin/sh\nexec {place}/bin/python -m pip "$@"\n', durable=False)
        (programs / name).chmod(0o755)

"""The locks that the image is installed from: every package with its version and hashes.

`image.lock` holds all that the image has; `torch/<version>.lock` the packages that replace some of them for another
torch. `make lock` writes them.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from kagglerun.errors import ConfigError

_FOLDER = Path(__file__).parent.parent
_PIN = re.compile(r"^([a-z0-9.-]+)==(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class ImageLock:
    """The locks of one variant of the image.

    Attributes:
        torch: the variant: a torch of the user's choice, e.g. "2.6"; None for the lock's own.
        files: the locks, in the order in which they count.
    """

    torch: str | None
    files: tuple[Path, ...]

    @property
    def sha256(self) -> str:
        """Hex SHA-256 over the locks: two images with the same one hold the same packages."""
        digest = hashlib.sha256()
        for path in self.files:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    def count(self) -> int:
        """How many packages the locks name."""
        return len({name for path in self.files for name, _ in _PIN.findall(path.read_text("utf-8"))})

    def version(self, package: str) -> str:
        """The pinned version of `package`; the first where it depends on Python's version.

        Raises:
            KeyError: the locks do not name it.
        """
        for path in reversed(self.files):
            for name, version in _PIN.findall(path.read_text("utf-8")):
                if name == package:
                    return str(version)
        raise KeyError(package)


def dockerfile() -> Path:
    """The Dockerfile in the installed package."""
    return _FOLDER / "Dockerfile"


def image_lock(torch: str | None = None) -> ImageLock:
    """The locks of the image with a torch.

    Args:
        torch: "2.6" and the like; None for the newest.

    Raises:
        ConfigError: there is no lock for it.
    """
    main = _FOLDER / "image.lock"
    if torch is None:
        return ImageLock(None, (main,))
    if torch not in torch_variants():
        known = f"{', '.join(torch_variants())}; without --torch it is {ImageLock(None, (main,)).version('torch')}"
        raise ConfigError(
            f"there is no lock for torch {torch}, only for {known}",
            hint="kagglerun image build --torch 2.9",
        )
    return ImageLock(torch, (main, _FOLDER / "torch" / f"{torch}.lock"))


def torch_variants() -> tuple[str, ...]:
    """The versions of torch that have a lock beside the newest, e.g. "2.6"; oldest first."""
    names = (path.stem for path in (_FOLDER / "torch").glob("*.lock"))
    return tuple(sorted(names, key=lambda name: tuple(map(int, name.split(".")))))

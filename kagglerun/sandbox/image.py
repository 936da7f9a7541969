"""What Kaggle's image has: its Python, its platform and its packages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.utils import canonicalize_name

from kagglerun.errors import ConfigError

_SHIPPED = Path(__file__).with_name("image_packages.txt")
_MACHINE = re.compile(r"^# python==(\S+) platform==(\S+)$", re.MULTILINE)
_PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;+]+)", re.MULTILINE)


@dataclass(frozen=True)
class Image:
    """An image that notebooks run in.

    Attributes:
        python: e.g. "3.12".
        platform: the newest tag that its system takes, e.g. "manylinux_2_35_x86_64".
        packages: version by canonical name, without local parts such as +cu128.
    """

    python: str
    platform: str
    packages: Mapping[str, str]

    def constraints(self) -> str:
        """The packages as pip and uv read them."""
        return "".join(f"{name}=={version}\n" for name, version in sorted(self.packages.items()))


def read_image(listing: Path | None = None) -> Image:
    """Read what an image has.

    Args:
        listing: what `pip freeze` printed in it, where a line `# python==3.12 platform==manylinux_2_35_x86_64` may say
            more; None for the list that is shipped.

    Raises:
        ConfigError: the file names no package.
    """
    shipped = _parse(_SHIPPED.read_text("utf-8"), Image("", "", {}))
    if listing is None:
        return shipped
    try:
        read = _parse(listing.read_text("utf-8"), replace(shipped, packages={}))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{listing} cannot be read: {error}", hint="!pip freeze > image.txt in a notebook") from error
    if not read.packages:
        raise ConfigError(
            f"{listing} names no package: a line is like numpy==2.0.2",
            hint="!pip freeze > image.txt in a notebook there",
        )
    return read


def _parse(text: str, otherwise: Image) -> Image:
    said = _MACHINE.search(text)
    python, platform = said.groups() if said else (otherwise.python, otherwise.platform)
    return Image(python, platform, {canonicalize_name(name): version for name, version in _PINNED.findall(text)})

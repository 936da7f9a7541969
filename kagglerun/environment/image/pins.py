"""Which base images the workspace's images start from: `image.yaml`, which belongs into git.

A tag like python:3.12-slim-bookworm names another image each month. The digest that the first build met is written
down, and every later build, here and on a teammate's machine, starts from exactly that one.
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from pydantic import Field, ValidationError

from kagglerun.config.section import Section
from kagglerun.errors import ConfigError
from kagglerun.files import write_text

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HEAD = "# What the base images were when they were first used; `kagglerun image lock --update` takes newer ones.\n"


class BasePins(Section):
    """What the file says."""

    bases: dict[str, str] = Field(default_factory=dict)
    """Digest by the name of the base image."""


def read_pins(path: Path) -> BasePins:
    """Read the pins; none where there is no file.

    Raises:
        ConfigError: the file holds something else, or what is no digest.
    """
    if not path.is_file():
        return BasePins()
    try:
        pins = BasePins.model_validate(yaml.safe_load(path.read_text("utf-8")) or {})
    except (yaml.YAMLError, UnicodeDecodeError, ValidationError) as error:
        raise ConfigError(f"{path} cannot be read: {str(error).splitlines()[0]}", hint=f"rm {path}") from error
    for base, digest in pins.bases.items():
        if not _DIGEST.fullmatch(digest):
            raise ConfigError(f"{path}: {base} is {digest!r}, which is no sha256 digest", hint="kagglerun image lock")
    return pins


def write_pin(path: Path, base: str, digest: str) -> None:
    """Write down the digest of a base image; the others stay."""
    bases = {**read_pins(path).bases, base: digest}
    write_text(path, _HEAD + yaml.safe_dump({"bases": bases}))


def pinned_reference(base: str, digest: str | None) -> str:
    """The name under which a registry gives that very image.

    Args:
        base: a name with or without a tag, or already with a digest, which then counts.
        digest: "sha256:...", or None for whatever the tag names now.

    Returns:
        e.g. "python@sha256:...": not every engine takes a tag and a digest together.
    """
    if digest is None or "@" in base:
        return base
    head, slash, last = base.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}@{digest}"

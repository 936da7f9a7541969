"""The image that a container is to be started from, in the engine's store."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from kagglerun.environment.image.engines import Docker, Engine, find_engine
from kagglerun.errors import ImageError


def likely_engine(wanted: str | None, must_work: bool) -> Engine:
    """The engine that works here; docker where none does and its command is only to be shown.

    Args:
        wanted: its name.
        must_work: whether it will be used.

    Raises:
        ImageError: none works.
    """
    try:
        return find_engine(wanted)
    except ImageError:
        if must_work or wanted not in (None, "docker"):
            raise
        return Docker("docker")


def image_in_store(engine: Engine, name: str, must_be_there: bool, tell: Callable[[str], None]) -> str | None:
    """Digest of the image; one of a registry is fetched where it is missing.

    Args:
        engine: whose store.
        name: of the image.
        must_be_there: whether it will be used.
        tell: called before something is fetched.

    Returns:
        None where it is not there and need not be.

    Raises:
        ImageError: it is not there and cannot be fetched.
    """
    try:
        return engine.inspect(name).digest
    except ImageError as error:
        if not must_be_there:
            return None
        if "/" not in name:
            hint = "kagglerun image build    (or --image with a registry's name)"
            raise ImageError(f"{engine.name} has no image {name}", hint=hint) from error
    tell(f"fetching {name}")
    if subprocess.run(engine.pull(name), check=False, stdin=subprocess.DEVNULL).returncode:
        raise ImageError(f"{name} could not be fetched; what {engine.name} said stands above")
    return engine.inspect(name).digest

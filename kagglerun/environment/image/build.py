"""Builds the image: finds out what its base is, makes the context, runs the engine."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import kagglerun
from kagglerun.environment.image.engines import BuildRequest, Engine
from kagglerun.environment.image.facts import ImageFacts
from kagglerun.environment.image.lock import ImageLock, dockerfile, image_lock
from kagglerun.environment.image.names import image_name
from kagglerun.environment.image.pins import pinned_reference, read_pins, write_pin
from kagglerun.environment.image.programs import run_shown
from kagglerun.errors import ImageError
from kagglerun.files import sha256_of_file
from kagglerun.own_wheel import write_own_wheel

STANDARD_BASE = "docker.io/library/python:3.12-slim-bookworm"
_INDEX = "KAGGLERUN_BUILD_INDEX"
KAGGLE_BASE = "gcr.io/kaggle-gpu-images/python:latest"


@dataclass(frozen=True)
class Variant:
    """Which image.

    Attributes:
        base: the image it starts from; None for the usual one.
        torch: a torch of the user's choice, e.g. "2.6"; None for the newest.
        parity: whether it is Kaggle's own environment with kagglerun in it.
        name: what it is called; None for the usual name.
    """

    base: str | None = None
    torch: str | None = None
    parity: bool = False
    name: str | None = None

    @property
    def base_name(self) -> str:
        """The image it starts from, without a digest unless the user gave one."""
        return self.base or (KAGGLE_BASE if self.parity else STANDARD_BASE)

    @property
    def tag(self) -> str:
        """What it is called."""
        return self.name or image_name(self.torch, self.parity)


@dataclass(frozen=True)
class Pinned:
    """A base image with the digest that counts from now on.

    Attributes:
        reference: what the build starts from.
        digest: "sha256:...".
        is_new: whether it was not written down before.
    """

    reference: str
    digest: str
    is_new: bool


@dataclass(frozen=True)
class BuildOptions:
    """How to build.

    Attributes:
        secrets: files by the id under which the Dockerfile mounts them.
        index: variables that name an index, as lines for a shell; they may hold a password.
        use_cache: whether known steps are taken from the engine's cache.
    """

    secrets: Mapping[str, Path] = field(default_factory=dict)
    index: str = ""
    use_cache: bool = True


def build(engine: Engine, variant: Variant, base: Pinned, options: BuildOptions) -> ImageFacts:
    """Build the image; the engine's progress goes to standard error.

    Args:
        engine: what builds.
        variant: which image.
        base: from `pin_base`.
        options: how.

    Returns:
        The built image.

    Raises:
        ConfigError: there is no lock for that torch.
        ImageError: the engine failed.
    """
    with context(image_lock(variant.torch)) as folder:
        run_shown(engine.build(build_request(variant, base, folder, options)), {_INDEX: options.index})
    return engine.inspect(variant.tag)


def build_request(variant: Variant, base: Pinned, folder: Path, options: BuildOptions) -> BuildRequest:
    """What the engine is asked for."""
    lock = image_lock(variant.torch)
    arguments = {
        "KAGGLE_BASE" if variant.parity else "BASE": base.reference,
        "VERSION": kagglerun.__version__,
        "BASE_DIGEST": base.digest,
        "LOCK_SHA256": lock.sha256,
        "WHEEL_SHA256": sha256_of_file(next(folder.glob("*.whl"))),
    }
    if not variant.parity:
        arguments["TORCH"] = variant.torch or ""
        arguments["TORCH_VERSION"] = lock.version("torch")
    return BuildRequest(
        name=variant.tag,
        context=folder,
        target="kaggle-parity" if variant.parity else "kagglerun",
        arguments=arguments,
        secrets=options.secrets,
        secret_variables={"index": _INDEX} if options.index else {},
        use_cache=options.use_cache,
    )


@contextlib.contextmanager
def context(lock: ImageLock) -> Iterator[Path]:
    """A folder with the Dockerfile, the locks and a wheel of the installed kagglerun; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="kagglerun-image-") as name:
        folder = Path(name)
        shutil.copyfile(dockerfile(), folder / "Dockerfile")
        (folder / "torch").mkdir()
        main, *others = lock.files
        shutil.copyfile(main, folder / main.name)
        for path in others:
            shutil.copyfile(path, folder / "torch" / path.name)
        write_own_wheel(folder)
        yield folder


def pin_base(engine: Engine, base: str, pins: Path, update: bool = False) -> Pinned:
    """Fetch the base image that is written down; at the first time, write down what its name means now.

    Args:
        engine: what fetches it.
        base: its name.
        pins: the workspace's image.yaml.
        update: whether to look again what the name means.

    Raises:
        ConfigError: image.yaml cannot be read.
        ImageError: it cannot be fetched; or it exists on this machine only and is another one now.
    """
    known = None if update else read_pins(pins).bases.get(base)
    facts = _here(engine, base)
    if facts is None or facts.repository_digest is not None:  # else no registry is known to have it
        reference = pinned_reference(base, known)
        facts = None if update else _here(engine, reference)
        if facts is None or known not in (None, facts.digest):
            run_shown(engine.pull(reference))
            facts = engine.inspect(reference)
    elif known not in (None, facts.digest):
        raise ImageError(
            f"{base} is not the image that {pins.name} names: it is {facts.digest}, not {known}",
            hint="kagglerun image lock --update",
        )
    if known is None:
        write_pin(pins, base, facts.digest)
    return Pinned(pinned_reference(base, facts.repository_digest), facts.digest, is_new=known is None)


def _here(engine: Engine, name: str) -> ImageFacts | None:
    """The image, if it is in the store."""
    try:
        return engine.inspect(name)
    except ImageError:
        return None

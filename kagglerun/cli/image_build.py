"""`kagglerun image build`, `lock` and `digest`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from kagglerun.cli.console import err, out

if TYPE_CHECKING:
    from kagglerun.environment.image.build import Pinned, Variant
    from kagglerun.environment.image.engines import Engine
    from kagglerun.environment.image.facts import ImageFacts

_BEFORE_THE_STEP = re.compile(r"^(\|\d+ .*? )?/bin/(ba)?sh -[a-z]+ |--mount=\S+\s+")
EngineName = Annotated[
    str | None,
    typer.Option("--engine", help="docker, podman or buildah; by default the first that works here."),
]
Torch = Annotated[
    str | None, typer.Option("--torch", help="2.6, 2.7 or 2.9, with the CUDA it brings, instead of the newest.")
]
Parity = Annotated[
    bool, typer.Option("--kaggle-parity", help="Kaggle's own GPU image, its torch as it is, with kagglerun added.")
]
Base = Annotated[
    str | None,
    typer.Option("--base", metavar="IMAGE", help="Start from this Debian or Ubuntu image, which has python3-venv."),
]
Name = Annotated[str | None, typer.Option("--name", help="What to call it; by default kagglerun:VERSION.")]


def build(
    torch: Torch = None,
    kaggle_parity: Parity = False,
    base: Base = None,
    name: Name = None,
    engine: EngineName = None,
    machine_settings: Annotated[
        bool,
        typer.Option(
            "--machine-settings",
            help="Use this machine's pip and uv indexes and CA certificates while building; none stays in the image.",
        ),
    ] = False,
    apt_sources: Annotated[
        Path | None,
        typer.Option("--apt-sources", metavar="FILE", help="A sources.list used while building, e.g. of a mirror."),
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Make every step again.")] = False,
) -> None:
    """Build the standard image from hash-pinned packages: CUDA's torch, Jupyter, SSH, MLflow, TensorBoard, kagglerun.

    The base image is the one whose digest stands in the workspace's image.yaml; the first build writes it there.
    """
    import os

    from kagglerun.environment.image.build import BuildOptions, Variant, build
    from kagglerun.environment.image.lock import image_lock
    from kagglerun.environment.image.machine_settings import index_variables, machine_secrets, secret_file

    variant = Variant(base=base, torch=torch, parity=kaggle_parity, name=name)
    image_lock(torch)
    chosen, pinned = _pinned(variant, engine, update=False)
    secrets, index = (machine_secrets(os.environ), index_variables(os.environ)) if machine_settings else ({}, "")
    if apt_sources is not None:
        secrets["apt"] = secret_file("--apt-sources", apt_sources)
    err.print(f"building {escape(variant.tag)} with {chosen.name}; the first time takes minutes: torch is large")
    facts = build(chosen, variant, pinned, BuildOptions(secrets, index, use_cache=not no_cache))
    _tell(facts)
    out.print("next: kagglerun image run kagglerun doctor")


def lock(
    torch: Torch = None,
    kaggle_parity: Parity = False,
    base: Base = None,
    update: Annotated[
        bool, typer.Option("--update", help="Take the base image as it is today, for the next builds.")
    ] = False,
    engine: EngineName = None,
) -> None:
    """Say what an image is built from, and pin its base image: its digest goes into image.yaml, at the first time.

    With image.yaml in git, every later build starts from the same base; the packages are pinned by kagglerun itself.
    """
    from kagglerun.environment.image.build import Variant
    from kagglerun.environment.image.lock import image_lock

    variant = Variant(base=base, torch=torch, parity=kaggle_parity)
    locked = image_lock(torch)
    _, pinned = _pinned(variant, engine, update)
    out.print(f"base      {escape(variant.base_name)}")
    out.print(f"          {pinned.digest}")
    if not kaggle_parity:
        out.print(f"torch     {locked.version('torch')}")
    out.print(f"packages  {locked.count()}, each with its hashes; lock {locked.sha256[:12]}")


def digest(
    name: Annotated[str | None, typer.Argument(help="The image; by default kagglerun:VERSION.")] = None,
    layers: Annotated[bool, typer.Option("--layers", help="Show the size of each layer.")] = False,
    engine: EngineName = None,
) -> None:
    """Print the digest that names an image and no other: what a run in it notes in environment.json."""
    from kagglerun.environment.image.engines import find_engine
    from kagglerun.environment.image.names import image_name
    from kagglerun.errors import ImageError

    chosen = find_engine(engine)
    wanted = name or image_name()
    try:
        facts = chosen.inspect(wanted)
    except ImageError as error:
        raise ImageError(f"{chosen.name} has no image {wanted}", hint="kagglerun image build") from error
    out.print(facts.digest, markup=False)
    if layers:
        _show_layers(facts)


def _pinned(variant: Variant, engine: str | None, update: bool) -> tuple[Engine, Pinned]:
    from kagglerun.environment.image.build import pin_base
    from kagglerun.environment.image.engines import find_engine
    from kagglerun.workspace import Workspace

    pins = Workspace.find().image_pins
    chosen = find_engine(engine)
    pinned = pin_base(chosen, variant.base_name, pins, update)
    if pinned.is_new:
        err.print(f"{escape(variant.base_name)} is {pinned.digest[:19]} from now on: {escape(str(pins))}")
    return chosen, pinned


def _tell(facts: ImageFacts) -> None:
    out.print(f"{escape(facts.name)}  {facts.size_bytes / 1e9:.2f} GB in {len(facts.layers)} layers  {facts.digest}")


def _show_layers(facts: ImageFacts) -> None:
    for layer in facts.layers:
        step = " ".join(_BEFORE_THE_STEP.sub("", layer.made_by).split())[:100] or "(base)"
        out.print(f"{layer.size_bytes / 1e6:9.1f} MB  {step}", markup=False)

"""Packaging a run for a code competition: weights, wheels, an inference notebook, and their descriptions.

The package is made in a folder beside its place and moved there when it is whole.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kagglerun import __version__
from kagglerun.code_competition.freeze import freeze_run
from kagglerun.code_competition.inference.data_set import read_inference
from kagglerun.code_competition.notebook import make_notebook, slug_of, write_descriptions
from kagglerun.code_competition.package_files import (
    Manifest,
    PackagePaths,
    describe_files,
    read_manifest,
    write_manifest,
)
from kagglerun.code_competition.requirements import requirements_of
from kagglerun.code_competition.wheels import collect_wheels
from kagglerun.config.load import load_card, load_config
from kagglerun.errors import PackageError, unknown_name
from kagglerun.files import write_text
from kagglerun.notebooks.build import check_gpu
from kagglerun.paths import RunPaths
from kagglerun.sandbox.image import read_image
from kagglerun.submission.sample_format import suffix_of
from kagglerun.submission.write import sample_path
from kagglerun.workspace import Workspace

PACKAGES = ("platform", "keep-torch", "locked")
DEFAULT_HOURS = 9.0
"""The limit of most code competitions (their page "Code Requirements")."""
DEFAULT_MEMORY_GB = 29.0
"""A notebook has 29 GB with a GPU and 30 GB without (kaggle.com/docs/notebooks, "Technical Specifications")."""
MOST_DATA_SET_BYTES = 200 * 10**9
"""What Kaggle takes as one data set (kaggle.com/docs/datasets)."""
_LARGE_BYTES = 10 * 10**9
_LEFT_BEHIND_SECONDS = 86_400.0
_GPU_KINDS = ("tabular_neural", "image")


@dataclass(frozen=True)
class PackageOptions:
    """What is asked of a package.

    Attributes:
        packages: "platform", "keep-torch" or "locked"; see `requirements_of`.
        gpu: T4, P100, L4, A100, "none"; None chooses by the models.
        hours: the competition's limit.
        memory_gb: memory of such a notebook, in 10^9 bytes.
        image_packages: what Kaggle's image has, as `pip freeze` lists it; None for the list that is shipped.
        extra: further requirements.
        user: the user's name on Kaggle; None leaves a place to fill in.
        out: where to; None for the workspace's own place.
    """

    packages: str = "platform"
    gpu: str | None = None
    hours: float = DEFAULT_HOURS
    memory_gb: float = DEFAULT_MEMORY_GB
    image_packages: Path | None = None
    extra: tuple[str, ...] = ()
    user: str | None = None
    out: Path | None = None


@dataclass(frozen=True)
class Package:
    """A package.

    Attributes:
        paths: its files.
        manifest: what stands in it.
        notes: what the user should know, one sentence each.
    """

    paths: PackagePaths
    manifest: Manifest
    notes: tuple[str, ...] = ()


def make_package(
    workspace: Workspace,
    run: RunPaths,
    options: PackageOptions | None = None,
    tell: Callable[[str], None] | None = None,
) -> Package:
    """Package a run; what stood in its place is replaced when the new one is whole.

    Args:
        workspace: where the run is.
        run: a finished run, or an ensemble.
        options: see there.
        tell: takes one line for each step.

    Raises:
        PackageError: the run cannot be packaged, or a wheel cannot be had.
        ConfigError: an option is none of its allowed values.
    """
    options, say = options or PackageOptions(), tell or (lambda _: None)
    if options.packages not in PACKAGES:
        raise unknown_name("value of --packages", options.packages, PACKAGES)
    image = read_image(options.image_packages)
    place = PackagePaths(options.out) if options.out else PackagePaths.of(workspace, run)
    with _made_beside(place.folder) as folder:
        paths = PackagePaths(folder)
        freeze_run(workspace, run, paths.data_set)
        say(f"weights and preprocessing of {_members(paths)}")
        requirements = requirements_of(paths.frozen, options.packages, options.extra)
        wheels = collect_wheels(paths.wheels, requirements, image)
        say(f"wheels for Python {image.python}: {', '.join(wheel.name.partition('-')[0] for wheel in wheels)}")
        gpu = _gpu(paths, options.gpu)
        slug, output = slug_of(run.slug, run.run_id), _output_name(workspace, run)
        text = make_notebook(slug, run.slug, output, options.hours, options.memory_gb)
        write_text(paths.notebook_file(slug), text)
        write_descriptions(paths, slug, run.slug, gpu, options.user)
        manifest = Manifest(
            competition=run.slug,
            run=run.run_id,
            slug=slug,
            output=output,
            kagglerun=__version__,
            python=image.python,
            platform=image.platform,
            packages=options.packages,
            requirements=tuple(map(str, requirements)),
            gpu=gpu,
            hours=options.hours,
            memory_gb=options.memory_gb,
            files=describe_files(paths),
        )
        write_manifest(paths, manifest)
    return Package(place, manifest, tuple(_notes(place, manifest)))


def find_package(paths: PackagePaths) -> Package:
    """A package that was made before.

    Raises:
        PackageError: there is none, or it is damaged.
    """
    manifest = read_manifest(paths)
    return Package(paths, manifest, tuple(_notes(paths, manifest)))


def give_to(package: Package, user: str) -> None:
    """Write the user's name on Kaggle into the package's descriptions."""
    manifest = package.manifest
    write_descriptions(package.paths, manifest.slug, manifest.competition, manifest.gpu, user)


@contextmanager
def _made_beside(place: Path) -> Iterator[Path]:
    """A folder that becomes `place` at the end; on an error `place` stays as it was.

    Raises:
        PackageError: something else stands there.
    """
    if place.exists() and not (place.is_dir() and (not any(place.iterdir()) or PackagePaths(place).manifest.is_file())):
        raise PackageError(f"{place} is there already and is no package", hint="--out with the name of a new folder")
    _remove_leftovers(place)
    making = place.with_name(f".{place.name}.{uuid.uuid4().hex[:12]}")
    old = place.with_name(f".{place.name}.{uuid.uuid4().hex[:12]}.old")
    making.mkdir(parents=True)
    try:
        yield making
        if place.exists():
            place.rename(old)
        making.rename(place)
    finally:
        shutil.rmtree(making, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _remove_leftovers(place: Path) -> None:
    """What commands that were killed left behind, unless it is so new that one may still work there."""
    for left in place.parent.glob(f".{place.name}.*"):
        if time.time() - left.stat().st_mtime > _LEFT_BEHIND_SECONDS:
            shutil.rmtree(left, ignore_errors=True)


def _members(paths: PackagePaths) -> str:
    members = read_inference(paths.frozen).members
    folds = sum(len(member.folds) for member in members)
    return f"{len(members)} run{'s' if len(members) > 1 else ''}, {folds} folds"


def _gpu(paths: PackagePaths, wanted: str | None) -> str | None:
    """The GPU that the notebook asks for.

    Raises:
        ConfigError: Kaggle has no such GPU.
    """
    if wanted is not None:
        chosen = None if wanted.lower() == "none" else wanted.upper()
        check_gpu("kaggle", chosen)
        return chosen
    members = read_inference(paths.frozen).members
    kinds = {load_config(paths.frozen.member(member.run).config).model.kind for member in members}
    return "T4" if kinds & set(_GPU_KINDS) else None


def _output_name(workspace: Workspace, run: RunPaths) -> str:
    competition = workspace.competition(run.slug)
    return f"submission{suffix_of(sample_path(competition, load_card(competition.card)))}"


def _notes(paths: PackagePaths, manifest: Manifest) -> Iterator[str]:
    yield from read_inference(paths.frozen).notes
    if manifest.bytes > MOST_DATA_SET_BYTES:
        most = MOST_DATA_SET_BYTES / 1e9
        yield f"{manifest.bytes / 1e9:.0f} GB are more than the {most:.0f} GB that a data set on Kaggle may have"
    elif manifest.bytes > _LARGE_BYTES:
        yield f"{manifest.bytes / 1e9:.0f} GB are a long upload; fewer members or --packages platform make it smaller"

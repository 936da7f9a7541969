"""The files of a package, and its manifest.

package.json      written last: what was asked, what stands in it, digests of every file
data-set/         what `kaggle datasets create` uploads: weights, card, hooks, wheels
notebook/         what `kaggle kernels push` pushes
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pydantic

from kagglerun.code_competition.inference.data_set import DataSetPaths
from kagglerun.config.section import Section
from kagglerun.errors import PackageError
from kagglerun.files import read_json, sha256_of_file, sha256_of_json, write_json
from kagglerun.paths import Entry, RunPaths
from kagglerun.workspace import Workspace

_AGAIN = "make the package again: kagglerun package RUN"


@dataclass(frozen=True)
class PackagePaths:
    """The files of one package."""

    folder: Path

    manifest = Entry("package.json")
    """What stands in it; written last, so it proves that the package is whole."""
    data_set = Entry("data-set")
    """What is uploaded as a data set."""
    data_set_metadata = Entry("dataset-metadata.json", base="data_set")
    """Its name on Kaggle, as the official client reads it."""
    wheels = Entry("wheels", base="data_set")
    """What the notebook installs."""
    notebook = Entry("notebook")
    """What is pushed as a notebook."""
    kernel_metadata = Entry("kernel-metadata.json", base="notebook")
    """Its name, inputs and settings on Kaggle, as the official client reads them."""
    rehearsal = Entry("rehearsal")
    """What its last rehearsal left: for each variant the notebook's output, and the executed notebook beside it."""
    rehearsal_result = Entry("rehearsal.json", base="rehearsal")
    """How the rehearsal ended; written last."""

    @classmethod
    def of(cls, workspace: Workspace, run: RunPaths) -> PackagePaths:
        """The package of a run in its usual place."""
        return cls(workspace.packages / run.slug / run.run_id)

    @property
    def frozen(self) -> DataSetPaths:
        """The packaged run in the data set."""
        return DataSetPaths(self.data_set)

    def notebook_file(self, slug: str) -> Path:
        """The notebook."""
        return self.notebook / f"{slug}.ipynb"


class PackagedFile(Section):
    """One file of the package."""

    name: str
    """Relative to the package, with slashes."""
    bytes: int
    """Its size."""
    sha256: str
    """Hex digest."""


class Manifest(Section):
    """What a package is."""

    version: Literal[1] = 1
    """Of this file's format."""
    competition: str
    """The competition's slug."""
    run: str
    """The run's id."""
    slug: str
    """Name of the data set and of the notebook on Kaggle, without the owner's."""
    output: str
    """Name of the submission file."""
    kagglerun: str
    """The version that made it."""
    python: str
    """Python of the image that it is made for."""
    platform: str
    """Platform of the image."""
    packages: str
    """locked, keep-torch or platform."""
    requirements: tuple[str, ...]
    """What the notebook needs."""
    gpu: str | None
    """The GPU that the notebook asks for."""
    hours: float
    """The competition's limit."""
    memory_gb: float
    """Memory of such a notebook, in 10^9 bytes."""
    files: tuple[PackagedFile, ...]
    """All of its files but this one, by name."""

    @property
    def sha256(self) -> str:
        """Digest of all that is pushed; who owns it does not count."""
        pushed = [[file.name, file.sha256] for file in self.files if not file.name.endswith("-metadata.json")]
        return sha256_of_json([pushed, self.slug, self.gpu])

    @property
    def bytes(self) -> int:
        """Size of the whole."""
        return sum(file.bytes for file in self.files)


def describe_files(paths: PackagePaths) -> tuple[PackagedFile, ...]:
    """Sizes and digests of what is to be pushed."""
    found = [path for part in (paths.data_set, paths.notebook) for path in part.rglob("*") if path.is_file()]
    return tuple(
        PackagedFile(
            name=path.relative_to(paths.folder).as_posix(), bytes=path.stat().st_size, sha256=sha256_of_file(path)
        )
        for path in sorted(found)
    )


def write_manifest(paths: PackagePaths, manifest: Manifest) -> None:
    """Write package.json in one step."""
    write_json(paths.manifest, manifest.model_dump(mode="json"))


def read_manifest(paths: PackagePaths) -> Manifest:
    """Read package.json, and check that the files are still there in their sizes.

    Raises:
        PackageError: there is no package, or it is damaged.
    """
    if not paths.manifest.is_file():
        raise PackageError(f"{paths.folder} holds no package", hint="kagglerun package RUN")
    try:
        manifest = Manifest.model_validate(read_json(paths.manifest))
    except (ValueError, pydantic.ValidationError) as error:
        raise PackageError(f"{paths.manifest} is damaged: {str(error).splitlines()[0]}", hint=_AGAIN) from error
    for file in manifest.files:
        path = paths.folder / file.name
        if not file.name.endswith("-metadata.json") and (not path.is_file() or path.stat().st_size != file.bytes):
            raise PackageError(f"{path} is missing or was changed", hint=_AGAIN)
    return manifest

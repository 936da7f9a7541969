"""What a packaged run needs of other packages, and which of it Kaggle's image lacks."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from kagglerun.code_competition.inference.data_set import DataSetPaths, read_inference
from kagglerun.config.load import load_config
from kagglerun.errors import PackageError
from kagglerun.sandbox.image import Image

INFERENCE = (
    "numpy",
    "pandas",
    "pillow",
    "psutil",
    "pyarrow",
    "pydantic",
    "pyyaml",
    "safetensors",
    "scikit-learn",
    "scipy",
)
"""What kagglerun's inference needs whatever the model is."""
_OF_MODELS = {
    "tabular_boosting": ("lightgbm", "torch"),
    "tabular_neural": ("torch",),
    "image": ("timm", "torch", "torchvision"),
}
_ANY_VERSION = frozenset({"psutil"})
"""Inference asks it for the free memory only, which every version tells; Kaggle's is older than what jobs need."""
TORCH_AND_ITS_OWN = re.compile(r"torch|torchvision|triton|sympy|cuda-.*|nvidia-[^m].*")
"""As notebooks that train take it: what a platform's own torch was built with stays with it."""


def requirements_of(data_set: DataSetPaths, packages: str, extra: Iterable[str] = ()) -> tuple[Requirement, ...]:
    """What the packaged run needs.

    Args:
        data_set: what `freeze_run` wrote.
        packages: "platform" takes any version that kagglerun works with, "locked" the versions of this machine,
            "keep-torch" those but of torch.
        extra: further requirements of the user's.

    Raises:
        PackageError: the competition's own code imports something that is not installed here, or `extra` is not read.
    """
    names = {*INFERENCE, *_of_models(data_set), *_of_hooks(data_set)}
    bounds = _own_bounds()
    chosen = {}
    for name in sorted(names):
        pinned = packages == "locked" or (packages == "keep-torch" and not TORCH_AND_ITS_OWN.fullmatch(name))
        chosen[name] = Requirement(f"{name}=={_version(name)}") if pinned else bounds.get(name, Requirement(name))
    for text in extra:
        try:
            requirement = Requirement(text)
        except ValueError as error:
            raise PackageError(f"--with {text!r} is no requirement: {error}", hint="--with 'polars>=1.0'") from error
        chosen[canonicalize_name(requirement.name)] = requirement
    return tuple(chosen.values())


def lacking(requirements: Iterable[Requirement], image: Image) -> list[Requirement]:
    """Those that the image does not satisfy by itself."""
    return [wanted for wanted in requirements if not _satisfied(wanted, image)]


def _satisfied(wanted: Requirement, image: Image) -> bool:
    version = image.packages.get(canonicalize_name(wanted.name))
    return version is not None and wanted.specifier.contains(version, prereleases=True)


def _of_models(data_set: DataSetPaths) -> Iterator[str]:
    for member in read_inference(data_set).members:
        config = load_config(data_set.member(member.run).config)
        yield from _OF_MODELS.get(config.model.kind, ("lightgbm", "timm", "torch", "torchvision"))


def _of_hooks(data_set: DataSetPaths) -> Iterator[str]:
    """Packages that the competition's own code imports, wherever in it."""
    known = importlib.metadata.packages_distributions()
    files = {data_set.competition.hooks, *(data_set.members.glob("*/hooks.py"))}
    for module in sorted({name for path in files if path.is_file() for name in _imported(path)}):
        if module == "kagglerun" or module in sys.stdlib_module_names:
            continue
        if module not in known:
            raise PackageError(
                f"hooks.py imports {module}, which is not installed here, so which package it is in is not known",
                hint="install it here, or leave the import out",
            )
        yield canonicalize_name(known[module][0])


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _own_bounds() -> dict[str, Requirement]:
    """kagglerun's own requirements by name."""
    asked = map(Requirement, importlib.metadata.requires("kagglerun") or ())
    bounded = {
        canonicalize_name(one.name): Requirement(f"{one.name}{one.specifier}") for one in asked if not one.marker
    }
    return {name: one for name, one in bounded.items() if name not in _ANY_VERSION}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        raise PackageError(
            f"{name} is not installed here, so its version is not known", hint=f"pip install {name}"
        ) from None

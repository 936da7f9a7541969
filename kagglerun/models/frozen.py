"""Weights and preprocessing of a packaged fold: copied from a run's folder, and read back."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from kagglerun.errors import PackageError
from kagglerun.files import atomic_path, read_json
from kagglerun.workspace import FoldPaths

PACKAGE_AGAIN = "make the package again: kagglerun package RUN"


def copy_weights(source: Path, destination: Path) -> None:
    """Copy a file of weights in one step.

    Raises:
        PackageError: it is not there.
    """
    if not source.is_file():
        raise PackageError(
            f"the weights {source} are not there, so the run cannot be packaged",
            hint="train it again, or pull it with its weights: kagglerun sync",
        )
    with atomic_path(destination) as temporary:
        shutil.copyfile(source, temporary)


def read_preprocessing(paths: FoldPaths) -> dict[str, Any]:
    """What a family wrote into `paths.preprocessing`.

    Raises:
        PackageError: it is missing or damaged.
    """
    try:
        saved: dict[str, Any] = read_json(paths.preprocessing)
        return saved
    except (OSError, ValueError) as error:
        raise PackageError(f"{paths.preprocessing} cannot be read: {error}", hint=PACKAGE_AGAIN) from error

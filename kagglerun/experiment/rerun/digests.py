"""Digests of what a fold gave: weights tensor by tensor, predictions, curves."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from torch import Tensor

from kagglerun.experiment.predictions import Predictions, read_predictions
from kagglerun.files import read_json, sha256_of_file, sha256_of_json
from kagglerun.workspace import FoldPaths


@dataclass(frozen=True)
class FoldDigests:
    """Hex SHA-256 of what a fold gave. They do not depend on how a file is packed, only on what is in it.

    Attributes:
        folds: signature of the split, see `data.splits.signature`.
        weights: tensor name to the digest of its dtype, shape and numbers.
        files: other files that the model left, e.g. a booster's trees, to the digest of their bytes.
        history: of the curves.
        oof: of ids, rows and predictions for the fold's validation rows.
        test: of ids and predictions for the test rows.
    """

    folds: str
    weights: dict[str, str]
    files: dict[str, str]
    history: str
    oof: str
    test: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @property
    def all(self) -> str:
        """One digest of all of them."""
        return sha256_of_json(self.to_dict())


def take_digests(paths: FoldPaths, folds: str, history: Sequence[Mapping[str, float]]) -> FoldDigests:
    """Digest what stands in a fold's folder.

    Args:
        paths: the fold, whose weights and predictions are written.
        folds: signature of the split.
        history: one dict of values an epoch or tree.

    Raises:
        DataError: the predictions cannot be read.
    """
    return FoldDigests(
        folds=folds,
        weights=digest_weights(paths.weights),
        files={path.name: sha256_of_file(path) for path in other_files(paths)},
        history=sha256_of_json([{name: repr(float(value)) for name, value in values.items()} for values in history]),
        oof=_digest_of_predictions(read_predictions(paths.oof)),
        test=_digest_of_predictions(read_predictions(paths.test)),
    )


def read_digests(paths: FoldPaths) -> FoldDigests | None:
    """The digests that a fold wrote when it ended; None where it did not end, or wrote none."""
    return FoldDigests(**read_json(paths.digests)) if paths.digests.exists() and paths.result.exists() else None


def digest_weights(path: Path) -> dict[str, str]:
    """Each tensor of a safetensors file to its digest, read one at a time; empty when there is no file."""
    if not path.exists():
        return {}
    with safetensors.safe_open(path, framework="pt") as tensors:
        return {name: digest_of_tensor(tensors.get_tensor(name)) for name in sorted(tensors.keys())}


def names_of_tensors(path: Path) -> list[str]:
    """Names of the tensors in a safetensors file; empty when there is no file."""
    if not path.exists():
        return []
    with safetensors.safe_open(path, framework="pt") as tensors:
        return sorted(tensors.keys())


def digest_of_tensor(tensor: Tensor) -> str:
    """Hex SHA-256 of a CPU tensor's dtype, shape and bytes."""
    digest = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
    digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def other_files(paths: FoldPaths) -> list[Path]:
    """Files that a model left beside the weights, by name; what is being written and checkpoints are none of them."""
    known = {paths.weights, paths.oof, paths.test, paths.result, paths.digests}
    found = sorted(paths.folder.iterdir())
    return [
        path for path in found if path.is_file() and path not in known and not path.name.startswith((".", "checkpoint"))
    ]


def _digest_of_predictions(predictions: Predictions) -> str:
    """Over ids as text, rows, folds, names and the bits of the values."""
    ids = predictions.ids
    digest = hashlib.sha256(repr((predictions.names, [str(name) for name in ids.columns])).encode())
    for name in ids.columns:
        digest.update("\x1f".join(map(str, ids[name])).encode())
    for numbers in (predictions.rows, predictions.fold, predictions.values):
        digest.update(b"\0" if numbers is None else np.ascontiguousarray(numbers).tobytes())
    return digest.hexdigest()

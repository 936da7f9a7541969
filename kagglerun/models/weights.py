"""Pretrained weights from a local file, put into a model."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from kagglerun.errors import TrainingError
from kagglerun.files import atomic_path

_LEAST_SHARE = 0.5


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict: .safetensors, or anything torch loads with `weights_only=True`.

    Raises:
        TrainingError: the file is missing, damaged, or holds something else.
    """
    if not path.is_file():
        raise TrainingError(f"model.weights: there is no file {path}", hint="give the path of a .safetensors or .pth")
    try:
        if path.suffix == ".safetensors":
            tensors: dict[str, Tensor] = safetensors.torch.load_file(path)
            return tensors
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError, safetensors.SafetensorError) as error:
        raise TrainingError(
            f"model.weights: {path} cannot be read as weights: {str(error).splitlines()[0][:160]}",
            hint="pickled models are not loaded; save the state dict alone, as .safetensors",
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    entries = loaded.items() if isinstance(loaded, Mapping) else ()
    state = {str(name): value for name, value in entries if isinstance(value, Tensor)}
    if not state:
        raise TrainingError(f"model.weights: {path} holds no state dict", hint="save model.state_dict() alone")
    return state


def load_weights(model: nn.Module, path: Path) -> str:
    """Put a file's weights into a model; layers whose shape differs (the classifier's) keep their start.

    Names are matched first. Where they do not match at all (another library's names for the same architecture),
    tensors are paired in order, provided that every shape but the classifier's agrees.

    Returns:
        One sentence on what was loaded.

    Raises:
        TrainingError: less than half of the model's tensors found a partner.
    """
    theirs = {name.removeprefix("module."): tensor for name, tensor in read_weights(path).items()}
    mine = model.state_dict()
    matched = {name: tensor for name, tensor in theirs.items() if name in mine and mine[name].shape == tensor.shape}
    how = "by name"
    if len(matched) < _LEAST_SHARE * len(mine):
        matched, how = _paired_in_order(mine, theirs), "in order"
    if len(matched) < _LEAST_SHARE * len(mine):
        raise TrainingError(
            f"model.weights: {path.name} does not fit the model: {len(matched)} of {len(mine)} tensors agree",
            hint="choose the model.name that the weights were made with",
        )
    model.load_state_dict(matched, strict=False)
    return f"{len(matched)} of {len(mine)} tensors loaded {how} from {path.name}"


def _paired_in_order(mine: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Pairs in order, without batch counters; empty when an inner shape differs."""
    names = [name for name in mine if not name.endswith("num_batches_tracked")]
    tensors = [tensor for name, tensor in theirs.items() if not name.endswith("num_batches_tracked")]
    if len(names) != len(tensors):
        return {}
    pairs = list(zip(names, tensors, strict=True))
    differing = [position for position, (name, tensor) in enumerate(pairs) if mine[name].shape != tensor.shape]
    classifier = range(len(pairs) - 2, len(pairs))
    if any(position not in classifier for position in differing):
        return {}
    return {name: tensor for position, (name, tensor) in enumerate(pairs) if position not in differing}


def save_weights(model: nn.Module, path: Path) -> None:
    """Write a module's weights and buffers as safetensors in one step."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with atomic_path(path) as temporary:
        safetensors.torch.save_file(tensors, temporary)

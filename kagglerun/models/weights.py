"""Pretrained weights from a local file, put into a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from kagglerun.errors import TrainingError
from kagglerun.files import atomic_path

_LEAST_SHARE = 0.5
_COUNTER = "num_batches_tracked"


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
    except Exception as error:  # torch's unpickler meets rubbish with errors of every kind
        raise TrainingError(
            f"model.weights: {path} cannot be read as weights: {_first_line(error)}",
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


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0][:160] if lines else type(error).__name__


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
    mine = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith(_COUNTER)}
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
    """Pairs in order, batch counters left out; empty when an inner shape differs."""
    tensors = [tensor for name, tensor in theirs.items() if not name.endswith(_COUNTER)]
    if len(mine) != len(tensors):
        return {}
    pairs = list(zip(mine, tensors, strict=True))
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

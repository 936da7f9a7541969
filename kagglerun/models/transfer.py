"""Fine-tuning of pretrained image models: where the classifier starts, what stays as it was loaded, how fast each layer
learns."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.models import group_parameters
from timm.optim import auto_group_layers
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from kagglerun.config.schema import ImageModelConfig
from kagglerun.errors import ConfigError


def prepare_fine_tuning(model: nn.Module, config: ImageModelConfig) -> None:
    """Do to a model what the config says of head_init, freeze, freeze_layers, layer_decay and head_lr_scale.

    Args:
        model: a timm model with its weights loaded; changed in place. The names in its state dict stay the same,
            but frozen batch norms count no batches.
        config: the model section.

    Raises:
        ConfigError: there are not so many layers to freeze.
    """
    head = head_parameters(model)
    layers = layer_numbers(model)
    if config.head_init == "zero":
        _zero(model, head)
    _freeze(model, config, head, layers)
    top = max(layers.values())
    for name, parameter in model.named_parameters():
        below_top = top - layers.get(name, top)
        scale = config.head_lr_scale if name in head else config.layer_decay**below_top
        if scale != 1:
            parameter.lr_scale = scale  # type: ignore[attr-defined]  # read by training/optim.py


def head_parameters(model: nn.Module) -> frozenset[str]:
    """Names of the classifier's parameters; a few models have two classifiers."""
    heads = model.get_classifier()  # type: ignore[operator]  # every timm model has it
    heads = heads if isinstance(heads, tuple | list) else (heads,)
    ids = {id(parameter) for head in heads for parameter in head.parameters()}
    return frozenset(name for name, parameter in model.named_parameters() if id(parameter) in ids)


def layer_numbers(model: nn.Module) -> dict[str, int]:
    """Name of each parameter to the number of its layer as timm counts them: the stem, the blocks, the classifier."""
    if hasattr(model, "group_matcher"):
        return dict(group_parameters(model, model.group_matcher(coarse=False), reverse=True))  # type: ignore[operator]
    return dict(auto_group_layers(model))


@torch.no_grad()
def _zero(model: nn.Module, names: frozenset[str]) -> None:
    for name, parameter in model.named_parameters():
        if name in names:
            parameter.zero_()


def _freeze(model: nn.Module, config: ImageModelConfig, head: frozenset[str], layers: dict[str, int]) -> None:
    """Take the gradient from what is frozen, and make its batch norms constants."""
    most = max(layers.values())
    if config.freeze_layers > most:
        raise ConfigError(
            f"model.freeze_layers is {config.freeze_layers}, but {config.name} has {most} layers below its classifier",
            hint="model.freeze=backbone freezes all of them",
        )
    for name, parameter in model.named_parameters():
        is_frozen = config.freeze == "backbone" or layers.get(name, most) < config.freeze_layers
        parameter.requires_grad_(name in head or not is_frozen)
    for name, module in list(model.named_modules()):
        is_frozen = config.freeze == "batch_norm" or not any(p.requires_grad for p in module.parameters())
        if isinstance(module, _BatchNorm) and is_frozen:
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, FrozenBatchNorm(module))


class FrozenBatchNorm(nn.Module):
    """A batch norm that is a constant: its statistics and scales are buffers and stay as they are, in training too.

    timm's own multiplies in float32 also under autocast, which costs memory and time on a GPU.

    Args:
        norm: the batch norm it replaces; timm's carry dropout and activation with them.
    """

    weight: Tensor | None
    bias: Tensor | None
    running_mean: Tensor | None
    running_var: Tensor | None

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__()
        for name in ("weight", "bias", "running_mean", "running_var"):
            tensor: Tensor | None = getattr(norm, name)
            self.register_buffer(name, None if tensor is None else tensor.detach().clone())
        self.eps = norm.eps
        self.drop: nn.Module = getattr(norm, "drop", nn.Identity())
        self.act: nn.Module = getattr(norm, "act", nn.Identity())

    def forward(self, inputs: Tensor) -> Tensor:
        """Normalise, shape (n, channels, ...)."""
        scaled = F.batch_norm(inputs, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        activated: Tensor = self.act(self.drop(scaled))
        return activated

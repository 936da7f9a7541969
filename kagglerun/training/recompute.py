"""Gradient checkpointing: activations are forgotten and computed again in the backward pass, with the same bits."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from kagglerun.errors import ConfigError


def recompute_activations(model: nn.Module) -> nn.Module:
    """The same network, which keeps the activations at the borders of its stages only.

    Batch norms count a batch once: their running means are left alone when it comes by again. Dropout draws the same
    numbers again.

    Raises:
        ConfigError: the network has no stages that could be computed again.
    """
    switch = getattr(model, "set_grad_checkpointing", None)
    if switch is None:
        raise _cannot(model)
    try:
        switch(True)
    except AssertionError as error:  # how timm says that a model has no such thing
        raise _cannot(model) from error
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.register_forward_pre_hook(_hold)
            # The second pass ends by an exception as soon as the last activation is there.
            module.register_forward_hook(_release, always_call=True)
    return model


def _cannot(model: nn.Module) -> ConfigError:
    return ConfigError(
        f"training.gradient_checkpointing is true, and {type(model).__name__} cannot compute its activations again",
        hint="training.gradient_checkpointing=false, with a smaller training.micro_batch where memory is short",
    )


def _in_backward_pass() -> bool:
    return int(torch._C._current_graph_task_id()) != -1


def _hold(module: Any, _inputs: Any) -> None:
    """With a momentum of 0 the running means stay what they are, exactly."""
    if module.training and _in_backward_pass():
        module.held_momentum, module.momentum = module.momentum, 0.0


def _release(module: Any, _inputs: Any, _output: Any) -> None:
    if hasattr(module, "held_momentum"):
        module.momentum = module.held_momentum
        del module.held_momentum
        if module.num_batches_tracked is not None:
            module.num_batches_tracked.sub_(1)

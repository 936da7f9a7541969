"""Optimizers, and the learning rate as a function of the update."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from kagglerun.config.schema import OptimizerConfig, ScheduleConfig, TrainingConfig


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """The optimizer, in one kernel for all parameters; weight decay is left out for those with one dimension.

    Fused optimizers take a flag `found_inf` on the device, which lets `step.py` leave out an update without
    waiting for the device.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = _groups(trained, config.weight_decay)
    if config.name == "sgd":
        momentum = config.momentum
        sgd = torch.optim.SGD(groups, lr=config.lr, momentum=momentum, nesterov=momentum > 0, fused=True)
        for parameter in trained if momentum else ():
            # torch would begin with memory that the first step fills, which fp16's scaler often leaves out.
            sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return sgd
    kind = torch.optim.AdamW if config.name == "adamw" else torch.optim.Adam
    return kind(groups, lr=config.lr, betas=config.betas, fused=True)


def _groups(parameters: list[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Parameters that learn alike. Those with an attribute `lr_scale` learn at lr x lr_scale; plain ones are first."""
    members: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in parameters:
        decay = weight_decay if parameter.ndim > 1 else 0.0
        members.setdefault((getattr(parameter, "lr_scale", 1.0), decay), []).append(parameter)
    kinds = sorted(members, key=lambda kind: (kind[0] != 1, -kind[0], -kind[1]))
    return [{"params": members[kind], "lr_scale": kind[0], "weight_decay": kind[1]} for kind in kinds]


def peak_lr(optimizer: OptimizerConfig, training: TrainingConfig) -> float:
    """Highest learning rate, scaled to the samples per update where the config asks for it."""
    ratio = training.update_size / optimizer.lr_batch
    scale = {"none": 1.0, "linear": ratio, "sqrt": math.sqrt(ratio)}[optimizer.lr_scaling]
    return optimizer.lr * scale


def lr_at(update: int, config: ScheduleConfig, peak: float, updates_per_epoch: int, epochs: int) -> float:
    """Learning rate of one update; a pure function, so that a resume needs no scheduler's state.

    Args:
        update: the update's number, counted from 0 over the whole run.
        config: the schedule.
        peak: highest learning rate.
        updates_per_epoch: optimizer steps in an epoch.
        epochs: epochs of the run.
    """
    total = max(1, updates_per_epoch * epochs)
    if config.name == "one_cycle":
        return _one_cycle(update / total, config, peak)
    # A warm-up longer than half the run would leave nothing to learn with.
    warmup = min(config.warmup_epochs * updates_per_epoch, total / 2)
    if update < warmup:
        return peak * (update + 1) / (warmup + 1)
    if config.name == "constant":
        return peak
    progress = (update - warmup) / max(1.0, total - warmup)
    return config.min_lr + (peak - config.min_lr) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def _one_cycle(progress: float, config: ScheduleConfig, peak: float) -> float:
    """Rise from peak/25 to peak, then fall to peak/250,000, both by half cosines (Smith and Topin 2018)."""
    low, end = peak / 25, peak / 25e4
    if progress < config.rise:
        return low + (peak - low) * 0.5 * (1 - math.cos(math.pi * progress / config.rise))
    fallen = (progress - config.rise) / (1 - config.rise)
    return end + (peak - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, fallen)))

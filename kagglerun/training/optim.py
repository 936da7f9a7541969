"""Optimizers, and the learning rate as a function of the update."""

from __future__ import annotations

import math

import torch
from torch import nn

from kagglerun.config.schema import OptimizerConfig, ScheduleConfig, TrainingConfig


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """The optimizer, in one kernel for all parameters; weight decay is left out for those with one dimension.

    Fused optimizers take a flag `found_inf` on the device, which lets `step.py` leave out an update without
    waiting for the device.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=config.momentum > 0, fused=True)
    kind = torch.optim.AdamW if config.name == "adamw" else torch.optim.Adam
    return kind(groups, lr=config.lr, betas=config.betas, fused=True)


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

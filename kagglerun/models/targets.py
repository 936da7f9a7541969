"""From targets to what a loss learns, and from logits back to predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.special import expit
from torch import Tensor

from kagglerun.config.card import Task
from kagglerun.metrics import Metric

_LEARNED_AS_LOGARITHM = ("rmsle", "columnwise_rmsle", "weighted_rmsle")
_LEARNED_BY_ABSOLUTE_ERROR = ("mae", "columnwise_mae", "weighted_mae", "absolute_error", "median_absolute_error")


@dataclass(frozen=True)
class TargetTransform:
    """Values as they are learnt: the logarithm where the metric compares logarithms, then standardised.

    Attributes:
        logarithm: learn log(1 + y).
        mean: of the training rows, shape (n_targets,).
        scale: standard deviation of the training rows, shape (n_targets,).
    """

    logarithm: bool
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def fit(cls, targets: NDArray[np.float64], metric: Metric, standardise: bool) -> TargetTransform:
        """Learn the transform from the fold's training targets, float64 (n, n_targets)."""
        logarithm = metric.name in _LEARNED_AS_LOGARITHM and bool((targets > -1).all())
        learnt = np.log1p(targets) if logarithm else targets
        mean, scale = np.zeros(targets.shape[1]), np.ones(targets.shape[1])
        if standardise:
            mean, deviation = learnt.mean(axis=0), learnt.std(axis=0)
            scale = np.where(deviation > 0, deviation, 1.0)
        return cls(logarithm, mean, scale)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; numbers keep all their bits."""
        return {"logarithm": self.logarithm, "mean": self.mean.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> TargetTransform:
        """What `to_dict` gave."""
        return cls(bool(saved["logarithm"]), np.asarray(saved["mean"], float), np.asarray(saved["scale"], float))

    def forward(self, targets: NDArray[np.float64]) -> NDArray[np.float64]:
        """Targets to what is learnt."""
        return ((np.log1p(targets) if self.logarithm else targets) - self.mean) / self.scale

    def inverse(self, learnt: NDArray[np.float64]) -> NDArray[np.float64]:
        """What was learnt to predictions."""
        values = learnt * self.scale + self.mean
        return np.expm1(values) if self.logarithm else values


def learns_absolute_error(metric: Metric) -> bool:
    """Whether the metric is of absolute errors, whose best guess is the median."""
    return metric.name in _LEARNED_BY_ABSOLUTE_ERROR


@dataclass(frozen=True)
class Head:
    """Loss and activation of a neural model for one task.

    Attributes:
        task: what is predicted.
        metric: the competition's metric.
        transform: for regression.
        label_smoothing: share of the target spread over the other classes.
    """

    task: Task
    metric: Metric
    transform: TargetTransform | None
    label_smoothing: float

    def tensor(self, targets: NDArray[np.int64] | NDArray[np.float64]) -> Tensor:
        """Targets as the loss wants them: int64 (n,) for classes, else float32 (n, n_outputs)."""
        if self.task == Task.MULTICLASS:
            return torch.from_numpy(np.ascontiguousarray(targets, dtype=np.int64))
        if self.transform is not None:
            targets = self.transform.forward(np.asarray(targets, dtype=np.float64))
        columns = np.asarray(targets, dtype=np.float32)
        return torch.from_numpy(np.ascontiguousarray(columns.reshape(len(columns), -1)))

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean loss, a scalar tensor.

        Args:
            logits: float32 (n, n_outputs).
            targets: as `tensor` gives them; for classes also their shares, float32 (n, n_classes), where images are
                mixed. Shares of 0 and 1 give the same loss as the classes.
        """
        if self.task == Task.MULTICLASS:
            return F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
        if self.task != Task.REGRESSION:
            smooth = targets * (1 - self.label_smoothing) + self.label_smoothing / 2
            return F.binary_cross_entropy_with_logits(logits, smooth)
        return F.l1_loss(logits, targets) if learns_absolute_error(self.metric) else F.mse_loss(logits, targets)

    def activate(self, logits: Tensor) -> Tensor:
        """Logits, float64 (n, n_outputs), to predictions of the same shape."""
        return activate(logits, self.task, self.transform)


def activate(logits: Tensor, task: Task, transform: TargetTransform | None) -> Tensor:
    """Logits, float64 (n, n_outputs), to predictions of the same shape."""
    if task == Task.MULTICLASS:
        return logits.softmax(dim=1)
    if transform is not None:
        return torch.from_numpy(transform.inverse(logits.numpy()))
    # torch's own rounds the last numbers of a tensor otherwise than those before, so that a row's bits would depend on
    # how many rows are predicted with it.
    return torch.from_numpy(np.asarray(expit(logits.numpy()), dtype=np.float64))

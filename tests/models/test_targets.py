"""Losses of hard and of mixed targets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kagglerun import metrics
from kagglerun.config.card import Task
from kagglerun.models.targets import Head

GENERATOR = torch.Generator().manual_seed(3)
LOGITS = torch.randn(50, 6, generator=GENERATOR)
CLASSES = torch.randint(0, 6, (50,), generator=GENERATOR)
PARTNERS = torch.randint(0, 6, (50,), generator=GENERATOR)


def head(task: Task, metric: str, label_smoothing: float = 0.0) -> Head:
    return Head(task, metrics.get(metric), None, label_smoothing)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_classes_and_their_shares_of_one_give_the_same_loss(smoothing: float) -> None:
    one = head(Task.MULTICLASS, "accuracy", smoothing)
    shares = torch.nn.functional.one_hot(CLASSES, 6).float()
    assert one.loss(LOGITS, shares).item() == pytest.approx(one.loss(LOGITS, CLASSES).item(), rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.5])
def test_the_loss_of_mixed_classes_is_the_blend_of_the_two_losses(smoothing: float, share: float) -> None:
    one = head(Task.MULTICLASS, "accuracy", smoothing)
    own, partner = (torch.nn.functional.one_hot(classes, 6).float() for classes in (CLASSES, PARTNERS))
    blend = share * one.loss(LOGITS, CLASSES) + (1 - share) * one.loss(LOGITS, PARTNERS)
    assert one.loss(LOGITS, share * own + (1 - share) * partner).item() == pytest.approx(blend.item(), rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_mixed_labels_is_the_blend_of_the_two_losses(smoothing: float) -> None:
    one = head(Task.MULTILABEL, "columnwise_auc", smoothing)
    own, partner = (torch.from_numpy(np.random.default_rng(s).integers(0, 2, (50, 6))).float() for s in (1, 2))
    blend = 0.3 * one.loss(LOGITS, own) + 0.7 * one.loss(LOGITS, partner)
    assert one.loss(LOGITS, 0.3 * own + 0.7 * partner).item() == pytest.approx(blend.item(), rel=1e-6)


def test_gradients_of_classes_and_of_their_shares_agree() -> None:
    one = head(Task.MULTICLASS, "accuracy", 0.1)
    gradients = []
    for targets in (CLASSES, torch.nn.functional.one_hot(CLASSES, 6).float()):
        logits = LOGITS.clone().requires_grad_()
        gradients.append(torch.autograd.grad(one.loss(logits, targets), logits)[0])
    assert torch.allclose(gradients[0], gradients[1], atol=1e-7)

"""Gradient checkpointing changes memory and time, and not a bit of the result."""

from __future__ import annotations

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kagglerun.errors import ConfigError
from kagglerun.training.ema import WeightAverage
from kagglerun.training.recompute import recompute_activations


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=3, drop_rate=0.2)


def train(model: nn.Module) -> dict[str, Tensor]:
    """Three updates with an average; dropout is seeded as in the loop. Weights, running means and average."""
    average = WeightAverage(model, 0.9)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for update in range(3):
        torch.manual_seed(update)
        model.train()
        loss = F.cross_entropy(model(torch.rand(4, 3, 32, 32)), torch.tensor([0, 1, 2, 0]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update(update + 1)
    kept = {f"average.{name}": tensor for name, tensor in average.module.state_dict().items()}
    return model.state_dict() | kept


def kept_bytes(model: nn.Module) -> int:
    sizes: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.nbytes) or t, lambda t: t):
        model(torch.rand(4, 3, 32, 32))
    return sum(sizes)


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext"])
def test_weights_and_running_means_are_the_same_bits_with_less_kept(name: str) -> None:
    plain, again = network(name), recompute_activations(network(name))
    expected, found = train(plain), train(again)
    assert list(found) == list(expected)
    assert [part for part, tensor in expected.items() if not torch.equal(tensor, found[part])] == []
    assert kept_bytes(again.train()) < 0.8 * kept_bytes(plain.train())
    assert all(not hasattr(module, "held_momentum") for module in again.modules())


def test_a_network_without_stages_is_refused_with_a_way_out() -> None:
    with pytest.raises(ConfigError, match="Linear cannot compute its activations again") as caught:
        recompute_activations(nn.Linear(2, 2))
    assert "micro_batch" in str(caught.value.hint)

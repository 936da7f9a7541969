from __future__ import annotations

import pytest
import torch
from torch import nn

from kagglerun.config.schema import ImageModelConfig, OptimizerConfig
from kagglerun.errors import ConfigError
from kagglerun.models.image import build_image_model
from kagglerun.models.transfer import FrozenBatchNorm, head_parameters, layer_numbers
from kagglerun.training.optim import build_optimizer


def build(name: str = "test_efficientnet", **options: object) -> nn.Module:
    torch.manual_seed(0)
    config = ImageModelConfig.model_validate({"name": name, "pretrained": False, **options})
    return build_image_model(config, n_outputs=3)


def learn(model: nn.Module) -> set[str]:
    """One step of training; the names of the tensors that it changed."""
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = build_optimizer(model.train(), OptimizerConfig(lr=0.1))
    inputs = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    nn.functional.cross_entropy(model(inputs), torch.tensor([0, 1, 2, 0])).backward()
    optimizer.step()
    return {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}


def test_by_default_everything_learns_at_one_rate() -> None:
    model = build()
    assert learn(model) == set(model.state_dict())
    assert {group["lr_scale"] for group in build_optimizer(model, OptimizerConfig()).param_groups} == {1.0}


def test_a_frozen_backbone_learns_in_its_classifier_alone() -> None:
    model = build(freeze="backbone")
    assert learn(model) == {"classifier.weight", "classifier.bias"}


def test_frozen_batch_norms_are_constants_in_training_and_predict_as_before() -> None:
    free, frozen = build(), build(freeze="batch_norm")
    inputs = torch.randn(4, 3, 64, 64)
    assert torch.equal(frozen.eval()(inputs), free.eval()(inputs))
    assert torch.equal(frozen.train()(inputs), frozen.eval()(inputs))
    norms = {name for name, module in frozen.named_modules() if isinstance(module, FrozenBatchNorm)}
    assert norms == {name for name, module in free.named_modules() if isinstance(module, nn.BatchNorm2d)}
    assert not {name.rpartition(".")[0] for name in learn(frozen)} & norms


@pytest.mark.parametrize("name", ["test_efficientnet", "test_resnet", "test_vit"])
def test_frozen_layers_are_the_lowest_ones(name: str) -> None:
    plain = build(name)
    layers, model = layer_numbers(plain), build(name, freeze_layers=2)
    upper = {parameter for parameter, layer in layers.items() if layer >= 2}
    assert {parameter for parameter, tensor in model.named_parameters() if tensor.requires_grad} == upper
    frozen = {parameter.rpartition(".")[0] for parameter in layers.keys() - upper}
    assert not {tensor.rpartition(".")[0] for tensor in learn(model)} & frozen


def test_more_frozen_layers_than_there_are_is_refused_with_their_number() -> None:
    with pytest.raises(ConfigError, match=r"model\.freeze_layers is 99, but test_efficientnet has 6 layers"):
        build(freeze_layers=99)


@pytest.mark.parametrize("name", ["test_efficientnet", "test_resnet", "test_vit", "test_convnext"])
def test_the_learning_rate_falls_from_layer_to_layer_and_the_classifier_has_its_own(name: str) -> None:
    model = build(name, layer_decay=0.5, head_lr_scale=4)
    layers, head = layer_numbers(model), head_parameters(model)
    top = max(layers.values())
    names = {parameter: name for name, parameter in model.named_parameters()}
    for group in build_optimizer(model, OptimizerConfig(lr=1e-3)).param_groups:
        for parameter in group["params"]:
            expected = 4 if names[parameter] in head else 0.5 ** (top - layers[names[parameter]])
            assert group["lr_scale"] == expected, names[parameter]
            assert group["weight_decay"] == (0.05 if parameter.ndim > 1 else 0)
            del names[parameter]
    assert not names
    assert head and top > 3


def test_a_classifier_that_starts_from_zero_finds_all_classes_alike() -> None:
    logits = build(head_init="zero").eval()(torch.randn(2, 3, 64, 64))
    assert torch.equal(logits, torch.zeros(2, 3))


def test_a_model_with_two_classifiers_has_both_in_its_head() -> None:
    model = build("deit_tiny_distilled_patch16_224", freeze="backbone", image_size=224)
    assert head_parameters(model) == {"head.weight", "head.bias", "head_dist.weight", "head_dist.bias"}
    assert {name for name, parameter in model.named_parameters() if parameter.requires_grad} == head_parameters(model)

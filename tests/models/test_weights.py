from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from torch import nn

from kagglerun.config.schema import ImageModelConfig
from kagglerun.errors import ConfigError, TrainingError
from kagglerun.models.image import build_image_model, resolve_image_model
from kagglerun.models.weights import load_weights, read_weights, save_weights

NAME = "test_resnet"


def make_model(n_outputs: int = 3, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    model: nn.Module = timm.create_model(NAME, num_classes=n_outputs)
    return model


def equal_but_the_classifier(mine: nn.Module, theirs: nn.Module) -> bool:
    pairs = zip(mine.state_dict().items(), theirs.state_dict().items(), strict=True)
    return all(torch.equal(a, b) for (name, a), (_, b) in pairs if not name.startswith("fc") and "batches" not in name)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_of_another_number_of_classes_load_but_for_the_classifier(tmp_path: Path, suffix: str) -> None:
    source, path = make_model(10, seed=1), tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_weights(source, path)
    else:
        torch.save({"state_dict": source.state_dict()}, path)
    model = build_image_model(ImageModelConfig(name=NAME, weights=path), n_outputs=3)
    assert equal_but_the_classifier(model, source)
    assert model.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 3)


def test_another_librarys_names_are_paired_in_order(tmp_path: Path) -> None:
    source, path = make_model(10, seed=1), tmp_path / "weights.safetensors"
    kept = {name: tensor for name, tensor in source.state_dict().items() if "num_batches" not in name}
    safetensors.torch.save_file({f"layer{number:04d}": tensor for number, tensor in enumerate(kept.values())}, path)
    model = make_model(3, seed=2)
    assert "in order" in load_weights(model, path)
    assert equal_but_the_classifier(model, source)


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    save_weights(nn.Sequential(nn.Linear(2, 2)), tmp_path / "w.safetensors")
    with pytest.raises(TrainingError, match="does not fit"):
        load_weights(make_model(), tmp_path / "w.safetensors")


@pytest.mark.parametrize("content", [b"", b"rubbish"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_damaged_files_are_clear_errors(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(TrainingError, match="cannot be read"):
        read_weights(path)
    with pytest.raises(TrainingError, match="no file"):
        read_weights(tmp_path / "nothing.pth")


def test_pickled_models_are_not_loaded(tmp_path: Path) -> None:
    torch.save(make_model(), tmp_path / "model.pth")
    with pytest.raises(TrainingError) as caught:
        read_weights(tmp_path / "model.pth")
    assert "state dict" in str(caught.value.hint)


def test_an_unknown_model_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_image_model(ImageModelConfig(name="resnet81", image_size=32), ())
    assert "resnet" in str(caught.value.hint)


def test_large_images_start_from_published_weights_unless_told_otherwise() -> None:
    def resolved(**values: object) -> ImageModelConfig:
        return resolve_image_model(ImageModelConfig.model_validate(values), ())

    assert resolved(image_size=224).pretrained is True and resolved(image_size=224).name == "resnet18"
    assert resolved(image_size=64).pretrained is False and resolved(image_size=64).name == "resnet10t"
    assert resolved(image_size=224, pretrained=False).pretrained is False
    assert resolved(image_size=224, weights="w.pth").pretrained is False


def test_published_weights_out_of_reach_are_a_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(TrainingError) as caught:
        build_image_model(ImageModelConfig(name="resnet18", pretrained=True), 3)
    assert "model.weights=" in str(caught.value.hint)

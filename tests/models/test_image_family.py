"""Image fits do not depend on how images came: cache or none, processes or none; so do own transforms."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_families import digest, fit, make_config, make_input
from torch import Tensor
from torchvision.transforms import v2

from kagglerun.config.card import Task
from kagglerun.config.schema import Config
from kagglerun.errors import DiskFull
from kagglerun.training.loop import Stopped
from kagglerun.workspace import FoldPaths


def image_config(cache_size: int | None = None, **training: Any) -> Config:
    settled = {"epochs": 2, "augment": {"preset": "strong", "mixup": 0.3}, **training}
    config = make_config("image", **settled)
    return config.model_copy(update={"model": config.model.model_copy(update={"cache_size": cache_size})})


def own(image: Image.Image) -> Tensor:
    return v2.Compose([v2.RandomResizedCrop(32), v2.ColorJitter(0.3, 0.3), v2.PILToTensor()])(image)


def jitter_of_numpy(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(image) / 255 * np.random.uniform(0.6, 1)).permute(2, 0, 1)


@pytest.mark.parametrize("cache_size", [None, 48])
def test_no_cache_and_any_number_of_processes_give_the_same_bits(cache_size: int | None, tmp_path: Path) -> None:
    data = make_input(tmp_path / "images", Task.MULTICLASS)
    expected = digest(fit(image_config(cache_size), data, FoldPaths(tmp_path / "cache")))
    for workers in (0, 2):
        config = image_config(cache_size, image_cache=False, loader_workers=workers)
        uncached = replace(data, cache=tmp_path / "unused")
        assert digest(fit(config, uncached, FoldPaths(tmp_path / f"by {workers}"))) == expected
    assert not (tmp_path / "unused").exists()


def test_a_larger_cache_size_gives_other_pixels_of_the_same_size(tmp_path: Path) -> None:
    data = make_input(tmp_path / "images", Task.MULTICLASS)
    plain = fit(image_config(), data, FoldPaths(tmp_path / "plain"))
    detailed = fit(image_config(48), data, FoldPaths(tmp_path / "detailed"))
    assert digest(plain) != digest(detailed) and detailed.valid.shape == plain.valid.shape
    assert len(list(data.cache.glob("images-48-*.npy"))) == len(list(data.cache.glob("images-32-*.npy"))) == 2


@pytest.mark.parametrize("transforms", [own, jitter_of_numpy])
def test_own_transforms_train_the_same_by_any_number_of_processes_and_after_a_stop(
    transforms: Any, tmp_path: Path
) -> None:
    data = replace(make_input(tmp_path / "images", Task.MULTICLASS), transforms=transforms)
    expected = digest(fit(image_config(), data, FoldPaths(tmp_path / "in place")))
    assert digest(fit(image_config(loader_workers=2), data, FoldPaths(tmp_path / "by two"))) == expected
    assert digest(fit(image_config(), replace(data, transforms=None), FoldPaths(tmp_path / "ours"))) != expected
    stopped = FoldPaths(tmp_path / "stopped")
    with pytest.raises(Stopped):
        fit(image_config(loader_workers=1), data, stopped, stop_at=2)
    assert digest(fit(image_config(), data, stopped)) == expected


def test_no_room_for_the_images_is_an_error_before_training(tmp_path: Path) -> None:
    data = replace(make_input(tmp_path / "images", Task.MULTICLASS), cache_bytes=1000)
    with pytest.raises(DiskFull, match="the decoded images need") as caught:
        fit(image_config(), data, FoldPaths(tmp_path / "fold"))
    assert caught.value.hint is not None and "training.image_cache=false" in caught.value.hint
    fit(image_config(image_cache=False), data, FoldPaths(tmp_path / "fold"))

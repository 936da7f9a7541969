"""Images by timm; the only importer of timm."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kagglerun.config.schema import ImageModelConfig
from kagglerun.data.images import decoded_images, typical_side
from kagglerun.errors import DataError, TrainingError, unknown_name
from kagglerun.models.base import FoldContext, FoldOutcome, families
from kagglerun.models.neural import fit_neural, make_head, predict_neural
from kagglerun.models.weights import load_weights
from kagglerun.randomness import derive
from kagglerun.training.augment import AUGMENTATIONS, Augmentation, augment
from kagglerun.training.batches import Batch, Samples
from kagglerun.training.precision import resolve_device
from kagglerun.training.seed import deterministic_algorithms

_SMALL_IMAGE_PIXELS = 64
_LEAST_SIZE, _LARGEST_SIZE, _SIZE_STEP = 32, 224, 32


def resolve_image_model(config: ImageModelConfig, images: tuple[Path, ...]) -> ImageModelConfig:
    """Fill in the model's name, the image size and the start of the weights where the config leaves them open.

    Args:
        config: the model section.
        images: the training images.

    Raises:
        ConfigError: timm does not know the model; the nearest names are listed.
        DataError: an image cannot be read.
    """
    size = config.image_size
    if size is None:
        rounded = -(-typical_side(images) // _SIZE_STEP) * _SIZE_STEP
        size = min(_LARGEST_SIZE, max(_LEAST_SIZE, rounded))
    name = config.name
    if name == "auto":
        name = "resnet10t" if size <= _SMALL_IMAGE_PIXELS else "resnet18"
    # A name may carry a tag of its weights: resnet18.a1_in1k.
    if not timm.is_model(name.split(".")[0]):
        raise unknown_name("timm model", name, timm.list_models(), hint="timm.list_models() lists them")
    pretrained = config.pretrained
    if pretrained is None:
        pretrained = config.weights is None and size > _SMALL_IMAGE_PIXELS
    weights = config.weights.expanduser().resolve() if config.weights else None
    return config.model_copy(update={"name": name, "image_size": size, "pretrained": pretrained, "weights": weights})


def build_image_model(config: ImageModelConfig, n_outputs: int) -> nn.Module:
    """Make the timm model with its weights.

    Raises:
        TrainingError: the weights cannot be had, or the model cannot be made with these options.
    """
    options: dict[str, Any] = {**config.options, "drop_rate": config.drop_rate}
    if config.drop_path_rate:
        options["drop_path_rate"] = config.drop_path_rate
    try:
        model: nn.Module = timm.create_model(
            config.name, pretrained=bool(config.pretrained), num_classes=n_outputs, **options
        )
    except TypeError as error:
        raise TrainingError(
            f"timm cannot make {config.name} with these options: {error}", hint="see model.options"
        ) from error
    except (OSError, RuntimeError) as error:
        if not config.pretrained:
            raise
        raise TrainingError(
            f"the pretrained weights of {config.name} cannot be fetched: {str(error).splitlines()[0][:160]}",
            hint="model.pretrained=false, or a local file: model.weights=PATH",
        ) from error
    if config.weights is not None:
        load_weights(model, config.weights)
    return model


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of the colours a model expects, each shape (3,)."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, model_name: str) -> Normalisation:
        """What timm's weights of this model were trained with."""
        settings = timm.get_pretrained_cfg(model_name)
        return cls(tuple(settings.mean), tuple(settings.std)) if settings else cls((0.5,) * 3, (0.5,) * 3)


class ImageBatches:
    """Images of some rows, augmented and normalised on the device.

    Args:
        pixels: uint8, shape (n, size, size, 3).
        rows: the rows in question; sample i is image rows[i].
        targets: tensor with one entry a sample, or None.
        device: where tensors go.
        normalisation: colours the model expects.
        augmentation: how strongly training images are changed.
        seed: derived seed of the augmentation.
        mirrored: mirror every image (for test-time augmentation).
    """

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        rows: NDArray[np.int64],
        targets: Tensor | None,
        device: torch.device,
        normalisation: Normalisation,
        augmentation: Augmentation = AUGMENTATIONS["none"],
        seed: int = 0,
        mirrored: bool = False,
    ) -> None:
        self._pixels, self._rows, self._device = pixels, rows, device
        self._targets = targets.to(device) if targets is not None else None
        self._mean = torch.tensor(normalisation.mean, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(normalisation.std, device=device).view(1, 3, 1, 1)
        self._augmentation, self._seed, self._mirrored = augmentation, seed, mirrored

    def __len__(self) -> int:
        return len(self._rows)

    def stream(self, parts: Sequence[Samples], epoch: int | None) -> Generator[Batch]:
        """Images, float32 (n, 3, size, size) in channels-last memory."""
        for samples in parts:
            own = torch.from_numpy(samples).to(self._device)
            yield Batch((self._load(samples, epoch),), self._targets[own] if self._targets is not None else None)

    def targets(self) -> Tensor:
        """Targets as the loss wants them, on the CPU."""
        assert self._targets is not None, "these rows have no targets"
        return self._targets.cpu()

    def _load(self, samples: Samples, epoch: int | None) -> Tensor:
        rows = self._rows[samples]
        images = torch.from_numpy(self._pixels[rows]).to(self._device).permute(0, 3, 1, 2).float() / 255
        if epoch is not None:
            images = augment(images, self._augmentation, self._seed, epoch, rows)
        if self._mirrored:
            images = images.flip(3)
        return ((images - self._mean) / self._std).contiguous(memory_format=torch.channels_last)


class ImageFamily:
    """A timm model on our own training engine."""

    def fit_fold(self, context: FoldContext) -> FoldOutcome:
        """Train one fold; see `ModelFamily`."""
        config = context.config
        with deterministic_algorithms(config.training.deterministic):
            return _fit_images(context)


def _fit_images(context: FoldContext) -> FoldOutcome:
    config, data = context.config, context.data
    model_config = config.model
    assert isinstance(model_config, ImageModelConfig)
    train_pixels, test_pixels = _pixels(context, model_config)
    device = resolve_device(config.training.device)
    normalisation = Normalisation.of(model_config.name)
    head = make_head(context)

    def labelled(rows: NDArray[np.int64], **options: Any) -> ImageBatches:
        return ImageBatches(train_pixels, rows, head.tensor(data.targets[rows]), device, normalisation, **options)

    result = fit_neural(
        context,
        head,
        build=lambda: build_image_model(model_config, data.n_outputs).to(memory_format=torch.channels_last),
        train=labelled(
            context.train_rows,
            augmentation=AUGMENTATIONS[config.training.augment.preset],
            seed=derive(config.seed, "augment", context.fold),
        ),
        valid=labelled(context.valid_rows),
    )

    def predict(pixels: NDArray[np.uint8], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """The mean over the views of test-time augmentation."""
        views = (False, True) if model_config.tta == "hflip" else (False,)
        batches = (ImageBatches(pixels, rows, None, device, normalisation, mirrored=view) for view in views)
        mean: NDArray[np.float64] = np.mean([predict_neural(context, head, result.model, b) for b in batches], axis=0)
        return mean

    return FoldOutcome(
        valid=predict(train_pixels, context.valid_rows),
        test=predict(test_pixels, np.arange(len(test_pixels), dtype=np.int64)),
        history=result.history,
        best_step=result.best_epoch,
        notes=result.notes,
    )


def _pixels(context: FoldContext, config: ImageModelConfig) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    data = context.data
    if data.train_images is None or data.test_images is None:
        raise DataError(
            "this competition's card names no images, so model.kind 'image' cannot be used",
            hint="model.kind=auto, or fill in files.train_files and files.test_files in the card",
        )
    size = config.image_size
    assert size is not None, "the image size is filled in when the config is resolved"
    return (
        decoded_images(data.train_images, size, data.cache, data.content),
        decoded_images(data.test_images, size, data.cache, data.content),
    )


families.add("image", ImageFamily())

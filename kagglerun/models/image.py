"""Images by timm; it and transfer.py alone import timm."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import nn

from kagglerun.config.card import Task
from kagglerun.config.schema import AugmentConfig, ImageModelConfig
from kagglerun.data.image_store import ImageSource
from kagglerun.data.images import open_images, typical_side
from kagglerun.errors import DataError, TrainingError, unknown_name
from kagglerun.files import write_json
from kagglerun.models.base import FoldContext, FoldOutcome, FrozenFold, InferenceInput, families
from kagglerun.models.frozen import copy_weights, read_preprocessing
from kagglerun.models.image_batches import ImageBatches, ImageSupply, keep_on_device
from kagglerun.models.neural import FrozenNetwork, fit_neural, make_head, predict_neural, read_transform
from kagglerun.models.transfer import prepare_fine_tuning
from kagglerun.models.weights import load_weights
from kagglerun.randomness import derive
from kagglerun.training.augmentation import Augmentation
from kagglerun.training.precision import resolve_device
from kagglerun.training.seed import deterministic_algorithms
from kagglerun.workspace import FoldPaths

_SMALL_IMAGE_PIXELS = 64
_OPTIONS_THAT_LOAD = ("checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay")
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
    sizes = {"image_size": size, "cache_size": config.cache_size or size}
    return config.model_copy(update={"name": name, **sizes, "pretrained": pretrained, "weights": weights})


def build_image_model(config: ImageModelConfig, n_outputs: int) -> nn.Module:
    """Make the timm model with its weights.

    Raises:
        TrainingError: the weights cannot be had, or the model cannot be made with these options.
        ConfigError: model.freeze_layers is more than there are.
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
    prepare_fine_tuning(model, config)
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


class ImageFamily:
    """A timm model on our own training engine."""

    def fit_fold(self, context: FoldContext) -> FoldOutcome:
        """Train one fold; see `ModelFamily`."""
        config = context.config
        with deterministic_algorithms(config.training.deterministic):
            return _fit_images(context)

    def freeze_fold(self, context: FoldContext, destination: FoldPaths) -> None:
        """Copy the weights and write how images and targets are read; see `PackagedFamily`."""
        model = context.config.model
        assert isinstance(model, ImageModelConfig)
        copy_weights(context.paths.weights, destination.weights)
        colours, transform = Normalisation.of(model.name), make_head(context).transform
        saved = {"mean": colours.mean, "std": colours.std, "transform": transform and transform.to_dict()}
        write_json(destination.preprocessing, saved)

    def load_fold(self, fold: FrozenFold) -> ImagePredictor:
        """See `PackagedFamily`."""
        return ImagePredictor(fold)


class ImagePredictor:
    """Predicts with the network of one fold; see `Predictor`."""

    def __init__(self, fold: FrozenFold) -> None:
        model, saved = fold.config.model, read_preprocessing(fold.paths)
        assert isinstance(model, ImageModelConfig)
        side, size = _sides(model)
        self._aspect = model.aspect
        self._augmentation = Augmentation(
            AugmentConfig(preset="none"), seed=0, side=side, size=size, mean=saved["mean"], std=saved["std"]
        )
        # The weights come from the fold: nothing is fetched, and no file of the machine that trained is looked for.
        options = {name: value for name, value in model.options.items() if name not in _OPTIONS_THAT_LOAD}
        bare = model.model_copy(update={"pretrained": False, "weights": None, "options": options})
        network = build_image_model(bare, fold.n_outputs).to(memory_format=torch.channels_last)
        self._network = FrozenNetwork(fold, network, read_transform(saved))
        self.views = len(_views(model))
        self.rows_at_once = fold.config.training.eval_size

    def predict(self, data: InferenceInput, rows: NDArray[np.int64], view: int = 0) -> NDArray[np.float64]:
        """Predictions for some rows; see `Predictor`."""
        if data.decoded is None:
            raise DataError("the model predicts from images, and the test rows have none")
        images = data.decoded(self._augmentation.side, self._aspect)
        supply = ImageSupply(images, self._network.device)
        return self._network.predict(ImageBatches(supply, rows, None, self._augmentation, mirrored=view == 1))


def _views(model: ImageModelConfig) -> tuple[bool, ...]:
    """Whether each view of test-time augmentation is mirrored."""
    return (False, True) if model.tta == "hflip" else (False,)


def _network(context: FoldContext, config: ImageModelConfig) -> nn.Module:
    """The model; with several GPUs and `sync_batchnorm` its batch norms take their statistics over all of them."""
    model = build_image_model(config, context.data.n_outputs)
    training = context.config.training
    if training.gpus > 1 and training.sync_batchnorm:
        shared: nn.Module = timm.layers.convert_sync_batchnorm(model)
        return shared
    return model


def _fit_images(context: FoldContext) -> FoldOutcome:
    config, data = context.config, context.data
    model_config = config.model
    assert isinstance(model_config, ImageModelConfig)
    head = make_head(context)
    augmentation = _augmentation(context, model_config)
    with closing(_open(context, "train")) as train_images, closing(_open(context, "test")) as test_images:
        device = resolve_device(config.training.device)
        kept = keep_on_device(train_images, device, config.training.data_on_gpu)
        train = ImageSupply(train_images, device, kept, config.training.loader_workers, data.transforms)
        test = ImageSupply(test_images, device, workers=config.training.loader_workers)

        def labelled(rows: NDArray[np.int64]) -> ImageBatches:
            n_classes = data.n_outputs if data.task == Task.MULTICLASS else None
            return ImageBatches(train, rows, head.tensor(data.targets[rows]), augmentation, n_classes)

        result = fit_neural(
            context,
            head,
            build=lambda: _network(context, model_config).to(memory_format=torch.channels_last),
            train=labelled(context.train_rows),
            valid=labelled(context.valid_rows),
        )

        def predict(supply: ImageSupply, rows: NDArray[np.int64]) -> NDArray[np.float64]:
            """The mean over the views of test-time augmentation."""
            views = _views(model_config)
            batches = (ImageBatches(supply, rows, None, augmentation, mirrored=view) for view in views)
            of_views = [predict_neural(context, head, result.model, seen) for seen in batches]
            mean: NDArray[np.float64] = np.mean(of_views, axis=0)
            return mean

        return FoldOutcome(
            valid=predict(train, context.valid_rows),
            test=predict(test, np.arange(len(test_images), dtype=np.int64)),
            history=result.history,
            best_step=result.best_epoch,
            notes=result.notes,
        )


def _augmentation(context: FoldContext, model: ImageModelConfig) -> Augmentation:
    side, size = _sides(model)
    colours = Normalisation.of(model.name)
    return Augmentation(
        context.config.training.augment,
        seed=derive(context.config.seed, "augment", context.fold),
        side=side,
        size=size,
        mean=colours.mean,
        std=colours.std,
    )


def _sides(model: ImageModelConfig) -> tuple[int, int]:
    """Of the decoded images and of the model's input, in pixels."""
    assert model.image_size is not None, "the image size is filled in when the config is resolved"
    return model.cache_size or model.image_size, model.image_size


def _open(context: FoldContext, part: Literal["train", "test"]) -> ImageSource:
    """The decoded images of the training or the test rows."""
    data, model = context.data, context.config.model
    paths = data.train_images if part == "train" else data.test_images
    if paths is None:
        raise DataError(
            "this competition's card names no images, so model.kind 'image' cannot be used",
            hint="model.kind=auto, or fill in files.train_files and files.test_files in the card",
        )
    assert isinstance(model, ImageModelConfig)
    return open_images(
        paths,
        _sides(model)[0],
        data.cache,
        data.content,
        keep=context.config.training.image_cache,
        limit_bytes=data.cache_bytes,
        aspect=model.aspect,
    )


families.add("image", ImageFamily())

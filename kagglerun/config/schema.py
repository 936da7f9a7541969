"""What a config may say: frozen pydantic models, each field explained by the line under it.

An unknown key is an error. Values are converted by the field's type, since PyYAML reads `3e-4` as a string.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from kagglerun.config.augment import AugmentConfig
from kagglerun.config.ensemble import EnsembleModelConfig
from kagglerun.config.postprocess import PostprocessConfig
from kagglerun.config.section import Section
from kagglerun.config.sweep import SweepConfig

__all__ = ["AugmentConfig", "EnsembleModelConfig", "PostprocessConfig", "Section", "SweepConfig"]


class CvConfig(Section):
    """How training rows are split into folds."""

    scheme: Literal["auto", "kfold", "stratified", "group", "stratified_group", "time"] = "auto"
    """auto: what the card suggests: time, group, else stratified for classes and kfold for values."""
    n_splits: int = Field(5, ge=2, le=100)
    """Number of folds."""
    folds: tuple[int, ...] | None = None
    """Run these folds only, counted from 0. The OOF predictions then cover their rows alone."""
    seed: int | None = None
    """Seed of the split; the config's seed when left out. Keep it fixed to compare runs of several seeds."""

    @model_validator(mode="after")
    def _folds_exist(self) -> CvConfig:
        if self.folds is not None and (not self.folds or not set(self.folds) <= set(range(self.n_splits))):
            raise ValueError(f"cv.folds must name folds from 0 to {self.n_splits - 1}, not {list(self.folds)}")
        return self


class AutoModelConfig(Section):
    """The model family that fits the competition's card: images or a table."""

    kind: Literal["auto"] = "auto"
    pretrained: bool | None = None
    """For images: see ImageModelConfig."""


class ImageModelConfig(Section):
    """A timm model on images."""

    kind: Literal["image"] = "image"
    name: str = "auto"
    """A timm model name. auto: resnet10t up to 64 pixels, resnet18 above."""
    pretrained: bool | None = None
    """Start from timm's published weights, fetched from the hub once. Left out: true above 64 pixels."""
    weights: Path | None = None
    """Start from this local file (.safetensors or .pth) instead; the classifier head may differ."""
    image_size: int | None = Field(None, ge=8, le=2048)
    """Side in pixels of the model's input. Left out: the median side, at least 32, at most 224."""
    cache_size: int | None = Field(None, ge=8, le=4096)
    """Side in pixels of the decoded images kept; more than image_size keeps detail for crops. Left out: equal."""
    aspect: Literal["stretch", "pad", "crop"] = "stretch"
    """How images become squares: stretched, whole between grey bars, or their middle alone."""
    drop_rate: float = Field(0.0, ge=0, lt=1)
    """Dropout before the classifier."""
    drop_path_rate: float = Field(0.0, ge=0, lt=1)
    """Stochastic depth, where the model has it."""
    head_init: Literal["default", "zero"] = "default"
    """How the classifier starts. zero: all classes alike, so that random weights do not disturb what is pretrained."""
    freeze: Literal["none", "batch_norm", "backbone"] = "none"
    """What stays as it was loaded. batch_norm: batch norms and their statistics; backbone: all but the classifier."""
    freeze_layers: int = Field(0, ge=0)
    """So many of timm's layers, counted from the input, stay as they were loaded."""
    layer_decay: float = Field(1.0, gt=0, le=1)
    """Each of timm's layers learns at this share of the lr of the layer above it (Bao et al. 2021); 1 is off."""
    head_lr_scale: float = Field(1.0, gt=0)
    """The classifier learns at lr x head_lr_scale."""
    tta: Literal["none", "hflip"] = "none"
    """Test-time augmentation: mean over the image and its mirror image."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Further keyword arguments of timm.create_model."""

    @model_validator(mode="after")
    def _one_source_of_weights(self) -> ImageModelConfig:
        if self.pretrained and self.weights is not None:
            raise ValueError("model.pretrained and model.weights are two sources of weights: choose one")
        return self


class TabularBoostingConfig(Section):
    """Gradient-boosted trees by LightGBM."""

    kind: Literal["tabular_boosting"] = "tabular_boosting"
    library: Literal["lightgbm"] = "lightgbm"
    """The library."""
    n_estimators: int = Field(2000, ge=1)
    """Most trees; early stopping usually ends before."""
    learning_rate: float = Field(0.05, gt=0, le=1)
    """Shrinkage per tree."""
    num_leaves: int = Field(31, ge=2, le=131072)
    """Leaves per tree."""
    max_depth: int = -1
    """Depth limit; -1 for none."""
    min_child_samples: int = Field(20, ge=1)
    """Least rows in a leaf."""
    subsample: float = Field(0.9, gt=0, le=1)
    """Share of rows drawn for each tree."""
    colsample_bytree: float = Field(0.8, gt=0, le=1)
    """Share of columns drawn for each tree."""
    reg_alpha: float = Field(0.0, ge=0)
    """L1 penalty."""
    reg_lambda: float = Field(1.0, ge=0)
    """L2 penalty."""
    max_bin: int = Field(255, ge=2)
    """Histogram bins per column."""
    early_stopping_rounds: int = Field(100, ge=0)
    """Stop after this many trees without a better validation loss; 0 never stops."""


class TabularNeuralConfig(Section):
    """A residual network on tables, with embeddings for categories, on our own training engine."""

    kind: Literal["tabular_neural"] = "tabular_neural"
    width: int = Field(128, ge=1)
    """Units in each hidden layer."""
    depth: int = Field(3, ge=1, le=32)
    """Number of residual blocks."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout in each block."""
    embedding_width: int = Field(16, ge=1)
    """Largest width of a category's embedding."""


ModelConfig = Annotated[
    AutoModelConfig | ImageModelConfig | TabularBoostingConfig | TabularNeuralConfig | EnsembleModelConfig,
    Field(discriminator="kind"),
]
"""One model family, chosen by `kind`."""


class TrainingConfig(Section):
    """The training loop of the neural models. Trees by boosting use `cpu_threads` and `deterministic` only."""

    epochs: int = Field(10, ge=1)
    """Passes over the training rows."""
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = 64
    """Samples per step and GPU, before accumulation. auto: the most that fit the memory, found once and frozen."""
    eval_batch_size: int | None = Field(None, ge=1)
    """Samples per step in validation and prediction; twice batch_size when left out."""
    accumulate: int = Field(1, ge=1)
    """Batches whose gradients are added before one update."""
    effective_batch: int | None = Field(None, ge=1)
    """Samples per update: batch_size x accumulate x gpus. Given, accumulate follows from it; else it is filled in."""
    micro_batch: int | None = Field(None, ge=1)
    """Most samples of one forward pass; batch_size when left out. Halved when the memory runs out."""
    gpus: int = Field(1, ge=1, le=64)
    """Processes that share each update (DDP), one a GPU; on a CPU they talk by gloo."""
    sync_batchnorm: bool = False
    """With several GPUs: batch norms take their statistics over all of them."""
    precision: Literal["auto", "fp32", "tf32", "fp16", "bf16"] = "auto"
    """auto: bf16 where the GPU has it, fp16 with loss scaling on Volta and Turing, fp32 elsewhere."""
    compile: Literal["auto", "off", "inductor", "cudagraphs"] = "auto"
    """torch.compile of the network. auto: on a GPU each is tried once and the fastest frozen; off on a CPU."""
    gradient_checkpointing: bool = False
    """Forget activations and compute them again in the backward pass: less memory, about a third slower."""
    clip_norm: float | None = Field(1.0, gt=0)
    """Largest gradient norm; null switches clipping off."""
    ema: float | None = Field(None, gt=0, lt=1)
    """Decay of the exponential moving average of the weights, which then makes the predictions."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the target spread over the other classes."""
    early_stopping: int | None = Field(None, ge=1)
    """Stop after this many epochs without a better validation score."""
    keep: Literal["best", "last"] = "best"
    """Which epoch's weights make the predictions. best is chosen on the validation rows it is scored on."""
    augment: AugmentConfig = AugmentConfig()
    """Image augmentation: a preset (none, light, flip, medium, strong), or {preset: flip, mixup: 0.2, ...}."""
    image_cache: bool = True
    """Decode images once into a store in the cache; false decodes them again in each epoch, with the same result."""
    data_on_gpu: Literal["auto", "always", "never"] = "auto"
    """Keep the decoded images on the GPU. auto: where they take less than half of its free memory."""
    loader_workers: int = Field(0, ge=0, le=256)
    """Processes that decode without a cache or run the competition's own transforms; 0 does it in place."""
    checkpoint_seconds: float = Field(60, gt=0)
    """Within an epoch, save this often, in seconds."""
    checkpoint_epochs: int = Field(1, ge=1)
    """Save at the end of every so many epochs, or soon after one that is short; the last is always saved."""
    nonfinite_retries: int = Field(0, ge=0, le=10)
    """After a NaN or infinite loss, go back by one to two times checkpoint_epochs, so often, each with a smaller lr."""
    nonfinite_lr_factor: float = Field(0.3, gt=0, lt=1)
    """What the lr is multiplied by at such a retry."""
    deterministic: bool = True
    """Deterministic algorithms; false trades them for speed, and the fingerprint says so."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: cuda where there is one."""
    cpu_threads: int | None = Field(None, ge=1)
    """Threads of one process. Frozen into the run, since sums on a CPU depend on it."""

    @property
    def step_size(self) -> int:
        """Samples per step and GPU, once `batch_size: auto` is settled."""
        assert self.batch_size != "auto", "batch_size is settled when the config is resolved"
        return self.batch_size

    @property
    def update_size(self) -> int:
        """Samples per update."""
        return self.step_size * self.accumulate * self.gpus

    @property
    def eval_size(self) -> int:
        """Samples per step in validation and prediction."""
        return self.eval_batch_size or 2 * self.step_size


class OptimizerConfig(Section):
    """The optimizer of the neural models."""

    name: Literal["adamw", "adam", "sgd"] = "adamw"
    """adamw, adam or sgd (Nesterov)."""
    lr: float = Field(1e-3, gt=0)
    """Highest learning rate."""
    lr_scaling: Literal["none", "linear", "sqrt"] = "none"
    """How lr follows the effective batch: lr x (effective_batch / lr_batch), or its square root."""
    lr_batch: int = Field(256, ge=1)
    """The effective batch that lr is meant for, where lr_scaling is on."""
    weight_decay: float = Field(0.05, ge=0)
    """Decoupled for adamw; biases and norms are left out."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    """Decay of the moments, for adam and adamw."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """For sgd."""


class ScheduleConfig(Section):
    """The learning rate over the run."""

    name: Literal["cosine", "one_cycle", "constant"] = "cosine"
    """cosine falls to min_lr after the warm-up; one_cycle rises and falls by cosines; constant stays."""
    warmup_epochs: float = Field(1.0, ge=0)
    """Epochs of linear rise from zero, for cosine and constant."""
    min_lr: float = Field(0.0, ge=0)
    """Where cosine ends."""
    rise: float = Field(0.3, gt=0, lt=1)
    """Share of the run in which one_cycle rises."""


class Config(Section):
    """One experiment."""

    competition: str | None = None
    """Slug; the current competition when left out."""
    name: str | None = None
    """Name of the study or run; the file's name when left out."""
    seed: int = Field(42, ge=0, lt=2**63)
    """Everything random follows from it."""
    cv: CvConfig = CvConfig()
    model: ModelConfig = AutoModelConfig()
    training: TrainingConfig = TrainingConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    postprocess: PostprocessConfig = PostprocessConfig()
    """What predictions go through before they are scored and submitted: a method, or {method: auto, clip: true}."""
    hooks: dict[str, Any] = Field(default_factory=dict)
    """Free parameters for the competition's hooks.py."""
    sweep: SweepConfig = SweepConfig()

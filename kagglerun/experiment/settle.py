"""Settles on this machine what a config leaves open: precision, `batch_size: auto`, `compile: auto`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from kagglerun.config.schema import Config, TrainingConfig
from kagglerun.errors import ConfigError
from kagglerun.experiment.parallel.gpus import require_gpus
from kagglerun.metrics import Metric
from kagglerun.models.base import ModelInput
from kagglerun.models.workload import make_workload
from kagglerun.training.batching import settle_update
from kagglerun.training.precision import Precision, resolve_device
from kagglerun.training.step import FitSettings
from kagglerun.training.step_trial import Workload
from kagglerun.training.tune import find_batch_size, find_compile_mode

_BATCH_SIZE = 64
"""For models whose steps cannot be tried."""

Tell = Callable[[str], None]
"""Takes one line for the user."""


def settle(
    config: Config, data: Callable[[], ModelInput] | None, metric: Metric, measurements: Path, tell: Tell
) -> Config:
    """The config with precision, batch_size, effective_batch or accumulate, and compile filled in.

    Args:
        config: the config, its model section resolved.
        data: what the model sees; called only where steps must be tried. None for a model of the competition's own.
        metric: the competition's metric.
        measurements: folder of this machine's measurements.
        tell: is told the settled values and why, in one line.

    Raises:
        ConfigError: the device, the precision or the GPUs cannot be had here, or effective_batch does not fit.
        TrainingError: not even the smallest step fits the GPU.
    """
    settling = _Settling(config, data, metric, measurements)
    told = [*settling.without_effect(), *settling.precision(), *settling.batch_size()]
    settling.update()
    told += settling.compile()
    if told:
        tell("   ".join(told))
    return config.model_copy(update={"training": settling.training})


class _Settling:
    """The training section while it is being settled; each step gives what the user should know of it."""

    def __init__(
        self, config: Config, data: Callable[[], ModelInput] | None, metric: Metric, measurements: Path
    ) -> None:
        self.training: TrainingConfig = config.training
        self._config, self._data, self._metric, self._folder = config, data, metric, measurements
        self._device = resolve_device(config.training.device)

    def without_effect(self) -> list[str]:
        """What the config asks of a GPU, where there is none."""
        if self._device.type == "cuda":
            return []
        of_gpus = {"precision": "tf32", "compile": "cudagraphs", "data_on_gpu": "always"}
        named = [f"training.{name}={value}" for name, value in of_gpus.items() if getattr(self.training, name) == value]
        verb = "has" if len(named) == 1 else "have"
        return [f"without a GPU {' and '.join(named)} {verb} no effect"] if named else []

    def precision(self) -> list[str]:
        name = Precision.resolve(self.training.precision, self._device).name
        was_open = self.training.precision == "auto"
        self._set(precision=name)
        return [f"precision={name}"] if was_open and self._device.type == "cuda" else []

    def batch_size(self) -> list[str]:
        if self.training.batch_size != "auto":
            return []
        if "training.effective_batch" in self._config.sweep.search:
            raise ConfigError(
                "training.batch_size is 'auto', but the search varies training.effective_batch, which it must divide",
                hint="give a training.batch_size that divides all of them, e.g. training.batch_size=16",
            )
        if self._workload is None:
            self._set(batch_size=_BATCH_SIZE)
            return [f"batch_size={_BATCH_SIZE} (this model's steps cannot be tried)"]
        answer = find_batch_size(self._workload, self._settings, self._device, self._folder)
        self._set(batch_size=answer.size)
        return [f"batch_size={answer.size} ({answer.why})"]

    def update(self) -> None:
        """accumulate follows from effective_batch; where a sweep varies what they follow from, both stay open."""
        require_gpus(self._config)
        varied = {"training.batch_size", "training.accumulate", "training.gpus", "training.effective_batch"}
        if not varied & set(self._config.sweep.search):
            self.training = settle_update(self.training)

    def compile(self) -> list[str]:
        if self.training.compile != "auto":
            return []
        if self._device.type != "cuda" or self._workload is None:
            self._set(compile="off")
            return []
        n_folds = len(self._config.cv.folds or range(self._config.cv.n_splits))
        answer = find_compile_mode(self._workload, self._settings, self._device, n_folds, self._folder)
        self._set(compile=answer.mode)
        return [f"compile={answer.mode} ({answer.why})"]

    def _set(self, **values: object) -> None:
        self.training = self.training.model_copy(update=values)

    @property
    def _settings(self) -> FitSettings:
        return FitSettings(self.training, self._config.optimizer, self._config.schedule)

    @cached_property
    def _workload(self) -> Workload | None:
        if self._data is None or self._config.model.kind not in ("image", "tabular_neural"):
            return None
        data = self._data()
        n_train = len(data.targets) * (self._config.cv.n_splits - 1) // self._config.cv.n_splits
        return make_workload(self._config, data, self._metric, n_train)

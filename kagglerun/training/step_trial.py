"""Updates on made-up samples of the real shape, to be measured: nothing of a run is touched."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kagglerun.training.batches import Batch, Samples
from kagglerun.training.compiled import compiled
from kagglerun.training.distributed import Team
from kagglerun.training.ema import WeightAverage
from kagglerun.training.optim import build_optimizer
from kagglerun.training.precision import Precision
from kagglerun.training.seed import seed_torch
from kagglerun.training.state import TrainState
from kagglerun.training.step import FitSettings, Randomness, Stepper

_MEASURED_SECONDS = 2.0
_WARM_UPDATES = 4


@dataclass(frozen=True)
class Workload:
    """What a config trains, on made-up samples of the real shape.

    Attributes:
        build: makes the network.
        batch: number of samples and device to a batch of the real shapes and dtypes, with targets.
        loss: (logits, targets) to the mean loss.
        n_train: training samples of a fold.
        data_bytes: bytes of the whole data set where it would be kept on the GPU.
        key: what a measurement depends on besides settings and machine: model and shapes.
    """

    build: Callable[[], nn.Module]
    batch: Callable[[int, torch.device], Batch]
    loss: Callable[[Tensor, Tensor], Tensor]
    n_train: int
    data_bytes: int
    key: Mapping[str, Any]


@dataclass(frozen=True)
class Cost:
    """What a compiled form costs.

    Attributes:
        start_seconds: until it runs at its speed.
        update_seconds: of one update after that.
    """

    start_seconds: float
    update_seconds: float

    def of_run(self, updates: int) -> float:
        """Seconds of a run of so many updates."""
        return self.start_seconds + updates * self.update_seconds


class StepTrial:
    """Real updates of a fresh network on one made-up batch.

    Args:
        workload: what is trained.
        settings: how.
        device: where.
        size: samples of a step.
        mode: how the network is compiled.
    """

    def __init__(
        self, workload: Workload, settings: FitSettings, device: torch.device, size: int, mode: str = "off"
    ) -> None:
        training = settings.training.model_copy(update={"batch_size": size, "compile": mode, "accumulate": 1})
        self._device, self._size = device, size
        self._precision = precision = Precision.resolve(training.precision, device)
        self._state = fresh_state(workload.build, replace(settings, training=training), device, precision)
        self.model = self._state.model.train()
        forward = compiled(self.model, mode, device, size)
        own = replace(settings, training=training)
        self._stepper = Stepper(
            self._state, forward, workload.loss, own, precision, Team(), Randomness(0, 0), updates_per_epoch=1000
        )
        self._batch = workload.batch(size, device)
        self._samples: Samples = np.arange(size, dtype=np.int64)

    def cost(self, seconds: float = _MEASURED_SECONDS) -> Cost:
        """Seconds until it runs at its speed, and of an update then, measured for about so many seconds."""
        began = time.perf_counter()
        self.updates(_WARM_UPDATES)
        start = time.perf_counter() - began
        one = self.updates(2) / 2
        count = max(3, min(1000, round(seconds / one)))
        each = self.updates(count) / count
        return Cost(max(0.0, start - _WARM_UPDATES * each), each)

    def updates(self, count: int) -> float:
        """Make so many updates, the device waited for; their seconds."""
        began = time.perf_counter()
        with self._precision.float32_math():
            for _ in range(count):
                self._stepper.update(self._samples, [self._samples], iter([self._batch]))
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter() - began


def fresh_state(
    build: Callable[[], nn.Module], settings: FitSettings, device: torch.device, precision: Precision
) -> TrainState:
    """A network at its start, with optimizer, scaler and average as a run has them."""
    seed_torch(0, "trial")
    model = build().to(device)
    return TrainState(
        model=model,
        optimizer=build_optimizer(model, settings.optimizer),
        scaler=torch.amp.GradScaler(device.type, enabled=precision.scales_loss),
        average=WeightAverage(model, settings.training.ema) if settings.training.ema else None,
        loss_sum=torch.zeros((), dtype=torch.float64, device=device),
    )


def release(device: torch.device) -> None:
    """Give the GPU's memory back; an error's traceback may hold tensors in a cycle."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()

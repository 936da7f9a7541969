"""How fast a fold trains on its real data, and where the time goes: updates as in `fit`, of which nothing is kept."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

import torch
from torch import Tensor

from kagglerun.training.batches import Batch, Samples
from kagglerun.training.batching import cut, split_epoch, updates_per_epoch
from kagglerun.training.compiled import compiled
from kagglerun.training.distributed import Team
from kagglerun.training.finite import UpdateFacts
from kagglerun.training.gpu_monitor import GpuMonitor, GpuUse
from kagglerun.training.loop import FitTask
from kagglerun.training.precision import Precision, resolve_device
from kagglerun.training.seed import sample_order
from kagglerun.training.stages import StageTime, clocked, stage
from kagglerun.training.step import FitSettings, Randomness, Stepper
from kagglerun.training.step_trial import fresh_state

_WARM_UPDATES = {"cuda": 4, "cpu": 1}
"""CUDA graphs are recorded in the second update; a CPU is at its speed after one."""
_LEAST_UPDATES = 2


@dataclass(frozen=True)
class Throughput:
    """What was measured.

    Attributes:
        updates: number of updates.
        samples: samples they took.
        seconds: time they took; the warm-up before is left out.
        warm_up_seconds: building the network, compiling, and the first updates.
        stages: where the time went; empty where nobody asked.
        gpu: what the GPU did meanwhile; None without one, or without NVML.
        gpu_peak_bytes: most memory torch held on the GPU; None on a CPU.
        cpu_share: share of the cores that this process may use that it did use, 0 to 1.
    """

    updates: int
    samples: int
    seconds: float
    warm_up_seconds: float
    stages: tuple[StageTime, ...]
    gpu: GpuUse | None
    gpu_peak_bytes: int | None
    cpu_share: float

    @property
    def samples_per_second(self) -> float:
        """Training samples a second."""
        return self.samples / self.seconds


def measure_throughput(task: FitTask, settings: FitSettings, seconds: float, by_stage: bool = False) -> Throughput:
    """Train for about so many seconds and forget it.

    Args:
        task: what is trained on what.
        settings: how.
        seconds: measuring time after the warm-up; at least two updates are measured.
        by_stage: tell where the time goes.

    Raises:
        torch.OutOfMemoryError: a step does not fit the GPU.
    """
    device = resolve_device(settings.training.device)
    precision = Precision.resolve(settings.training.precision, device)
    began = time.perf_counter()
    with precision.float32_math(), closing(_Updates(task, settings, device, precision).run()) as updates:
        for _ in range(_WARM_UPDATES[device.type]):
            next(updates)
        _wait(device)
        warm_up = time.perf_counter() - began
        return _measure(updates, device, seconds, warm_up, by_stage)


def _measure(
    updates: Iterator[int], device: torch.device, seconds: float, warm_up: float, by_stage: bool
) -> Throughput:
    with ExitStack() as stack:
        monitor = stack.enter_context(GpuMonitor(device))
        clock = stack.enter_context(clocked(device)) if by_stage else None
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        began, computed, count, samples = time.perf_counter(), time.process_time(), 0, 0
        while count < _LEAST_UPDATES or time.perf_counter() - began < seconds:
            samples += next(updates)
            count += 1
        _wait(device)
        took, computed = time.perf_counter() - began, time.process_time() - computed
        return Throughput(
            updates=count,
            samples=samples,
            seconds=took,
            warm_up_seconds=warm_up,
            stages=tuple(clock.times()) if clock else (),
            gpu=monitor.interval(),
            gpu_peak_bytes=int(torch.cuda.max_memory_reserved(device)) if device.type == "cuda" else None,
            cpu_share=computed / took / n_cores(),
        )


class _Updates:
    """The updates of a fold, epoch after epoch, for as long as they are asked for."""

    def __init__(self, task: FitTask, settings: FitSettings, device: torch.device, precision: Precision) -> None:
        self._task, self._config = task, settings.training
        self._state = fresh_state(task.build, settings, device, precision)
        self._micro_batch = self._config.micro_batch or self._config.step_size
        several = self._micro_batch < self._config.update_size
        forward = compiled(self._state.model, self._config.compile, device, self._micro_batch, several)
        self._stepper = _TimedStepper(
            self._state,
            _staged(forward, "forward"),
            _staged(task.loss, "forward"),
            settings,
            precision,
            Team(),
            Randomness(task.seed, task.fold),
            updates_per_epoch(len(task.train), self._config),
        )

    def run(self) -> Generator[int]:
        """Makes updates; gives the samples of each."""
        for epoch in itertools.count():
            order = sample_order(self._task.seed, self._task.fold, epoch, len(self._task.train))
            updates = split_epoch(order, self._config)
            pieces = [cut(samples, self._micro_batch) for samples in updates]
            self._state.model.train()
            with closing(self._task.train.stream([part for parts in pieces for part in parts], epoch)) as batches:
                for samples, parts in zip(updates, pieces, strict=True):
                    self._stepper.update(samples, parts, batches)
                    yield len(samples)


class _TimedStepper(Stepper):
    """Updates whose stages are marked."""

    def _backward(self, n_samples: int, pieces: Sequence[Samples], batches: Iterator[Batch]) -> Tensor:
        with stage("backward"):  # forward passes and batches lie in it, and count for themselves
            return super()._backward(n_samples, pieces, _waited(batches))

    def _step(self, loss: Tensor, facts: UpdateFacts) -> None:
        with stage("optimizer"):
            super()._step(loss, facts)


def _staged(function: Callable[..., Tensor], name: str) -> Callable[..., Tensor]:
    def called(*given: Tensor) -> Tensor:
        with stage(name):
            return function(*given)

    return called


def _waited(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The batches; the time until each is there counts as waiting, but for the stages in which it is made."""
    while True:
        with stage("wait for data"):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def n_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

"""What the training engine adds to a bare loop: same model, same batches, no logging, no checkpoint.

Both loops run in turns in one process; the figure is the ratio of their median times per epoch.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import numpy as np
import timm
import torch
from torch import Tensor, nn

from kagglerun.config.schema import OptimizerConfig, ScheduleConfig, TabularNeuralConfig, TrainingConfig
from kagglerun.models.tabular_neural import TableResNet
from kagglerun.training.batches import Batch
from kagglerun.training.checkpoint import Checkpoints
from kagglerun.training.loop import FitSettings, FitTask, fit
from kagglerun.training.seed import deterministic_algorithms

ROUNDS = 5
BATCH_SIZE = 32


class TensorBatches:
    """Samples that are tensors already."""

    def __init__(self, inputs: tuple[Tensor, ...], answers: Tensor) -> None:
        self.inputs, self.answers = inputs, answers

    def __len__(self) -> int:
        return len(self.answers)

    def stream(self, parts: Sequence[np.ndarray], epoch: int | None) -> Generator[Batch]:
        """Rows of the tensors."""
        for samples in parts:
            rows = torch.from_numpy(samples)
            yield Batch(tuple(tensor[rows] for tensor in self.inputs), self.answers[rows])

    def targets(self) -> Tensor:
        """All targets."""
        return self.answers


def report() -> str:
    """A Markdown table of the ratios."""
    rows = [
        "### Cost of an epoch of `fit()` against a bare loop",
        "",
        "| model | samples | optimizer of the bare loop | bare loop, s | fit(), s | ratio |",
        "|---|---|---|---|---|---|",
    ]
    numbers = torch.Generator().manual_seed(0)
    images = TensorBatches(
        (torch.rand(512, 3, 64, 64, generator=numbers),), torch.randint(0, 10, (512,), generator=numbers)
    )
    table = TensorBatches(
        (torch.randn(20000, 30, generator=numbers), torch.zeros(20000, 0, dtype=torch.long)),
        torch.randint(0, 2, (20000,), generator=numbers),
    )
    config = TabularNeuralConfig()
    cases: list[tuple[str, Callable[[], nn.Module], TensorBatches]] = [
        ("resnet18, 64 pixels", lambda: timm.create_model("resnet18", num_classes=10), images),
        ("residual table network, 30 columns", lambda: TableResNet(30, (), 2, config), table),
    ]
    for name, build, samples in cases:
        plain, fused, ours = measure(build, samples)
        for optimizer, bare in (("AdamW", plain), ("AdamW(fused=True)", fused)):
            rows.append(f"| {name} | {len(samples)} | {optimizer} | {bare:.2f} | {ours:.2f} | {ours / bare:.3f} |")
    return "\n".join(rows)


def measure(build: Callable[[], nn.Module], samples: TensorBatches) -> tuple[float, float, float]:
    """Median seconds of a bare epoch (plain, fused optimizer) and of an epoch of fit(), all deterministic."""
    plain, fused, ours = [], [], []
    with deterministic_algorithms(True):
        for _ in range(ROUNDS):
            plain.append(bare_epoch(build(), samples, fused=False))
            fused.append(bare_epoch(build(), samples, fused=True))
            ours.append(fit_epoch(build, samples))
    return statistics.median(plain), statistics.median(fused), statistics.median(ours)


def bare_epoch(model: nn.Module, samples: TensorBatches, fused: bool) -> float:
    """Seconds of one epoch, written as a tutorial would, with the same clipping."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=fused)
    order = np.random.default_rng(0).permutation(len(samples))
    model.train()
    stamps = []
    for start in range(0, len(order) - BATCH_SIZE + 1, BATCH_SIZE):
        rows = order[start : start + BATCH_SIZE]
        optimizer.zero_grad(set_to_none=True)
        (batch,) = samples.stream([rows], 0)
        loss = nn.functional.cross_entropy(model(*batch.inputs), batch.targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        stamps.append(time.perf_counter())
    return whole_epoch(stamps)


def whole_epoch(stamps: list[float]) -> float:
    """Seconds of an epoch from the ends of its updates; the first, which allocates, is left out and scaled for."""
    return (stamps[-1] - stamps[0]) * len(stamps) / (len(stamps) - 1)


def fit_epoch(build: Callable[[], nn.Module], samples: TensorBatches) -> float:
    """Seconds of one epoch of fit(), with clipping at 1 as by default."""
    few = TensorBatches(tuple(tensor[:1] for tensor in samples.inputs), samples.answers[:1])
    task = FitTask(
        build=build,
        train=samples,
        valid=few,
        loss=nn.functional.cross_entropy,
        activate=lambda logits: logits,
        score=lambda predictions: 0.0,
        greater_is_better=True,
        seed=0,
        fold=0,
    )
    training = TrainingConfig(epochs=1, batch_size=BATCH_SIZE, device="cpu", precision="fp32", checkpoint_seconds=1e6)
    stamps: list[float] = []

    def stamp(values: dict[str, float]) -> bool:
        stamps.append(time.perf_counter())
        return False

    with tempfile.TemporaryDirectory() as folder:
        settings = FitSettings(training, OptimizerConfig(), ScheduleConfig())
        fit(task, settings, Checkpoints(Path(folder)), lambda *_: None, stamp)
    return whole_epoch(stamps)


if __name__ == "__main__":
    print(report())

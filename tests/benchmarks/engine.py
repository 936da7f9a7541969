"""What the training engine adds to a bare loop: same model, same batches, no logging, no checkpoint.

    python tests/benchmarks/engine.py [BARE]

The loops run in turns in one process, where the bare ones too keep the memory they free, as fit() makes it; one more
bare loop runs in a process of its own, as a tutorial's would (with BARE, the number of a model, this program is that
process and prints its seconds). The figure is the median of the rounds' ratios.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import timm
import torch
from torch import Tensor, nn

from kagglerun.config.schema import OptimizerConfig, ScheduleConfig, TabularNeuralConfig, TrainingConfig
from kagglerun.models.tabular_neural import TableResNet
from kagglerun.training.batches import Batch
from kagglerun.training.checkpoint import Checkpoints
from kagglerun.training.host_memory import reuse_freed_memory
from kagglerun.training.loop import FitSettings, FitTask, fit
from kagglerun.training.optim import build_optimizer
from kagglerun.training.seed import deterministic_algorithms

ROUNDS = 7
BATCH_SIZE = 32
FUSED = "AdamW(fused=True)"
OPTIMIZERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "AdamW": lambda model: torch.optim.AdamW(model.parameters(), lr=1e-3),
    FUSED: lambda model: torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True),
    # The update that fit() makes: two groups of parameters.
    FUSED + ", no decay of biases and norms": lambda model: build_optimizer(model, OptimizerConfig()),
}


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


@dataclass(frozen=True)
class Case:
    """A model and its samples."""

    name: str
    build: Callable[[], nn.Module]
    samples: TensorBatches


def cases() -> list[Case]:
    """A network of convolutions and one of tables."""
    numbers = torch.Generator().manual_seed(0)
    images = TensorBatches(
        (torch.rand(512, 3, 64, 64, generator=numbers),), torch.randint(0, 10, (512,), generator=numbers)
    )
    table = TensorBatches(
        (torch.randn(20000, 30, generator=numbers), torch.zeros(20000, 0, dtype=torch.long)),
        torch.randint(0, 2, (20000,), generator=numbers),
    )
    config = TabularNeuralConfig()
    return [
        Case("resnet18, 64 pixels", lambda: timm.create_model("resnet18", num_classes=10), images),
        Case("residual table network, 30 columns", lambda: TableResNet(30, (), 2, config), table),
    ]


def report() -> str:
    """A Markdown table of the ratios."""
    rows = [
        "### Cost of an epoch of `fit()` against a bare loop",
        "",
        f"In turns; medians of {ROUNDS} rounds, ratios are medians of the rounds' ratios.",
        "",
        "| model | samples | the bare loop's optimizer | its process | bare loop, s | `fit()`, s | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    reuse_freed_memory(torch.device("cpu"))
    for number, case in enumerate(cases()):
        rounds = [measure(number, case) for _ in range(ROUNDS)]
        ours = [seconds[-1] for seconds in rounds]
        kinds = [*((optimizer, "the same") for optimizer in OPTIMIZERS), (FUSED, "its own")]
        for place, (optimizer, process) in enumerate(kinds):
            bare = [seconds[place] for seconds in rounds]
            ratio = statistics.median(our / other for our, other in zip(ours, bare, strict=True))
            rows.append(
                f"| {case.name} | {len(case.samples)} | {optimizer} | {process} "
                f"| {statistics.median(bare):.2f} | {statistics.median(ours):.2f} | {ratio:.3f} |"
            )
    return "\n".join(rows)


def measure(number: int, case: Case) -> list[float]:
    """Seconds of a bare epoch with each optimizer, of one in a process of its own, and of an epoch of fit()."""
    command = [sys.executable, __file__, str(number)]
    alone = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    with deterministic_algorithms(True):
        bare = [bare_epoch(case.build(), case.samples, build) for build in OPTIMIZERS.values()]
        return [*bare, float(alone), fit_epoch(case.build, case.samples)]


def bare_alone(number: int) -> float:
    """Median seconds of three bare epochs, after one to warm up."""
    case = cases()[number]
    with deterministic_algorithms(True):
        seconds = [bare_epoch(case.build(), case.samples, OPTIMIZERS[FUSED]) for _ in range(4)]
    return statistics.median(seconds[1:])


def bare_epoch(model: nn.Module, samples: TensorBatches, build: Callable[[nn.Module], torch.optim.Optimizer]) -> float:
    """Seconds of one epoch, written as a tutorial would, with the same clipping."""
    optimizer = build(model)
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
    print(bare_alone(int(sys.argv[1])) if len(sys.argv) > 1 else report())

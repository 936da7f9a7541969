"""Long runs and long-lived processes do not grow."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import Tensor, nn

from kagglerun.training.batches import Batch
from tests.training.small_fits import Rows, noisy_net, problem, run_fit, training_config

torch.set_num_threads(1)
MEGABYTE = 1 << 20


class VaryingShapes(Rows):
    """Sequences whose length differs from batch to batch and from epoch to epoch."""

    def stream(self, parts: Sequence[np.ndarray], epoch: int | None) -> Generator[Batch]:
        """Inputs (n, length, 4)."""
        for number, samples in enumerate(parts):
            length = 1 + (7 * number + 13 * (epoch or 0)) % 60
            yield Batch((self.inputs[samples][:, None].expand(-1, length, -1).contiguous(),), self.answers[samples])


class OverSequences(nn.Module):
    """The mean over a sequence's steps."""

    def __init__(self) -> None:
        super().__init__()
        self.step = nn.Linear(4, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        means: Tensor = self.step(inputs).mean(dim=1)
        return means


def test_many_epochs_of_varying_shapes_do_not_grow(tmp_path: Path) -> None:
    train, valid = problem(n_train=64, n_valid=50)
    data = VaryingShapes(train.inputs, train.answers), VaryingShapes(valid.inputs, valid.answers)
    process, resident, traced = psutil.Process(), [], []

    def watch(values: dict[str, float]) -> bool:
        if values["update"] % 48 == 0:
            resident.append(process.memory_info().rss)
            traced.append(tracemalloc.get_traced_memory()[0])
        return False

    config = training_config(epochs=60, eval_batch_size=7, ema=0.9, checkpoint_epochs=10, checkpoint_seconds=0.2)
    tracemalloc.start()
    try:
        run_fit(tmp_path, config, data=data, build=OverSequences, should_stop=watch)
    finally:
        tracemalloc.stop()
    assert len(resident) == 10
    assert traced[-1] - traced[2] < 0.2 * MEGABYTE
    assert resident[-1] - resident[2] < 8 * MEGABYTE


def test_fifty_folds_in_one_process_leave_no_thread_no_open_file_and_no_memory(tmp_path: Path) -> None:
    process = psutil.Process()

    def fold(number: int) -> None:
        run_fit(
            tmp_path / str(number), training_config(epochs=1, checkpoint_seconds=1e-9), build=noisy_net, fold=number
        )

    for number in range(5):
        fold(number)
    threads, native = threading.active_count(), process.num_threads()
    files, memory = process.num_fds(), process.memory_info().rss
    for number in range(5, 50):
        fold(number)
    assert threading.active_count() == threads
    assert all(thread.name != "checkpoint" for thread in threading.enumerate())
    assert process.num_fds() <= files
    assert process.num_threads() <= native + 1
    assert process.memory_info().rss - memory < 8 * MEGABYTE

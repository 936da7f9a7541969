"""Teams of real processes that talk by gloo: each test's training runs in all of them.

The processes are forked from one that has torch imported, so that a team starts in a moment.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from kagglerun.config.schema import OptimizerConfig, ScheduleConfig, TrainingConfig
from kagglerun.errors import KagglerunError
from kagglerun.files import write_bytes, write_json
from kagglerun.training.batches import Batch
from kagglerun.training.checkpoint import Checkpoints
from kagglerun.training.distributed import current_team
from kagglerun.training.loop import FitSettings, FitTask, fit
from kagglerun.training.memory import TeamOutOfMemory
from kagglerun.training.precision import Precision
from kagglerun.training.predict import predict_logits
from kagglerun.training.process_team import has_lost_peer, join_team, leave_team

_forks = multiprocessing.get_context("forkserver")
# torch's optimizers import torch._dynamo when the first one is made, which takes seconds.
_forks.set_forkserver_preload(["kagglerun.training.loop", "kagglerun.training.process_team", "torch._dynamo"])
LOST_PEER, OUT_OF_MEMORY = 5, 6


@dataclass(frozen=True)
class Case:
    """A training of a small network, the same in every process.

    Attributes:
        folder: checkpoints and results.
        training: the training section.
        net: "plain" or "norm" (with batch norm and dropout).
        only_predicts: predict the validation samples with the network as it is made.
        n_train: training samples.
        n_valid: validation samples.
        bad_sample: a training sample whose input is NaN.
        full_from: samples of a forward pass that are too many for the memory of process 1, once.
    """

    folder: Path
    training: dict[str, Any] = field(default_factory=dict)
    net: str = "plain"
    only_predicts: bool = False
    n_train: int = 48
    n_valid: int = 37
    bad_sample: int | None = None
    full_from: int | None = None


class Rows:
    """Samples of a linear problem."""

    def __init__(self, inputs: Tensor, answers: Tensor) -> None:
        self.inputs, self.answers = inputs, answers

    def __len__(self) -> int:
        return len(self.inputs)

    def stream(self, parts: Sequence[np.ndarray], epoch: int | None) -> Generator[Batch]:
        for samples in parts:
            yield Batch((self.inputs[samples],), self.answers[samples])

    def targets(self) -> Tensor:
        return self.answers


def start(case: Case, size: int) -> list[BaseProcess]:
    """Start the case in so many processes."""
    port = _free_port()
    team = [_forks.Process(target=_member, args=(case, rank, size, port)) for rank in range(size)]
    for process in team:
        process.start()
    return team


def run(case: Case, size: int) -> list[int]:
    """Run the case to its end; the exit codes."""
    team = start(case, size)
    for process in team:
        process.join(60)
        process.kill()
    return [process.exitcode if process.exitcode is not None else -1 for process in team]


def result(case: Case, rank: int = 0) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
    """Weights and history of a case that ended."""
    history = json.loads((case.folder / f"history-{rank}.json").read_text())
    return safetensors.torch.load_file(case.folder / f"weights-{rank}.safetensors"), history


def bits(case: Case) -> bytes:
    """All that a case gave."""
    return (case.folder / "weights-0.safetensors").read_bytes() + (case.folder / "history-0.json").read_bytes()


def kill(team: list[BaseProcess], victims: Sequence[int]) -> None:
    """SIGKILL some processes, and wait for the end of all."""
    for rank in victims:
        team[rank].kill()
    for process in team:
        process.join(30)
        assert not process.is_alive(), "a process waits for one that is dead"


def wait_for_checkpoint(case: Case, before: set[str]) -> None:
    """Wait until there is another checkpoint than those."""
    deadline = time.monotonic() + 60
    while checkpoints(case) <= before and time.monotonic() < deadline:
        time.sleep(0.005)


def checkpoints(case: Case) -> set[str]:
    """Names of the checkpoints there are."""
    folder = case.folder / "checkpoints"
    return {path.name for path in folder.iterdir() if path.name.isdigit()} if folder.is_dir() else set()


def _member(case: Case, rank: int, size: int, port: int) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if size > 1:
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(size)}
        os.environ.update(place, RANK=str(rank), LOCAL_RANK=str(rank))
    torch.set_num_threads(1)
    try:
        join_team("cpu")
        _predict(case, rank) if case.only_predicts else _fit(case, rank)
        leave_team()
    except KagglerunError as error:
        write_json(case.folder / f"error-{rank}.json", [type(error).__name__, error.message])
        os._exit(1)
    except TeamOutOfMemory:
        os._exit(OUT_OF_MEMORY)
    except RuntimeError as error:
        if has_lost_peer(error):
            os._exit(LOST_PEER)
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def _fit(case: Case, rank: int) -> None:
    train, valid = _problem(case)
    answers = valid.answers.numpy()
    task = FitTask(
        build=_NETS[case.net],
        train=train,
        valid=valid,
        loss=_loss(case, rank),
        activate=lambda logits: logits,
        score=lambda predictions: float(np.sqrt(((predictions - answers) ** 2).mean())),
        greater_is_better=False,
        seed=3,
        fold=0,
    )
    values = {"epochs": 4, "batch_size": 8, "device": "cpu", "precision": "fp32", "ema": 0.9, **case.training}
    settings = FitSettings(TrainingConfig(**values), OptimizerConfig(lr=0.02), ScheduleConfig())
    files = Checkpoints(case.folder / "checkpoints", writes=current_team().is_first)
    fitted = fit(task, settings, files, lambda *_: None, lambda _: False)
    write_bytes(case.folder / f"weights-{rank}.safetensors", safetensors.torch.save(fitted.model.state_dict()))
    write_json(case.folder / f"history-{rank}.json", [list(fitted.history), list(fitted.notes)])


def _predict(case: Case, rank: int) -> None:
    torch.manual_seed(0)
    precision = Precision.resolve("fp32", torch.device("cpu"))
    logits = predict_logits(_NETS[case.net](), _problem(case)[1], 8, precision, current_team())
    write_bytes(case.folder / f"logits-{rank}", logits.numpy().tobytes())


def _problem(case: Case) -> tuple[Rows, Rows]:
    numbers = torch.Generator().manual_seed(0)
    inputs = torch.randn(case.n_train + case.n_valid, 4, generator=numbers)
    targets = inputs @ torch.tensor([[1.0], [-2.0], [0.5], [0.0]]) + 0.1
    if case.bad_sample is not None:
        inputs[case.bad_sample] = float("nan")
    n = case.n_train
    return Rows(inputs[:n], targets[:n]), Rows(inputs[n:], targets[n:])


def _loss(case: Case, rank: int) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss; where the case says so, memory runs out in process 1 for large passes after some updates."""
    calls = 0

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if case.full_from is not None and rank == 1 and calls > 5 and len(logits) >= case.full_from:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return nn.functional.mse_loss(logits, targets)

    return loss


def _plain() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))


def _norm() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 1))


_NETS = {"plain": _plain, "norm": _norm}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

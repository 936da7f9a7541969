"""Several processes that share each update: DistributedDataParallel, by NCCL on GPUs and gloo on a CPU.

What the processes tell one another on the CPU goes by gloo in both cases, so that a GPU is never waited for.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any, NoReturn

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from kagglerun.training.batches import Samples
from kagglerun.training.batching import share_of
from kagglerun.training.distributed import Team, current_team, set_current_team
from kagglerun.training.precision import resolve_device

TIMEOUT = timedelta(minutes=30)
"""Longest wait of one process for another: a metric or a hook of the first one's may take its time."""


def join_team(device: str) -> Team:
    """Become part of the team that torchrun started; alone, the team of one.

    Args:
        device: as the config says it.

    Raises:
        ConfigError: there is no such device.
    """
    if "WORLD_SIZE" not in os.environ:
        return current_team()
    own = resolve_device(device)
    # The processes are on one machine, whose name may not be known to it.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    if own.type == "cuda":
        torch.cuda.set_device(own)
        dist.init_process_group("cpu:gloo,cuda:nccl", timeout=TIMEOUT, device_id=own)
    else:
        dist.init_process_group("gloo", timeout=TIMEOUT)
    team = ProcessTeam(own)
    set_current_team(team)
    return team


def leave_team() -> NoReturn:
    """End this process in order, once all have come here.

    The connections end with it: `destroy_process_group` of torch 2.6 now and then waits for ever.
    """
    try:
        current_team().wait_for_all()
    except RuntimeError as error:
        if not has_lost_peer(error):  # one that has ended has come here before
            raise
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def has_lost_peer(error: BaseException) -> bool:
    """Whether an error says that another process is gone: the reason is that one's."""
    text = str(error)
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo/transport" in text)


class ProcessTeam(Team):
    """The processes of torchrun; see `Team`.

    Args:
        device: this process's.
    """

    def __init__(self, device: torch.device) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self._device = device
        self._wrapped: DistributedDataParallel | None = None
        self._wishes = torch.zeros(2, dtype=torch.int32)
        self._asked: dist.Work | None = None
        # Kept: torch 2.6 holds Python's lock while it ends a group, whose thread would wait for it to free this.
        self._met = torch.zeros(1)

    def share(self, samples: Samples) -> Samples:
        """The contiguous part of an update that is this process's."""
        return share_of(samples, self.rank, self.size)

    def parts(self, parts: list[Samples]) -> list[Samples]:
        """A contiguous part of the batches; none where there are fewer batches than processes."""
        own = np.array_split(np.arange(len(parts)), self.size)[self.rank]
        return [parts[number] for number in own]

    def wrap(self, model: nn.Module) -> nn.Module:
        """DistributedDataParallel around the model.

        Batch norms' running means are not exchanged at each step: no training step reads them.
        """
        options: dict[str, Any] = {_SYNC_OPTION: _has_read_buffers(model)}
        self._wrapped = DistributedDataParallel(
            model,
            device_ids=[self._device] if self._device.type == "cuda" else None,
            gradient_as_bucket_view=True,
            **options,
        )
        return self._wrapped

    def backward_of(self, is_last: bool) -> AbstractContextManager[Any]:
        """Gradients are added up on this process until the last piece."""
        assert self._wrapped is not None, "the model is wrapped before its first step"
        return nullcontext() if is_last else self._wrapped.no_sync()

    def mean(self, value: Tensor) -> Tensor:
        """The mean over the team; on a GPU it is waited for by the GPU alone."""
        total = value.detach().clone()
        dist.all_reduce(total)
        return total / self.size

    def agree(self, stop: bool, save: bool) -> tuple[bool, bool]:
        """What the first process wanted one update ago, so that no answer is waited for."""
        answer = (False, False)
        if self._asked is not None:
            self._asked.wait()
            stops, saves = self._wishes.tolist()
            answer = bool(stops), bool(saves)
        self._wishes = torch.tensor([stop, save], dtype=torch.int32)
        self._asked = dist.broadcast(self._wishes, 0, async_op=True)
        return answer

    def sync_buffers(self, module: nn.Module) -> None:
        """Take over the first process's buffers."""
        for buffer in module.buffers():
            dist.broadcast(buffer, 0)

    def gather(self, own: Tensor | None) -> Tensor:
        """Rows of all processes in the order of the processes."""
        shape = torch.tensor(own.shape if own is not None else (0, 0))
        shapes = [torch.zeros_like(shape) for _ in range(self.size)]
        dist.all_gather(shapes, shape)
        counts = [int(each[0]) for each in shapes]
        width = max(int(each[1]) for each in shapes)
        # All send the same number of rows; what is padding is known by its place and left out.
        padded = torch.zeros((max(counts), width))
        if own is not None:
            padded[: len(own)] = own
        rows = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(rows, padded)
        return torch.cat([part[:count] for part, count in zip(rows, counts, strict=True)])

    def values_of_first(self, values: Callable[[], dict[str, float]]) -> dict[str, float]:
        """What the first process makes, the same in all; as JSON, which keeps every bit of a float."""
        text = json.dumps(values()).encode() if self.is_first else b""
        told = torch.zeros(self.number_of_first(len(text)), dtype=torch.uint8)
        if self.is_first:
            told = torch.frombuffer(bytearray(text), dtype=torch.uint8)
        dist.broadcast(told, 0)
        made: dict[str, float] = json.loads(bytes(told.tolist()))
        return made

    def number_of_first(self, number: int) -> int:
        """The first process's number."""
        told = torch.tensor([number])
        dist.broadcast(told, 0)
        return int(told)

    def wait_for_all(self) -> None:
        """Return when every process has come here."""
        dist.all_reduce(self._met)


_SYNC_OPTION = (
    "forward_sync_buffers"
    if "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
    else "broadcast_buffers"
)
"""What torch calls the exchange of buffers at each step."""


def _has_read_buffers(model: nn.Module) -> bool:
    """Whether a training step may read a buffer that it changes: every one but batch norms' may be such a one."""
    return any(
        buffer.is_floating_point()
        for module in model.modules()
        if not isinstance(module, nn.modules.batchnorm._BatchNorm)
        for buffer in module.buffers(recurse=False)
    )

"""One process of a sum over all devices: `python -m ...all_reduce RANK SIZE FILE BACKEND`."""

from __future__ import annotations

import os
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from kagglerun.environment.doctor.children.tell import begin, tell

if TYPE_CHECKING:
    import torch

_NUMBERS = 1 << 20
_MANY_NUMBERS = {"nccl": 1 << 26, "gloo": 1 << 20}
_TIMES = 5
_TIMEOUT = timedelta(seconds=60)


def main() -> None:
    """Tell the `smallest` and `largest` entry of the sum, the `seconds` until it was there, and `bytes_per_second`."""
    begin()
    rank, size, meeting, backend = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    # The processes are on one machine, whose name may not be known to it.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    import torch
    import torch.distributed as dist

    device = torch.device("cuda", rank) if backend == "nccl" else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    began = time.perf_counter()
    dist.init_process_group(backend, init_method=f"file://{meeting}", rank=rank, world_size=size, timeout=_TIMEOUT)
    numbers = torch.full((_NUMBERS,), float(rank + 1), device=device)
    dist.all_reduce(numbers)
    tell(
        smallest=float(numbers.min()),
        largest=float(numbers.max()),
        seconds=time.perf_counter() - began,
    )
    tell(bytes_per_second=_rate(device, _MANY_NUMBERS[backend], size))
    sys.stdout.flush()
    os._exit(0)  # ending a group now and then waits for ever


def _rate(device: torch.device, count: int, size: int) -> float:
    """Bytes a second that cross each device's link: a sum sends and receives 2 (n - 1) / n of the tensor.

    Source: NVIDIA's nccl-tests, doc/PERFORMANCE.md, "bus bandwidth".
    """
    import torch
    import torch.distributed as dist

    numbers = torch.zeros(count, device=device)
    dist.all_reduce(numbers)
    float(numbers[0])
    began = time.perf_counter()
    for _ in range(_TIMES):
        dist.all_reduce(numbers)
    float(numbers[0])  # waits for the device
    return 2 * (size - 1) / size * 4 * count * _TIMES / (time.perf_counter() - began)


if __name__ == "__main__":
    main()

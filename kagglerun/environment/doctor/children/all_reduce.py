"""One process of a sum over all devices: `python -m ...all_reduce RANK SIZE FILE BACKEND`."""

from __future__ import annotations

import os
import sys
import time
from datetime import timedelta

from kagglerun.environment.doctor.children.tell import begin, tell

_NUMBERS = 1 << 20
_TIMEOUT = timedelta(seconds=60)


def main() -> None:
    """Tell `sum` and the `seconds` it took; and `bytes_per_second` of a larger sum on GPUs."""
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
    sys.stdout.flush()
    os._exit(0)  # ending a group now and then waits for ever


if __name__ == "__main__":
    main()

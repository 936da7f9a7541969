"""A batch in pieces: on a CPU each thread works on a piece of its own, so that no operation waits for another thread.

torch would share out every single operation between its threads and wait for the slowest: on cores that are busy with
something else this took eight times as long as pieces do.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from threading import Barrier

import torch

_NUMBERS_AT_ONCE = {"cpu": 2**18, "cuda": 2**26}
"""Numbers of one piece. On a CPU a piece and its temporary copies should stay in the second-level cache: sampling
takes half the time or a third of what it takes for the whole batch at once, on an AMD EPYC with 1 MB a core. On a GPU
it bounds the memory taken."""


def samples_at_once(device: torch.device, numbers_each: int) -> int:
    """Samples of one piece for torch's operations.

    Args:
        device: where the batch is.
        numbers_each: numbers of one sample, at its largest.
    """
    return max(1, _NUMBERS_AT_ONCE.get(device.type, 2**26) // numbers_each)


def in_pieces(device: torch.device, n: int, most: int, work: Callable[[slice], None]) -> None:
    """Do some work on slices of a batch that cover it.

    Args:
        device: where the batch is.
        n: samples of the batch.
        most: samples of one slice.
        work: is called with each slice; on a CPU from as many threads as torch has.
    """
    most = max(1, most)
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    pieces = -(-n // (most * threads)) * threads
    step = max(1, -(-n // max(1, pieces)))
    slices = [slice(start, min(start + step, n)) for start in range(0, n, step)]
    if threads == 1 or len(slices) == 1:
        for part in slices:
            work(part)
        return
    waiting = iter(slices)

    def work_off() -> None:
        for part in waiting:  # who is done earlier takes more
            work(part)

    for future in [_pool(threads).submit(work_off) for _ in range(threads)]:
        future.result()


@lru_cache(maxsize=4)
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads in each of which torch works alone."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="augment")
    started = Barrier(threads)

    def alone() -> None:
        torch.set_num_threads(1)
        started.wait()

    for future in [pool.submit(alone) for _ in range(threads)]:
        future.result()
    # The number belongs to the thread, but new threads begin with the one that was set last.
    torch.set_num_threads(threads)
    return pool


# A forked process has none of its parent's threads.
os.register_at_fork(after_in_child=_pool.cache_clear)

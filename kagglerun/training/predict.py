"""Predictions of a network for all samples of a source."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import numpy as np
import torch
from torch import Tensor, nn

from kagglerun.errors import TrainingError
from kagglerun.training.batches import Batches
from kagglerun.training.batching import cut
from kagglerun.training.distributed import Team
from kagglerun.training.memory import first_line, is_out_of_memory
from kagglerun.training.precision import Precision

_HELD_BYTES = 1 << 28
"""Logits that wait on the device before they are fetched: few fetches, and little of its memory."""


@torch.no_grad()
def predict_logits(
    model: nn.Module,
    batches: Batches,
    size: int,
    precision: Precision,
    team: Team,
    most: int | None = None,
    shrunk: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Logits for all samples in order, float32 on the CPU, shape (n, n_logits).

    Each process of the team predicts some of the batches; all get all rows. Where memory runs out, batches are halved.

    Args:
        model: switched to evaluation mode.
        batches: the samples.
        size: samples of one forward pass.
        precision: number format of the forward pass.
        team: the processes that share the work, in whole batches of `size`: the same number in all of them.
        most: most samples of one forward pass in this process, where memory ran out before.
        shrunk: told (size, new size) where memory ran out.

    Raises:
        TrainingError: not even one sample fits into the memory.
    """
    model.eval()
    share = team.parts(cut(np.arange(len(batches), dtype=np.int64), size))
    size = min(most or size, max(map(len, share), default=1))
    own = None
    while own is None and share:
        try:
            own = _predict(model, batches, [piece for part in share for piece in cut(part, size)], precision)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if size == 1:
                raise TrainingError(
                    f"out of memory while one sample is predicted: {first_line(error)}",
                    hint="a smaller model.image_size, or training.precision=auto",
                ) from error
        if own is None:
            if shrunk is not None:
                shrunk(size, size // 2)
            size = size // 2
            if precision.device.type == "cuda":
                torch.cuda.empty_cache()
    return team.gather(own)


def _predict(model: Callable[..., Tensor], batches: Batches, parts: list[np.ndarray], precision: Precision) -> Tensor:
    """Logits stay on the device until there are many, so that it is seldom waited for."""
    fetched, held, held_bytes = [], [], 0
    with closing(batches.stream(parts, None)) as stream:
        for batch in stream:
            with precision.autocast():
                held.append(model(*batch.inputs).float())
            held_bytes += held[-1].nbytes
            if held_bytes > _HELD_BYTES:
                fetched.append(torch.cat(held).cpu())
                held, held_bytes = [], 0
    if held:
        fetched.append(torch.cat(held).cpu())
    return torch.cat(fetched) if len(fetched) > 1 else fetched[0]

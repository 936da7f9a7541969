"""Predictions of a network for all samples of a source."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import numpy as np
import torch
from torch import Tensor, nn

from kagglerun.training.batches import Batches
from kagglerun.training.batching import cut
from kagglerun.training.distributed import Team
from kagglerun.training.precision import Precision
from kagglerun.training.step import is_out_of_memory


@torch.no_grad()
def predict_logits(model: nn.Module, batches: Batches, size: int, precision: Precision, team: Team) -> Tensor:
    """Logits for all samples in order, float32 on the CPU, shape (n, n_logits).

    Each process of the team predicts some of the batches; all get all rows. Where memory runs out, batches are halved.

    Args:
        model: switched to evaluation mode.
        batches: the samples.
        size: samples of one forward pass.
        precision: number format of the forward pass.
        team: the processes that share the work.
    """
    model.eval()
    parts = team.parts(cut(np.arange(len(batches), dtype=np.int64), size))
    own = None
    while own is None and parts:
        try:
            own = _predict(model, batches, parts, precision)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if size == 1 or not is_out_of_memory(error):
                raise
        if own is None:
            size = size // 2
            parts = [half for part in parts for half in cut(part, size)]
            if precision.device.type == "cuda":
                torch.cuda.empty_cache()
    return team.gather(own)


def _predict(model: Callable[..., Tensor], batches: Batches, parts: list[np.ndarray], precision: Precision) -> Tensor:
    """Logits stay on the device until the last is there, so that it is waited for once."""
    logits = []
    with closing(batches.stream(parts, None)) as stream:
        for batch in stream:
            with precision.autocast():
                logits.append(model(*batch.inputs).float())
    return torch.cat(logits).cpu()

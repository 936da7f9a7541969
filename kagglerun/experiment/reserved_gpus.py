"""Runs leave GPUs alone that others have reserved: asked by what starts runs, before anything touches a GPU.

A process that has begun on a GPU stays there: it has its memory already. So this is not asked again for each trial.
"""

from __future__ import annotations

from kagglerun.config.schema import Config
from kagglerun.jobs.reservations import keep_to_free_gpus


def uses_gpus(config: Config) -> bool:
    """Whether a run, or a trial of the config's sweep, may compute on a GPU."""
    is_trees = config.model.kind == "tabular_boosting" and "model.kind" not in config.sweep.search
    return config.training.device != "cpu" and not is_trees


def leave_reserved_gpus(config: Config) -> None:
    """Before anything touches a GPU: have this process and its children leave those alone that others reserved.

    Raises:
        JobError: others have reserved all, or one that CUDA_VISIBLE_DEVICES names.
    """
    if uses_gpus(config):
        keep_to_free_gpus()

"""`workers: auto` and `slots: auto` as numbers: how many trials share a GPU, and how many run at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kagglerun.config.schema import Config
from kagglerun.sweep.devices import Device, free_gpus

MOST_SLOTS = 64
_SHARE = 0.9
"""Part of a GPU's free memory that trials may take."""


def settle_workers(
    config: Config,
    uses_gpu: Callable[[], bool],
    need_bytes: Callable[[], int | None],
    devices: Callable[[], Sequence[Device]] = free_gpus,
) -> Config:
    """The config with numbers for `sweep.workers` and `sweep.slots`.

    Args:
        config: as the user wrote it.
        uses_gpu: whether trials compute on a GPU; asked only where something is left open.
        need_bytes: GPU memory of a trial; None where it is not known. Asked only where slots are left open.
        devices: the GPUs that may be used.
    """
    sweep = config.sweep
    if isinstance(sweep.workers, int) and isinstance(sweep.slots, int):
        return config
    found = list(devices()) if uses_gpu() else []
    each = config.training.gpus
    # A trial on several GPUs has them to itself.
    need = need_bytes() if sweep.slots == "auto" and found and each == 1 else None
    slots = best_slots(found, need) if sweep.slots == "auto" else sweep.slots
    usable = sum(need is None or _holds(device, need) >= slots for device in found)
    workers = max(1, usable // each * slots) if sweep.workers == "auto" else sweep.workers
    return config.model_copy(update={"sweep": sweep.model_copy(update={"workers": workers, "slots": slots})})


def best_slots(devices: Sequence[Device], need_bytes: int | None) -> int:
    """Trials a device with which the most trials run at once: a device that others fill must not hold back the rest.

    Args:
        devices: the GPUs, with what other processes leave of them.
        need_bytes: what a trial takes; None, not known, gives each device to one trial.
    """
    holds = [_holds(device, need_bytes) for device in devices]
    most = {slots: slots * sum(held >= slots for held in holds) for slots in set(holds) if slots > 0}
    return max(most, key=lambda slots: (most[slots], -slots)) if most else 1


def _holds(device: Device, need_bytes: int | None) -> int:
    """Trials that fit the memory that is free now."""
    if not need_bytes or device.free_bytes is None:
        return 1
    return min(MOST_SLOTS, int(_SHARE * device.free_bytes) // need_bytes)

"""The GPUs that trials run on: which there are, how much memory others leave, and which one a worker gets.

A slice of a partitioned GPU (MIG) is a device of its own. NVML alone is asked, so that the coordinator takes no
memory of any GPU itself; without NVIDIA's driver there are no devices.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from kagglerun.jobs.reservations import all_reserved, held_by_others, holder_of
from kagglerun.nvml import Gpu, NoGpus, Nvml

VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Device:
    """A GPU or a slice of one, at one moment.

    Attributes:
        name: as CUDA_VISIBLE_DEVICES names it.
        free_bytes: memory that no process has taken; None where NVML does not tell.
        total_bytes: its memory; None where NVML does not tell.
        uuids: all names it goes by: its own, and that of the GPU whose slice it is.
    """

    name: str
    free_bytes: int | None
    total_bytes: int | None
    uuids: tuple[str, ...] = ()


def visible_gpus(environment: Mapping[str, str] | None = None) -> tuple[Device, ...]:
    """The GPUs and slices that processes started from here may use, in the order in which they are named.

    Args:
        environment: environment variables; CUDA_VISIBLE_DEVICES chooses among the devices. This process's by default.
    """
    given = os.environ if environment is None else environment
    named = given.get(VISIBLE)
    if named is not None and not named.strip():
        return ()
    found = _all_devices()
    return found if named is None else tuple(_chosen(named, found, given))


def free_gpus() -> tuple[Device, ...]:
    """The GPUs and slices that processes started from here may use and that nobody else has reserved.

    Raises:
        JobError: others have reserved them all.
    """
    devices, held = visible_gpus(), held_by_others()
    free = tuple(device for device in devices if holder_of(device.uuids, held) is None)
    if devices and not free:
        raise all_reserved(held)
    return free


def spread(devices: Sequence[Device], placed: Sequence[str], slots: int) -> Device | None:
    """The device for one more trial, so that each has as much memory as can be had.

    Args:
        devices: as they are now; what running trials and other people's processes have taken is not free.
        placed: name of the device of each running trial.
        slots: trials that share a device.

    Returns:
        Of the devices with a slot to spare, else of those with the fewest trials, the one with the most free memory
        for each of its trials; None where there are no devices.
    """
    taken = Counter(placed)
    fewest = min((taken[device.name] for device in devices), default=0)
    free = [device for device in devices if taken[device.name] < max(slots, fewest + 1)]

    def share(device: Device) -> float:
        # Trials that were placed just now have not taken theirs yet: the free memory is for them as well.
        return (1 if device.free_bytes is None else device.free_bytes) / (taken[device.name] + 1)

    return max(free, key=share, default=None)


def _chosen(named: str, found: Sequence[Device], environment: Mapping[str, str]) -> Iterator[Device]:
    """The devices that CUDA_VISIBLE_DEVICES names, by number, UUID or the beginning of one; CUDA stops at nonsense."""
    whole = _gpus_of(found)
    for name in (part.strip() for part in named.split(",")):
        if name.isdigit():
            # CUDA numbers the fastest first, NVML by their place on the bus: only where all are alike that is the same.
            known = whole[int(name)] if int(name) < len(whole) and _same_order(environment, found) else None
            yield Device(name, None, None, (name,)) if known is None else replace(known, name=name)
        elif matches := [device for device in found if any(uuid.startswith(name) for uuid in device.uuids)]:
            yield from matches
        elif not found and name.startswith(("GPU-", "MIG-")):
            yield Device(name, None, None, (name,))
        else:
            return


def _gpus_of(found: Sequence[Device]) -> list[Device | None]:
    """The devices by the number of their GPU; None for a GPU that is cut into slices."""
    by_gpu: dict[str, list[Device]] = {}
    for device in found:
        by_gpu.setdefault(device.uuids[-1], []).append(device)
    return [devices[0] if len(devices) == 1 else None for devices in by_gpu.values()]


def _same_order(environment: Mapping[str, str], found: Sequence[Device]) -> bool:
    alike = len({device.total_bytes for device in found}) <= 1
    return alike or environment.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"


def _all_devices() -> tuple[Device, ...]:
    """Every GPU of the machine, or its slices where it is cut into such."""
    try:
        with Nvml.open() as nvml:
            return tuple(_device(nvml, gpu) for gpu in nvml.gpus())
    except NoGpus:
        return ()


def _device(nvml: Nvml, gpu: Gpu) -> Device:
    look = nvml.look(gpu)
    uuids = (gpu.uuid, gpu.whole_uuid) if gpu.is_slice else (gpu.uuid,)
    return Device(gpu.uuid, look.free_bytes, look.memory_total_bytes, uuids)

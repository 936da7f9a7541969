"""torch and the devices it computes on, looked at in child processes."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from kagglerun.environment.doctor.children.ask import Answer, ask, ask_all
from kagglerun.environment.doctor.gpu_states import AllReduceState, DeviceState, TorchState

_EXACT = 1e-6


def torch_state(seconds: float) -> TorchState:
    """torch, and a product on each device.

    Args:
        seconds: when a child that hangs is given up.
    """
    return read_torch(ask("devices", seconds=seconds))


def read_torch(answer: Answer) -> TorchState:
    """What the child told; where it crashed on a device, that device has the failure."""
    build = answer.last("torch")
    if build is None:
        return TorchState(version=None, failure=_or_absent(answer))
    devices = [_device(told) for told in answer.every("device")]
    failure = answer.failure
    testing = answer.last("testing")
    if failure is not None and testing is not None and all(device.name != testing for device in devices):
        devices.append(DeviceState(testing, testing, failure=failure))
        failure = None
    return TorchState(
        version=build["version"],
        cuda=build["cuda"],
        archs=tuple(build["archs"]),
        cudnn=build["cudnn"],
        nccl=build["nccl"],
        is_available=bool(answer.last("available")),
        why_not=answer.last("why_not"),
        failure=failure,
        devices=tuple(devices),
        threads=build["threads"],
        peers=tuple((one, other) for one, other in answer.last("peers") or ()),
    )


def all_reduce_state(devices: int, backend: str, seconds: float) -> AllReduceState:
    """Add up a tensor over processes, one a device.

    Args:
        devices: how many.
        backend: "nccl" for GPUs, "gloo" for CPUs.
        seconds: when they are given up.
    """
    with tempfile.TemporaryDirectory(prefix="kagglerun-doctor-") as folder:
        meeting = str(Path(folder) / "meeting")
        arguments = [(str(rank), str(devices), meeting, backend) for rank in range(devices)]
        answers = ask_all("all_reduce", arguments, seconds, NCCL_DEBUG="WARN")
    return replace(AllReduceState(devices, backend), **_judged(answers, devices))


def _judged(answers: list[Answer], devices: int) -> dict[str, Any]:
    # The one that ended by itself says why; those that were waiting for it only that they did.
    failures = sorted(
        (one.failure for one in answers if one.failure),
        key=lambda text: text.startswith(("no answer", "it was waiting")),
    )
    if failures:
        return {"failure": failures[0]}
    exact = devices * (devices + 1) / 2
    for answer in answers:
        smallest, largest = answer.last("smallest"), answer.last("largest")
        if smallest is None or not abs(smallest - exact) + abs(largest - exact) < _EXACT:
            return {"failure": f"the sum is {smallest} to {largest}, and should be {exact}"}
    return {
        "seconds": max(answer.last("seconds") for answer in answers),
        "bytes_per_second": min(answer.last("bytes_per_second") for answer in answers),
    }


def _device(told: dict[str, Any]) -> DeviceState:
    capability = told["capability"]
    return DeviceState(**{**told, "capability": None if capability is None else tuple(capability)})


def _or_absent(answer: Answer) -> str | None:
    """A torch that is not installed is no crash."""
    failure = answer.failure or "nothing was told"
    return None if "No module named 'torch'" in failure else failure

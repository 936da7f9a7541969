"""Measure the machine: GPUs in child processes, one after another; then decoding and the disk."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kagglerun.environment.doctor.bench.gpu_models import model_of
from kagglerun.environment.doctor.bench.host import decode_rate, disk_rates
from kagglerun.environment.doctor.bench.rates import GpuMeasures, Measures, Rate
from kagglerun.environment.doctor.children.ask import Answer, ask
from kagglerun.errors import KagglerunError
from kagglerun.workspace import Workspace

_DEVICE_SECONDS = 120.0


def measure(workspace: Workspace | None, tell: Callable[[str], None] = lambda _: None, quick: bool = False) -> Measures:
    """Measure this machine, some seconds a GPU.

    Args:
        workspace: whose disk is measured; the folder for temporary files without one.
        tell: called with what is measured next.
        quick: only prove that it works; the figures mean nothing.
    """
    tell("the devices that torch sees")
    devices = ask("bench_device", ["count"], _DEVICE_SECONDS)
    gpus = []
    for index in range(devices.last("count") or 0):
        tell(f"cuda:{index}")
        gpus.append(_gpu(f"cuda:{index}", quick))
    tell("the processor")
    processor = ask("bench_device", ["cpu", *(["quick"] if quick else [])], _DEVICE_SECONDS)
    host = [_rate("cpu", told, None) for told in processor.every("rate")]
    failures = [f"cpu: {processor.failure}"] if processor.failure else []
    rates, more = _host(workspace, tell, quick)
    return Measures(tuple(gpus), (*host, *rates), len(os.sched_getaffinity(0)), (*failures, *more))


def read_gpu(name: str, answer: Answer) -> GpuMeasures:
    """What the child told of a GPU, beside what its model is published to reach."""
    about: dict[str, Any] = answer.last("about") or {}
    watched: dict[str, Any] = answer.last("watched") or {}
    model, is_slice = about.get("model", name), bool(about.get("is_slice"))
    published = None if is_slice else model
    link = about.get("link")
    return GpuMeasures(
        name=name,
        model=model,
        rates=tuple(_rate(name, told, published, link) for told in answer.every("rate")),
        busy_before=about.get("busy_before"),
        others=about.get("others", 0),
        slowdowns=tuple(watched.get("slowdowns", ())),
        at_power_limit=watched.get("at_power_limit"),
        is_slice=is_slice,
        failure=answer.failure,
    )


def _gpu(name: str, quick: bool) -> GpuMeasures:
    return read_gpu(name, ask("bench_device", [name, *(["quick"] if quick else [])], _DEVICE_SECONDS))


def _rate(device: str, told: dict[str, Any], model: str | None, link: float | None = None) -> Rate:
    published = _published(told["name"], model, link)
    return Rate(f"{device} {told['name']}", told["value"], told["unit"], published)


def _published(name: str, model: str | None, link: float | None) -> float | None:
    known = model_of(model) if model is not None else None
    if name.startswith("matmul "):
        return known.flops(name.removeprefix("matmul ")) if known is not None else None
    if name == "copy within":
        return known.memory * 1e9 if known is not None else None
    # Memory that is not pinned is copied twice, at whatever speed the processor has.
    return link if "pinned" in name else None


def _host(workspace: Workspace | None, tell: Callable[[str], None], quick: bool) -> tuple[list[Rate], list[str]]:
    rates: list[Rate] = []
    failures: list[str] = []
    beside = workspace.root if workspace is not None else None
    try:
        with tempfile.TemporaryDirectory(prefix=".kagglerun-doctor-", dir=beside) as folder:
            tell("decoding")
            rates.append(decode_rate(Path(folder), quick))
            tell("the disk")
            rates += disk_rates(Path(folder), quick)
    except (OSError, KagglerunError) as error:
        failures.append(f"decoding and disk: {error}")
    return rates, failures

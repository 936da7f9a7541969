"""Machines that are well, for tests to break: one without a GPU, one with two."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from kagglerun.environment.doctor.checks import examine
from kagglerun.environment.doctor.finding import Finding
from kagglerun.environment.doctor.gpu_states import DeviceState, DriverState, GpuState, TorchState
from kagglerun.environment.doctor.probe import (
    DatabaseState,
    DiskState,
    KaggleState,
    LimitState,
    PackageState,
    Probe,
    PythonState,
)

GIB = 1 << 30

CPU = DeviceState("cpu", "x86_64", repeats=True, error_share=4e-7)
GPU = GpuState(
    index=0,
    name="NVIDIA H100 80GB HBM3",
    capability=(9, 0),
    memory_total=80 * GIB,
    memory_used=GIB // 2,
    mig=False,
    uncorrected_errors=0,
    celsius=41.0,
    link_width=16,
    link_width_max=16,
    power_limit_watts=700.0,
    power_default_watts=700.0,
)
LIMITS = LimitState(
    shared_memory=32 * GIB,
    shared_memory_free=31 * GIB,
    disks=(
        DiskState("workspace", "/data/workspace", 500 * 10**9, 1000 * 10**9, 0.9, "ext4"),
        DiskState("temporary files", "/tmp", 50 * 10**9, 100 * 10**9, 0.9, "ext4"),
    ),
    memory_total=256 * GIB,
    memory_available=200 * GIB,
    cores=16,
    cores_allowed=16,
)
WITHOUT_GPU = Probe(
    python=PythonState((3, 12, 4), "/venv/bin/python", True, "/home/me/kagglerun"),
    packages=(PackageState("torch", "2.15.0", "2.15.0", True), PackageState("moto", "5.1", None, False)),
    driver=DriverState(),
    gpus=(),
    torch=TorchState(
        "2.15.0", "13.2", ("sm_75", "sm_80", "sm_90", "sm_120"), 92600, "2.30.7", devices=(CPU,), threads=8
    ),
    all_reduce=None,
    limits=LIMITS,
    kaggle=KaggleState("KAGGLE_API_TOKEN", accepted=True, reachable=True, clock_ahead=0.2),
    databases=(DatabaseState("MLflow", "/w/mlflow.db", schema="b", schema_wanted="b"),),
)
WITH_GPUS = replace(
    WITHOUT_GPU,
    driver=DriverState(
        cards=2, module="580.82.07", version="580.82.07", cuda=(13, 2), nodes=("nvidia0", "nvidia1"), has_libcuda=True
    ),
    gpus=(GPU, replace(GPU, index=1)),
    torch=replace(
        WITHOUT_GPU.torch,
        is_available=True,
        devices=(CPU, *(DeviceState(f"cuda:{index}", GPU.name, (9, 0), True, 5e-7) for index in range(2))),
    ),
)


def driver(probe: Probe = WITH_GPUS, **changes: Any) -> Probe:
    return replace(probe, driver=replace(probe.driver, **changes))


def gpu(**changes: Any) -> Probe:
    return replace(WITH_GPUS, gpus=(replace(GPU, **changes), WITH_GPUS.gpus[1]))


def torch(probe: Probe = WITH_GPUS, **changes: Any) -> Probe:
    return replace(probe, torch=replace(probe.torch, **changes))


def device(**changes: Any) -> Probe:
    first, second, third = WITH_GPUS.torch.devices
    return torch(devices=(first, replace(second, **changes), third))


def limits(probe: Probe = WITHOUT_GPU, **changes: Any) -> Probe:
    return replace(probe, limits=replace(probe.limits, **changes))


def disk(role: str, **changes: Any) -> Probe:
    disks = (replace(one, **changes) if one.role == role else one for one in LIMITS.disks)
    return limits(disks=tuple(disks))


def kaggle(**changes: Any) -> Probe:
    return replace(WITHOUT_GPU, kaggle=replace(WITHOUT_GPU.kaggle, **changes))


def database(role: str = "MLflow", **changes: Any) -> Probe:
    return replace(WITHOUT_GPU, databases=(replace(WITHOUT_GPU.databases[0], role=role, **changes),))


def faults(probe: Probe) -> list[Finding]:
    return [finding for finding in examine(probe) if finding.level]


def shown(findings: Iterable[Finding]) -> str:
    return "\n".join(f"{finding.level.name} {finding.check}: {finding.found} -> {finding.mend}" for finding in findings)

"""The driver and the GPUs, as the kernel, the linker and NVML tell of them."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kagglerun.environment.doctor.children.ask import Answer, ask
from kagglerun.environment.doctor.gpu_states import DriverState, GpuState

_NVIDIA = "0x10de"
_DISPLAY = "0x03"
_SECONDS = 30.0
_CONTAINER_FILES = {".dockerenv": "docker", "run/.containerenv": "podman"}
_CONTAINER_WORDS = ("docker", "kubepods", "containerd", "libpod", "lxc", "buildah")


def driver_and_gpus() -> tuple[DriverState, tuple[GpuState, ...]]:
    """The driver of this machine, and every GPU."""
    seen = driver_files(Path("/"), os.environ)
    answer = ask("gpus", seconds=_SECONDS)
    return replace(seen, has_libcuda=_has_libcuda(), **_by_nvml(answer)), _gpus(answer)


def driver_files(root: Path, environment: Mapping[str, str]) -> DriverState:
    """What the file system and the environment tell of the driver.

    Args:
        root: of the file system.
        environment: environment variables.
    """
    nodes = sorted(path.name for path in (root / "dev").glob("nvidia[0-9]*"))
    if (root / "dev/dxg").exists():
        nodes.append("dxg")  # Windows' driver, seen from its Linux
    return DriverState(
        cards=_cards(root / "sys/bus/pci/devices"),
        module=_module(root / "proc/driver/nvidia/version"),
        nodes=tuple(nodes),
        container=_container(root, environment),
        visible=environment.get("CUDA_VISIBLE_DEVICES"),
        library_path=_foreign_libraries(environment.get("LD_LIBRARY_PATH", "")),
    )


def _by_nvml(answer: Answer) -> dict[str, Any]:
    told = answer.last("driver")
    if told is None:
        return {"nvml_error": answer.last("nvml_error") or answer.failure or "no answer"}
    return {"version": told["version"], "cuda": tuple(told["cuda"]) if told["cuda"] else None}


def _gpus(answer: Answer) -> tuple[GpuState, ...]:
    gpus = [GpuState(**_with_tuples(one)) for one in answer.every("gpu")]
    if answer.failure is not None and answer.last("driver") is not None:
        gpus.append(GpuState(len(gpus), f"GPU {len(gpus)}", lost=f"NVML {answer.failure.splitlines()[0]}"))
    return tuple(gpus)


def _with_tuples(told: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has lists only."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}


def _cards(devices: Path) -> int:
    """NVIDIA's display controllers on the PCI bus; a data center's GPU is a 3D controller, of the same class."""
    return sum(
        _text(device / "vendor") == _NVIDIA and (_text(device / "class") or "").startswith(_DISPLAY)
        for device in (devices.iterdir() if devices.is_dir() else ())
    )


def _module(version: Path) -> str | None:
    """`NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar ...`."""
    found = re.search(r"Kernel Module\b.*?\s(\d+\.\d+(?:\.\d+)?)\b", _text(version) or "")
    return found.group(1) if found else None


def _container(root: Path, environment: Mapping[str, str]) -> str | None:
    for name, kind in _CONTAINER_FILES.items():
        if (root / name).exists():
            return kind
    told = environment.get("container")
    if told:
        return told
    groups = _text(root / "proc/1/cgroup") or ""
    return next((word for word in _CONTAINER_WORDS if word in groups), None)


def _foreign_libraries(library_path: str) -> tuple[str, ...]:
    folders = [Path(part) for part in library_path.split(":") if part]
    return tuple(
        str(folder)
        for folder in folders
        if folder.is_dir() and any(next(folder.glob(name), None) for name in ("libcudnn*.so*", "libcublas*.so*"))
    )


def _has_libcuda() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", errors="replace").strip()
    except OSError:
        return None

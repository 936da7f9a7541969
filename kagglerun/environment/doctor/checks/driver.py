"""NVIDIA's driver: there, loaded, let into the container, and new enough for torch's CUDA."""

from __future__ import annotations

from collections.abc import Iterator

from kagglerun.environment.doctor.failure_texts import explain
from kagglerun.environment.doctor.finding import Finding, Subject
from kagglerun.environment.doctor.gpu_states import DriverState
from kagglerun.environment.doctor.probe import Probe

OLDEST_DRIVERS = {11: "450.80.02", 12: "525.60.13", 13: "580.65.06"}
"""Oldest Linux driver for each CUDA generation: any minor release runs on it. Source: NVIDIA, CUDA Toolkit Release
Notes, table "CUDA Toolkit and Minimum Required Driver Version for CUDA Minor Version Compatibility"."""

_RUN_WITH_GPUS = "docker run --gpus all ...    (or: kagglerun image run, which does)"
_TOOLKIT = "install nvidia-container-toolkit on the host, then: sudo nvidia-ctk runtime configure && restart docker"


def check_driver(probe: Probe) -> Iterator[Finding]:
    """The driver is there and answers."""
    state = probe.driver
    subject = Subject("driver", "NVIDIA's driver, loaded and reachable from here")
    if state.module is None and not state.nodes and state.version is None:
        yield _nothing_loaded(subject, state)
    elif state.container is not None and not state.nodes:
        yield subject.error(
            f"the host has driver {state.module or state.version}, but this {state.container} container got no GPU",
            _RUN_WITH_GPUS,
        )
    elif state.nvml_error is not None:
        yield _nvml_failed(subject, state)
    elif not state.has_libcuda:
        yield _no_libcuda(subject, state)
    else:
        speaks = f", CUDA {_dotted(state.cuda)} and older" if state.cuda else ""
        yield subject.ok(f"driver {state.version}{speaks}")
    if state.visible is not None and probe.gpus:
        yield from _visible(state, len(probe.gpus))


def check_driver_version(probe: Probe) -> Iterator[Finding]:
    """The driver speaks the CUDA that torch was built for."""
    driver, torch = probe.driver, probe.torch
    if driver.cuda is None or torch.version is None:
        return
    subject = Subject("driver and torch", "a driver that speaks the CUDA that torch was built for")
    if torch.cuda is None:
        yield subject.error(
            f"torch {torch.version} is built without CUDA, on a machine with driver {driver.version}",
            "make setup    (the lock's torch carries CUDA; or: pip install --force-reinstall torch)",
        )
        return
    built = tuple(int(part) for part in torch.cuda.split(".")[:2])
    pair = f"driver {driver.version} speaks CUDA {_dotted(driver.cuda)}, torch {torch.version} is of CUDA {torch.cuda}"
    if driver.cuda[0] < built[0]:
        oldest = OLDEST_DRIVERS.get(built[0], "the newest")
        # The oldest torch that is supported, 2.6, is of CUDA 12 already.
        older = "; or a torch of CUDA 12: make setup TORCH=2.9.0" if driver.cuda[0] == 12 else ""
        yield subject.error(f"{pair}: too old", f"install driver {oldest} or newer on the host{older}")
    elif driver.cuda < built:
        yield subject.warning(
            f"{pair}: kernels run, but what is compiled on the spot (training.compile) may not",
            "training.compile=off, or a newer driver on the host",
        )
    else:
        yield subject.ok(pair)


def check_library_path(probe: Probe) -> Iterator[Finding]:
    """No other CUDA is loaded before torch's own."""
    folders = probe.driver.library_path
    if folders:
        subject = Subject("libraries", "no other CUDA or cuDNN before those that torch brings")
        yield subject.warning(
            f"LD_LIBRARY_PATH names {', '.join(folders)}: torch may load its cuDNN or cuBLAS from there",
            "unset LD_LIBRARY_PATH",
        )


def _nothing_loaded(subject: Subject, state: DriverState) -> Finding:
    if state.cards and state.container is not None:
        return subject.error(f"{_gpus(state.cards)} on the bus, no driver on the host of this container", _install())
    if state.cards:
        return subject.error(
            f"{_gpus(state.cards)} on the bus, but no driver is loaded",
            f"sudo modprobe nvidia; where that fails: {_install()}",
        )
    return subject.ok("no NVIDIA GPU here: trainings run on the CPU")


def _nvml_failed(subject: Subject, state: DriverState) -> Finding:
    said = state.nvml_error or ""
    known = explain(said)
    if known is not None and known.name == "driver-mismatch":
        return subject.error(f"{known.why} (module {state.module})", known.mend)
    if state.container is not None:
        return subject.error(
            f"the driver's libraries are not in this {state.container} container: {said}",
            f"{_TOOLKIT}; and NVIDIA_DRIVER_CAPABILITIES=compute,utility",
        )
    return subject.error(f"module {state.module} is loaded, but NVML says: {said}", f"nvidia-smi; {_install()}")


def _no_libcuda(subject: Subject, state: DriverState) -> Finding:
    if state.container is not None:
        return subject.error(
            f"driver {state.version}, but libcuda.so.1 is not in this {state.container} container",
            "docker run -e NVIDIA_DRIVER_CAPABILITIES=compute,utility --gpus all ...",
        )
    return subject.error(f"driver {state.version}, but libcuda.so.1 cannot be loaded", _install())


def _visible(state: DriverState, count: int) -> Iterator[Finding]:
    subject = Subject("visible GPUs", "CUDA_VISIBLE_DEVICES names GPUs that are there")
    named = [part.strip() for part in (state.visible or "").split(",") if part.strip()]
    absent = [name for name in named if name.lstrip("-").isdigit() and not 0 <= int(name) < count]
    if state.hides_gpus:
        yield subject.warning(
            f"CUDA_VISIBLE_DEVICES is {state.visible!r}: trainings run on the CPU", "unset CUDA_VISIBLE_DEVICES"
        )
    elif absent:
        yield subject.error(
            f"CUDA_VISIBLE_DEVICES names {', '.join(absent)}, and there are {_gpus(count)}: CUDA ignores what follows",
            f"export CUDA_VISIBLE_DEVICES={','.join(map(str, range(count)))}",
        )
    else:
        yield subject.ok(f"CUDA_VISIBLE_DEVICES={state.visible}")


def _install() -> str:
    return f"install the driver: sudo apt install nvidia-driver, or NVIDIA's {OLDEST_DRIVERS[13]} or newer; then reboot"


def _gpus(count: int) -> str:
    return "1 GPU" if count == 1 else f"{count} GPUs"


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))

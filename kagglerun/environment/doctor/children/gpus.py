"""Every GPU and the driver by NVML, as `GpuState` and parts of `DriverState`.

It asks what a diagnosis needs (memory errors, lanes, slowdowns), and more bluntly than watching does: what NVML says
when it cannot start is itself a finding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from kagglerun.environment.doctor.children.tell import begin, tell
from kagglerun.environment.doctor.gpu_states import GpuState

_COMPUTE_MODES = {0: "default", 1: "exclusive", 2: "prohibited", 3: "exclusive"}
"""nvmlComputeMode_t of nvml.h."""
_SLOWDOWNS = {
    0x4: "its power limit",
    0x8: "a hardware slowdown (power or heat)",
    0x10: "another GPU that it keeps step with",
    0x20: "heat (software)",
    0x40: "heat (hardware)",
    0x80: "a power brake (the machine's supply)",
}
"""nvmlClocksThrottleReason* of nvml.h; an idle GPU and a clock that the user set are no faults."""
_NO_FAULT_ALONE = 0x4
"""Every GPU that works hard meets its power limit."""


def main() -> None:
    """Tell `driver`, then one `gpu` each; or `nvml_error`."""
    begin()
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        tell(nvml_error=str(error))
        return
    tell(driver=driver(pynvml))
    for index in range(pynvml.nvmlDeviceGetCount()):
        tell(gpu=asdict(look(pynvml, index)))


def driver(nvml: Any) -> dict[str, Any]:
    """Version of the driver, and the newest CUDA that it speaks."""
    version = _ask(nvml, nvml.nvmlSystemGetDriverVersion)
    cuda = _ask(nvml, nvml.nvmlSystemGetCudaDriverVersion_v2)
    return {"version": version, "cuda": None if cuda is None else [cuda // 1000, cuda % 1000 // 10]}


def look(nvml: Any, index: int) -> GpuState:
    """One GPU; what it does not tell stays None.

    Args:
        nvml: the module `pynvml`, initialised.
        index: NVML's number.
    """
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    except nvml.NVMLError_NotSupported:
        memory = None
    except nvml.NVMLError as error:
        return GpuState(index, f"GPU {index}", lost=str(error))
    ask = partial(_ask, nvml)
    mode = ask(lambda: nvml.nvmlDeviceGetMigMode(handle)[0] == nvml.NVML_DEVICE_MIG_ENABLE)
    capability = ask(lambda: nvml.nvmlDeviceGetCudaComputeCapability(handle))
    return GpuState(
        index=index,
        name=str(ask(lambda: nvml.nvmlDeviceGetName(handle))),
        capability=None if capability is None else (capability[0], capability[1]),
        memory_total=None if memory is None else int(memory.total),
        memory_used=None if memory is None else int(memory.used),
        mig=mode,
        slices=_slices(nvml, handle) if mode else 0,
        compute_mode=_COMPUTE_MODES.get(ask(lambda: nvml.nvmlDeviceGetComputeMode(handle)) or 0, "default"),
        other_processes=len(ask(lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle)) or ()),
        **_health(nvml, handle),
    )


def slowdowns(reasons: int) -> tuple[str, ...]:
    """Why a clock is lowered, in words.

    Args:
        reasons: NVML's bits.
    """
    if reasons & ~1 == _NO_FAULT_ALONE:
        return ()
    return tuple(words for bit, words in _SLOWDOWNS.items() if reasons & bit)


def _health(nvml: Any, handle: Any) -> dict[str, Any]:
    """Errors, heat, lanes and power."""
    ask = partial(_ask, nvml)
    errors = ask(
        lambda: nvml.nvmlDeviceGetTotalEccErrors(
            handle, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC
        )
    )
    celsius = ask(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
    milliwatts = ask(lambda: nvml.nvmlDeviceGetPowerManagementLimit(handle))
    usual = ask(lambda: nvml.nvmlDeviceGetPowerManagementDefaultLimit(handle))
    return {
        "uncorrected_errors": None if errors is None else int(errors),
        "remap_pending": bool(ask(lambda: nvml.nvmlDeviceGetRemappedRows(handle)[2])),
        "slowdowns": slowdowns(int(ask(lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)) or 0)),
        "celsius": None if celsius is None else float(celsius),
        "link_width": ask(lambda: nvml.nvmlDeviceGetCurrPcieLinkWidth(handle)),
        "link_width_max": ask(lambda: nvml.nvmlDeviceGetMaxPcieLinkWidth(handle)),
        "power_limit_watts": None if milliwatts is None else milliwatts / 1000,
        "power_default_watts": None if usual is None else usual / 1000,
    }


def _slices(nvml: Any, handle: Any) -> int:
    places = _ask(nvml, lambda: nvml.nvmlDeviceGetMaxMigDeviceCount(handle)) or 0
    at = partial(nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle)
    return sum(_ask(nvml, partial(at, place)) is not None for place in range(places))


def _ask(nvml: Any, question: Callable[[], Any]) -> Any:
    try:
        return question()
    except (nvml.NVMLError, AttributeError):  # an older module lacks some questions
        return None


if __name__ == "__main__":
    main()

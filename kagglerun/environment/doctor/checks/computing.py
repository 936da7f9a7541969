"""torch: that it can be imported, that its kernels fit each GPU, that what it computes is right and repeats."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kagglerun.environment.doctor.failure_texts import explain
from kagglerun.environment.doctor.finding import Finding, Subject
from kagglerun.environment.doctor.gpu_states import AllReduceState, DeviceState, TorchState
from kagglerun.environment.doctor.probe import Probe

_LARGEST_ERROR_SHARE = 1e-4
"""A float32 product of 512 terms is within 1e-6 of the exact one; TF32, which is off in the check, within 1e-3."""
_OLDEST_SUPPORTED = (5, 0)


def check_torch(probe: Probe) -> Iterator[Finding]:
    """torch can be imported and sees the GPUs."""
    state, subject = probe.torch, Subject("torch", "torch, seeing every GPU that the driver sees")
    if state.failure is not None:
        yield _failed(subject, "" if state.version is None else f"torch {state.version}: ", state.failure)
    elif state.version is None:
        yield subject.error("torch is not installed", "make setup    (or: pip install kagglerun)")
    elif probe.gpus and state.cuda and not state.is_available and not probe.driver.hides_gpus:
        yield _failed(subject, f"torch {state.version} sees no GPU: ", state.why_not or "it says nothing of why")
    else:
        yield subject.ok(f"torch {state.version}{_parts(state)}")


def check_devices(probe: Probe) -> Iterator[Finding]:
    """On each device a deterministic product gives the same bits twice, and the right ones."""
    for device in probe.torch.devices:
        if device.capability is not None:
            yield _kernels(device, probe.torch)
        yield _product(device)
        if device.cudnn_failure is not None:
            yield _failed(Subject(f"cuDNN on {device.name}", "a convolution by cuDNN"), "", device.cudnn_failure)


def check_all_reduce(probe: Probe) -> Iterator[Finding]:
    """Several GPUs can add up a tensor."""
    state = probe.all_reduce
    if state is None:
        return
    library = "NCCL" if state.backend == "nccl" else state.backend
    subject = Subject(library, f"a sum over {state.devices} devices, a process each")
    if state.failure is None:
        yield subject.ok(f"the sum over {state.devices} devices is right{_speed(state)}{_over(probe)}")
        return
    known = explain(state.failure)
    mend = known.mend if known else "NCCL_P2P_DISABLE=1 kagglerun doctor; where that helps, export it for training too"
    why = f"{known.why}: " if known else ""
    yield subject.error(f"{why}{_last_line(state.failure)}", mend)


def _speed(state: AllReduceState) -> str:
    return "" if state.bytes_per_second is None else f", at {state.bytes_per_second / 1e9:.1f} GB/s a device"


def _over(probe: Probe) -> str:
    pairs = probe.torch.peers
    return f"; {len(pairs)} pairs of GPUs speak through the processor's memory (no peer access)" if pairs else ""


def kernels_fit(capability: tuple[int, int], archs: tuple[str, ...]) -> bool:
    """Whether a build with these architectures runs on a GPU of this compute capability.

    Machine code (sm_XY) runs on GPUs of the same generation X with at least minor number Y; intermediate code
    (compute_XY) on any that is as new or newer; a letter behind it ties it to the very GPU. Source: NVIDIA, CUDA C++
    Programming Guide, "Application Compatibility".
    """
    return any(_fits(capability, arch) for arch in archs)


def _fits(capability: tuple[int, int], arch: str) -> bool:
    found = re.fullmatch(r"(sm|compute)_(\d+)(\d)([a-z]?)", arch)
    if found is None:
        return False
    kind, built, letter = found.group(1), (int(found.group(2)), int(found.group(3))), found.group(4)
    if letter == "a":
        return capability == built
    if kind == "sm" or letter == "f":
        return capability[0] == built[0] and capability[1] >= built[1]
    return capability >= built


def _kernels(device: DeviceState, state: TorchState) -> Finding:
    subject = Subject(f"kernels for {device.name}", "kernels for this GPU in torch's build")
    assert device.capability is not None
    shown = f"{device.model}, compute capability {device.capability[0]}.{device.capability[1]}"
    if kernels_fit(device.capability, state.archs):
        return subject.ok(shown)
    carried = f"torch {state.version} carries {', '.join(state.archs) or 'none'}"
    newest = max((_number(arch) for arch in state.archs), default=(0, 0))
    if device.capability > newest:
        mend = "make lock setup    (a newer torch; the GPU is newer than this one)"
    elif device.capability >= _OLDEST_SUPPORTED:
        mend = "a torch that still has it: make setup TORCH=2.6.0; in the image: kagglerun image build --torch 2.6"
    else:
        mend = "no supported torch has it: training.device=cpu, or another machine"
    return subject.error(f'{shown}; {carried}: "no kernel image" will be the error', mend)


def _number(arch: str) -> tuple[int, int]:
    found = re.search(r"_(\d+)(\d)", arch)
    return (int(found.group(1)), int(found.group(2))) if found else (0, 0)


def _product(device: DeviceState) -> Finding:
    subject = Subject(f"product on {device.name}", "a deterministic matrix product: right, and the same bits twice")
    if device.failure is not None:
        return _failed(subject, f"{device.model}: ", device.failure)
    if device.error_share is not None and not device.error_share <= _LARGEST_ERROR_SHARE:
        return subject.error(
            f"{device.model} computes wrongly: {device.error_share:.1e} off, relative to the largest entry",
            "nvidia-smi -q -d ECC; undo overclocking; when it stays so, the hardware is broken",
        )
    if device.repeats is False:
        return subject.error(
            f"{device.model} gives other bits the second time",
            "undo overclocking; when it stays so, the hardware is broken (memory first)",
        )
    return subject.ok(f"{device.model}: same bits twice, {device.error_share or 0:.0e} off")


def _failed(subject: Subject, before: str, text: str) -> Finding:
    known = explain(text)
    if known is None:
        return subject.error(f"{before}{_last_line(text)}", "python -c 'import torch; torch.zeros(1).cuda()'")
    return subject.error(f"{before}{known.why} ({_last_line(text)})", known.mend)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:240] if lines else "nothing was said"


def _parts(state: TorchState) -> str:
    parts = [f"CUDA {state.cuda}" if state.cuda else "without CUDA"]
    parts += [f"cuDNN {state.cudnn}"] if state.cudnn else []
    parts += [f"NCCL {state.nccl}"] if state.nccl else []
    return f" ({', '.join(parts)})"

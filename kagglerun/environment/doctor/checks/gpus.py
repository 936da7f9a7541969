"""Each GPU as NVML sees it: whole, free, cool, not cut up in a way that surprises."""

from __future__ import annotations

from collections.abc import Iterator

from kagglerun.environment.doctor.finding import Finding, Subject
from kagglerun.environment.doctor.gpu_states import GpuState
from kagglerun.environment.doctor.probe import Probe

_GIB = 1 << 30
_TAKEN_SHARE = 0.1
_HOT_CELSIUS = 87.0
_LOW_POWER_SHARE = 0.8


def check_gpus(probe: Probe) -> Iterator[Finding]:
    """Every GPU of the machine."""
    for gpu in probe.gpus:
        found = list(_of_one(gpu))
        if not any(finding.level for finding in found):
            yield Subject(f"GPU {gpu.index}", "a GPU that is whole, free and cool").ok(_described(gpu))
        yield from found
    models = sorted({gpu.name for gpu in probe.gpus})
    if len(models) > 1:
        yield Subject("GPUs", "GPUs of one model").warning(
            f"{', '.join(models)}: with --gpus the fastest waits for the slowest",
            "kagglerun train X --folds-parallel    (or choose alike ones by CUDA_VISIBLE_DEVICES)",
        )


def _of_one(gpu: GpuState) -> Iterator[Finding]:
    subject = Subject(f"GPU {gpu.index}", "a GPU that is whole, free and cool")
    if gpu.lost is not None:
        yield subject.error(
            f"{gpu.name} does not answer: {gpu.lost}",
            f"sudo nvidia-smi --gpu-reset -i {gpu.index}, else reboot; rented: take another machine",
        )
        return
    yield from _memory_errors(subject, gpu)
    yield from _use(subject, gpu)
    yield from _partitions(gpu)
    yield from _speed(subject, gpu)


def _memory_errors(subject: Subject, gpu: GpuState) -> Iterator[Finding]:
    if gpu.uncorrected_errors:
        yield subject.error(
            f"{gpu.name}: {gpu.uncorrected_errors} memory errors that could not be corrected: results may be wrong",
            f"sudo nvidia-smi --gpu-reset -i {gpu.index}; when they come back: another GPU",
        )
    if gpu.remap_pending:
        yield subject.warning(
            f"{gpu.name}: a part of its memory is to be taken out of use at the next reset",
            f"sudo nvidia-smi --gpu-reset -i {gpu.index}",
        )


def _use(subject: Subject, gpu: GpuState) -> Iterator[Finding]:
    if gpu.compute_mode == "prohibited":
        yield subject.error(f"{gpu.name}: compute mode PROHIBITED", f"sudo nvidia-smi -c DEFAULT -i {gpu.index}")
    elif gpu.compute_mode == "exclusive":
        yield subject.warning(
            f"{gpu.name}: compute mode EXCLUSIVE: a second trial on it fails",
            f"sudo nvidia-smi -c DEFAULT -i {gpu.index}, or sweep.slots=1",
        )
    if gpu.mig or not gpu.memory_total or gpu.memory_used is None:
        return
    if gpu.other_processes or gpu.memory_used / gpu.memory_total > _TAKEN_SHARE:
        others = f"{gpu.other_processes} processes of others compute on it" if gpu.other_processes else "by nobody seen"
        free = (gpu.memory_total - gpu.memory_used) / _GIB
        yield subject.warning(
            f"{gpu.name} is shared: {gpu.memory_used / _GIB:.1f} GiB are taken ({others}), {free:.1f} GiB are free",
            f"nvidia-smi -i {gpu.index}    (who it is); training.batch_size=auto fits into what is free",
        )


def _partitions(gpu: GpuState) -> Iterator[Finding]:
    if not gpu.mig:
        return
    subject = Subject(f"GPU {gpu.index} slices", "slices, where the GPU is in MIG mode")
    if gpu.slices == 0:
        yield subject.error(
            f"{gpu.name} is in MIG mode and has no slice: nothing can compute on it",
            f"sudo nvidia-smi mig -i {gpu.index} -cgi 0 -C    (one of all; or leave the mode: nvidia-smi -mig 0)",
        )
        return
    count = "1 slice" if gpu.slices == 1 else f"{gpu.slices} slices"
    yield subject.warning(
        f"{gpu.name} is cut into {count}: a trial each; a training cannot span them, and they tell no utilisation",
        "kagglerun sweep CONFIG sweep.workers=auto    (not --gpus)",
    )


def _speed(subject: Subject, gpu: GpuState) -> Iterator[Finding]:
    if gpu.slowdowns:
        yield subject.warning(
            f"{gpu.name} runs at a lower clock: {', '.join(gpu.slowdowns)}", "nvidia-smi -q -d PERFORMANCE,TEMPERATURE"
        )
    elif gpu.celsius is not None and gpu.celsius >= _HOT_CELSIUS:
        yield subject.warning(f"{gpu.name} is at {gpu.celsius:.0f} °C", "look after its fans; nvidia-smi -q -d FAN")
    # An idle GPU lowers the generation of its link, never the number of lanes.
    if gpu.link_width and gpu.link_width_max and gpu.link_width < gpu.link_width_max:
        yield subject.warning(
            f"{gpu.name} has {gpu.link_width} of {gpu.link_width_max} PCIe lanes: copies to it are slower",
            "another slot or riser; kagglerun doctor --bench says what is reached",
        )
    if gpu.power_limit_watts and gpu.power_default_watts:
        share = gpu.power_limit_watts / gpu.power_default_watts
        if share < _LOW_POWER_SHARE:
            yield subject.warning(
                f"{gpu.name} is limited to {gpu.power_limit_watts:.0f} of {gpu.power_default_watts:.0f} W",
                f"sudo nvidia-smi -i {gpu.index} -pl {gpu.power_default_watts:.0f}",
            )


def _described(gpu: GpuState) -> str:
    memory = "" if gpu.memory_total is None else f", {gpu.memory_total / _GIB:.0f} GiB"
    capability = "" if gpu.capability is None else f", compute capability {gpu.capability[0]}.{gpu.capability[1]}"
    return f"{gpu.name}{memory}{capability}"

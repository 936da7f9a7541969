"""What `batch_size: auto` and `compile: auto` mean on this machine, found by trying steps of the real shape.

On a GPU both are measured; on a CPU the batch follows from a rule and nothing is compiled. Answers are kept in a
folder, so that a sweep's trials, and the next run, are told the same without measuring again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kagglerun.config.schema import TrainingConfig
from kagglerun.errors import KagglerunError, TrainingError
from kagglerun.training.available_memory import available_memory
from kagglerun.training.measurements import measurement_key, remembered
from kagglerun.training.memory import is_out_of_memory
from kagglerun.training.seed import deterministic_algorithms
from kagglerun.training.step import FitSettings
from kagglerun.training.step_trial import Cost, StepTrial, Workload, release

UPDATES_PER_EPOCH = 20
"""Fewer updates an epoch learn little: the data allows no larger batch than leaves so many."""
_GPU_SHARE = 0.9
"""Part of a GPU's free memory that a step may take."""
_CPU_SHARE = 0.5
"""Part of a CPU's available memory that a step may take; the system and the data need theirs."""
_REFINEMENTS = 4
_LEAST_GAIN = 0.05
"""A compiler that saves less of the run's time than this is not worth its own risks."""


@dataclass(frozen=True)
class BatchAnswer:
    """Samples per step and GPU, and what decided."""

    size: int
    why: str


@dataclass(frozen=True)
class CompileAnswer:
    """A mode of `compiled`, and why."""

    mode: str
    why: str


def find_batch_size(workload: Workload, settings: FitSettings, device: torch.device, folder: Path) -> BatchAnswer:
    """The largest safe step: it fits the memory, leaves 20 updates an epoch, divides a given effective batch.

    Args:
        workload: what is trained.
        settings: how; its batch_size is "auto".
        device: where.
        folder: where answers are kept.

    Raises:
        TrainingError: not even the smallest step fits the GPU.
    """
    sizes = allowed_sizes(workload.n_train, settings.training)
    budget = _budget(workload, settings.training, device)
    # Rounded, so that a few megabytes that another process takes do not mean another measurement.
    key = {"what": "batch_size", "sizes": [sizes[0], sizes[-1], len(sizes)], "budget": _rounded(budget)}

    def measure() -> BatchAnswer:
        if device.type == "cuda":
            return _largest_on_gpu(workload, settings, device, sizes, budget)
        return _largest_on_cpu(workload, settings, sizes, budget)

    kept = remembered(folder, measurement_key(workload, settings, device) | key, lambda: asdict(measure()))
    return BatchAnswer(**kept)


def allowed_sizes(n_train: int, training: TrainingConfig) -> list[int]:
    """Step sizes that the data and the effective batch allow, ascending; memory is not looked at.

    Up to 8 every power of two, then every multiple of 8; where `effective_batch` is given, its divisors, and where
    `accumulate` is given too, the one that both make.
    """
    per_sample = training.accumulate * training.gpus
    if training.effective_batch is not None:
        share = max(1, training.effective_batch // training.gpus)
        if training.accumulate > 1:
            return [max(1, share // training.accumulate)]
        return [size for size in range(1, share + 1) if share % size == 0]
    most = max(2, n_train // (UPDATES_PER_EPOCH * per_sample))
    return [size for size in (2, 4) if size <= most] + list(range(8, most + 1, 8))


def largest_that_fits(sizes: Sequence[int], fits: Callable[[int], bool]) -> int | None:
    """The largest of ascending sizes that fits, within a sixteenth; None when none does.

    Sizes are doubled until one does not fit, then the gap is halved four times.
    """
    good, bad = None, None
    size: int | None = sizes[0]
    while size is not None:
        if not fits(size):
            bad = size
            break
        good = size
        size = _next(sizes, size)
    if bad is None or good is None:
        return good
    between = [size for size in sizes if good < size < bad]
    for _ in range(_REFINEMENTS):
        if not between:
            break
        middle = between[len(between) // 2]
        if fits(middle):
            good, between = middle, [size for size in between if size > middle]
        else:
            between = [size for size in between if size < middle]
    return good


def _next(sizes: Sequence[int], size: int) -> int | None:
    """The smallest of the sizes that is at least twice this one, else the last; None after the last."""
    larger = [other for other in sizes if other > size]
    doubled = [other for other in larger if other >= 2 * size]
    return doubled[0] if doubled else (larger[-1] if larger else None)


def _largest_on_gpu(
    workload: Workload, settings: FitSettings, device: torch.device, sizes: Sequence[int], budget: int
) -> BatchAnswer:
    peaks: dict[int, int] = {}

    def fits(size: int) -> bool:
        peak = peak_bytes(workload, settings, device, size)
        if peak is not None:
            peaks[size] = peak
        return peak is not None and peak <= budget

    size = largest_that_fits(sizes, fits)
    if size is None:
        raise TrainingError(
            f"a step of {sizes[0]} samples does not fit the GPU: {_size(budget)} of its memory can be used",
            hint="training.gradient_checkpointing=true, a smaller model.image_size, or a smaller model",
        )
    limit = _limit(settings.training) if size == sizes[-1] else "the GPU's memory"
    used = f"a step takes {_size(peaks[size])} of {_size(budget)} that can be used"
    return BatchAnswer(size, f"limited by {limit}; {used}")


def _largest_on_cpu(workload: Workload, settings: FitSettings, sizes: Sequence[int], budget: int) -> BatchAnswer:
    fixed, per_sample = cpu_bytes(workload)
    size = largest_that_fits(sizes, lambda size: fixed + size * per_sample <= budget) or sizes[0]
    used = f"a step takes about {_size(fixed + size * per_sample)} of {_size(budget)} that can be used"
    return BatchAnswer(size, f"limited by {_limit(settings.training) if size == sizes[-1] else 'the memory'}; {used}")


def _limit(training: TrainingConfig) -> str:
    return "effective_batch" if training.effective_batch is not None else f"{UPDATES_PER_EPOCH} updates an epoch"


def peak_bytes(workload: Workload, settings: FitSettings, device: torch.device, size: int) -> int | None:
    """The most GPU memory that torch holds in real updates of this size; None when it ran out."""
    release(device)
    torch.cuda.reset_peak_memory_stats(device)
    try:
        with deterministic_algorithms(settings.training.deterministic):
            # The second update has the optimizer's state as well.
            StepTrial(workload, settings, device, size).updates(2)
        return int(torch.cuda.max_memory_reserved(device))
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return None
    finally:
        release(device)


def cpu_bytes(workload: Workload) -> tuple[int, int]:
    """Bytes of a step on a CPU: (whatever the batch, for each sample).

    Weights, gradients and two moments; for each sample twice what the forward pass keeps for the backward pass, since
    gradients of activations come on top.
    """
    model = workload.build().train()
    parameters = sum(parameter.nbytes for parameter in model.parameters())
    few, more = (_kept_bytes(model, workload, size) for size in (2, 6))
    return 4 * parameters, max(1, 2 * (more - few) // 4)


def _kept_bytes(model: nn.Module, workload: Workload, size: int) -> int:
    """Bytes of the tensors that a forward pass keeps for the backward pass, weights left out."""
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    batch = workload.batch(size, torch.device("cpu"))
    assert batch.targets is not None
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = workload.loss(model(*batch.inputs).float(), batch.targets)
    del loss
    return sum(kept.values())


def find_compile_mode(
    workload: Workload, settings: FitSettings, device: torch.device, n_folds: int, folder: Path
) -> CompileAnswer:
    """The mode that makes the whole run shortest, compilation counted in; off on a CPU.

    Args:
        workload: what is trained.
        settings: how; its batch_size is settled, its compile is "auto".
        device: where.
        n_folds: folds that the run trains.
        folder: where answers are kept.
    """
    if device.type != "cuda":
        return CompileAnswer("off", "a CPU")
    training = settings.training
    size = training.effective_batch or training.update_size
    updates = n_folds * training.epochs * max(1, workload.n_train // size)
    key = {"what": "compile", "batch_size": training.step_size, "updates_log2": updates.bit_length()}

    def measure() -> dict[str, Any]:
        costs = {mode: _cost_of_mode(workload, settings, device, mode) for mode in ("off", "inductor", "cudagraphs")}
        return asdict(fastest(costs, updates))

    return CompileAnswer(**remembered(folder, measurement_key(workload, settings, device) | key, measure))


def fastest(costs: Mapping[str, Cost | None], updates: int) -> CompileAnswer:
    """The mode with the shortest run; off unless another saves 5 %. None stands for one that does not work."""
    plain = costs["off"]
    if plain is None:
        return CompileAnswer("off", "nothing could be measured")
    runs = {mode: cost.of_run(updates) for mode, cost in costs.items() if cost is not None}
    best = min(runs, key=runs.__getitem__)
    tried = ", ".join(f"{mode} {_speed(plain, cost)}" for mode, cost in costs.items() if mode != "off")
    if runs[best] > (1 - _LEAST_GAIN) * runs["off"]:
        return CompileAnswer("off", f"nothing saves 5 % of the run ({tried})")
    return CompileAnswer(best, f"saves {1 - runs[best] / runs['off']:.0%} of the run ({tried})")


def _speed(plain: Cost, cost: Cost | None) -> str:
    if cost is None:
        return "does not work here"
    return f"{plain.update_seconds / cost.update_seconds:.2f} times as fast after {cost.start_seconds:.0f} s"


def _cost_of_mode(workload: Workload, settings: FitSettings, device: torch.device, mode: str) -> Cost | None:
    """Seconds of a mode; None where it fails: a compiler's failure is a reason to do without, not an error."""
    release(device)
    try:
        with deterministic_algorithms(settings.training.deterministic):
            return StepTrial(workload, settings, device, settings.training.step_size, mode).cost()
    except (RuntimeError, KagglerunError):
        return None
    finally:
        release(device)


def _budget(workload: Workload, training: TrainingConfig, device: torch.device) -> int:
    """Bytes that a step may take."""
    if device.type != "cuda":
        return int(_CPU_SHARE * available_memory())
    release(device)
    free, _ = torch.cuda.mem_get_info(device)
    free += torch.cuda.memory_reserved(device)
    on_gpu = training.data_on_gpu == "always" or (training.data_on_gpu == "auto" and workload.data_bytes < free / 2)
    return int(_GPU_SHARE * (free - (workload.data_bytes if on_gpu else 0)))


def _rounded(number: int) -> int:
    """A sixteenth of its power of two is as exact as a budget must be."""
    step = 1 << max(0, number.bit_length() - 4)
    return number // step * step


def _size(number: int) -> str:
    return f"{number / 1e6:.3g} MB" if number < 1e9 else f"{number / 1e9:.3g} GB"

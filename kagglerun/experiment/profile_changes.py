"""Changes of a config that may make it train faster here and leave the model as it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from kagglerun.config.schema import Config, ImageModelConfig
from kagglerun.training.batching import settle_update
from kagglerun.training.throughput import n_cores
from kagglerun.training.tune import UPDATES_PER_EPOCH

_SAME = "the same bits"
_ROUNDING = "the same but for rounding"
_AMPERE, _VOLTA = (8, 0), (7, 0)


@dataclass(frozen=True)
class Change:
    """Something to try.

    Attributes:
        line: what the user would type.
        effect: what it does to results.
        config: the resolved config with it.
    """

    line: str
    effect: str
    config: Config


def possible_changes(config: Config, device: torch.device, n_train: int, compile_on_cpu: bool) -> list[Change]:
    """What fits the config and the machine, the most promising first.

    Args:
        config: resolved.
        device: where it trains.
        n_train: training samples of a fold.
        compile_on_cpu: try inductor on a CPU, which takes minutes to compile.
    """
    on_gpu = device.type == "cuda"
    return [
        *_image_supply(config, on_gpu),
        *(_gpu_precisions(config, device) if on_gpu else _cpu_precisions(config)),
        *_compilers(config, on_gpu, compile_on_cpu),
        *_batch_sizes(config, n_train),
        *_less_work(config),
        *(() if on_gpu else _threads(config)),
    ]


def _changed(config: Config, line: str, effect: str, **values: object) -> Change:
    return Change(line, effect, config.model_copy(update={"training": config.training.model_copy(update=values)}))


def _one(config: Config, name: str, value: object, effect: str) -> Change:
    shown = str(value).lower() if isinstance(value, bool) else value
    return _changed(config, f"training.{name}={shown}", effect, **{name: value})


def _gpu_precisions(config: Config, device: torch.device) -> Iterator[Change]:
    now, capability = config.training.precision, torch.cuda.get_device_capability(device)
    effect = "other numbers, as good in nearly all trainings"
    if capability >= _AMPERE and now in ("fp32", "tf32", "fp16"):
        yield _one(config, "precision", "bf16", effect)
    if capability >= _AMPERE and now == "fp32":
        yield _one(config, "precision", "tf32", effect)
    if _VOLTA <= capability < _AMPERE and now == "fp32":
        yield _one(config, "precision", "fp16", effect)


def _cpu_precisions(config: Config, cpuinfo: Path = Path("/proc/cpuinfo")) -> Iterator[Change]:
    """bf16 where the processor multiplies it; others emulate it slowly."""
    text = cpuinfo.read_text("utf-8", errors="replace") if cpuinfo.is_file() else ""
    if config.training.precision == "fp32" and any(flag in text for flag in ("amx_bf16", "avx512_bf16")):
        yield _one(config, "precision", "bf16", "other numbers, as good in nearly all trainings")


def _compilers(config: Config, on_gpu: bool, compile_on_cpu: bool) -> Iterator[Change]:
    now = config.training.compile
    if now == "off" and (on_gpu or compile_on_cpu):
        yield _one(config, "compile", "inductor", _ROUNDING)
    if now == "off" and on_gpu:
        yield _one(config, "compile", "cudagraphs", _ROUNDING)
    if now != "off":
        yield _one(config, "compile", "off", _ROUNDING)


def _batch_sizes(config: Config, n_train: int) -> Iterator[Change]:
    """Twice the samples a step; where there is accumulation, with the same effective batch."""
    training = config.training
    double = 2 * training.step_size
    if training.accumulate % 2 == 0:
        half = training.accumulate // 2
        line = f"training.batch_size={double} training.accumulate={half}"
        effect = "the same updates; batch norms see more samples"
        yield _changed(config, line, effect, batch_size=double, accumulate=half, micro_batch=None)
    elif n_train // (2 * training.update_size) >= UPDATES_PER_EPOCH:
        free = training.model_copy(update={"batch_size": double, "effective_batch": None, "micro_batch": None})
        settled = settle_update(free)
        line = f"training.batch_size={double} training.effective_batch={settled.effective_batch}"
        yield Change(line, "half as many updates: try another lr", config.model_copy(update={"training": settled}))


def _less_work(config: Config) -> Iterator[Change]:
    if config.training.gradient_checkpointing:
        yield _one(config, "gradient_checkpointing", False, f"{_ROUNDING}; takes more memory")
    if config.training.deterministic:
        yield _one(config, "deterministic", False, "runs do not repeat to the bit any more")


def _image_supply(config: Config, on_gpu: bool) -> Iterator[Change]:
    """How images come to the device; no way changes a bit."""
    training, cores = config.training, n_cores()
    if not isinstance(config.model, ImageModelConfig):
        return
    if not training.image_cache:
        yield _one(config, "image_cache", True, _SAME)
        if cores > 1 and training.loader_workers < cores:
            yield _one(config, "loader_workers", cores, _SAME)
    if on_gpu and training.image_cache and training.data_on_gpu != "always":
        yield _one(config, "data_on_gpu", "always", _SAME)


def _threads(config: Config) -> Iterator[Change]:
    now, cores = config.training.cpu_threads or 1, n_cores()
    for threads in sorted({cores, max(1, cores // 2)} - {now}, reverse=True):
        yield _one(config, "cpu_threads", threads, _ROUNDING)

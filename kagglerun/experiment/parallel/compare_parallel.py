"""Ways to use several GPUs, measured side by side: one process, nn.DataParallel, DistributedDataParallel.

`python -m kagglerun.experiment.parallel.compare_parallel FOLDER SECONDS` is one process of the last.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn

from kagglerun.config.load import load_config, save_config
from kagglerun.config.schema import Config
from kagglerun.errors import KagglerunError, TrainingError
from kagglerun.experiment.parallel.fold_processes import environment_of_workers
from kagglerun.experiment.parallel.gpus import require_gpus
from kagglerun.experiment.prepare import prepare
from kagglerun.experiment.profile import measuring_context
from kagglerun.files import read_json, write_json, write_text
from kagglerun.jobs.child import PARENT, die_with
from kagglerun.training.batching import cut, split_epoch, updates_per_epoch
from kagglerun.training.compiled import compiled
from kagglerun.training.distributed import Team, current_team
from kagglerun.training.loop import FitTask
from kagglerun.training.precision import Precision, resolve_device
from kagglerun.training.process_team import join_team, leave_team
from kagglerun.training.seed import sample_order
from kagglerun.training.step import FitSettings, Randomness, Stepper
from kagglerun.training.step_trial import fresh_state, release
from kagglerun.workspace import Workspace

_WARM_UPDATES = 3
_LEAST_UPDATES = 2
_START_SECONDS = 600.0
_PROCESSES_ON_A_CPU = 2


@dataclass(frozen=True)
class StrategyResult:
    """One way to use the GPUs.

    Attributes:
        strategy: "single", "dp" or "ddp".
        processes: that trained.
        devices: GPUs that were used; 0 on a CPU.
        effective_batch: samples of an update, the same for all.
        updates: that were measured, after the warm-up.
        samples_per_second: training samples a second; NaN where `error` is set.
        note: what a reader should know, or "".
        error: why it could not be measured.
    """

    strategy: str
    processes: int
    devices: int
    effective_batch: int
    updates: int
    samples_per_second: float
    note: str
    error: str | None


def compare(
    workspace: Workspace,
    config: Config,
    strategies: Sequence[str] = ("single", "dp", "ddp"),
    seconds: float = 20.0,
) -> tuple[StrategyResult, ...]:
    """Measure how fast a config trains in several ways, with the same samples an update. Nothing is kept.

    Args:
        workspace: where its competition lives.
        config: resolved. `training.gpus` says how many GPUs or processes; 1 means all GPUs, or two processes on a CPU.
        strategies: "single", "dp" or "ddp".
        seconds: measuring time of each, after a warm-up.

    Raises:
        ConfigError: there are not so many GPUs.
    """
    shared = _shared(config)
    require_gpus(shared)
    return tuple(_measured(workspace, shared, strategy, seconds) for strategy in strategies)


def _shared(config: Config) -> Config:
    """The config with as many processes as there may be."""
    on_gpu = resolve_device(config.training.device).type == "cuda"
    most = torch.cuda.device_count() if on_gpu else _PROCESSES_ON_A_CPU
    return _changed(config, gpus=config.training.gpus if config.training.gpus > 1 else most)


def _changed(config: Config, **training: Any) -> Config:
    values = {"effective_batch": None, **training}
    return config.model_copy(update={"training": config.training.model_copy(update=values)})


def _measured(workspace: Workspace, config: Config, strategy: str, seconds: float) -> StrategyResult:
    gpus, device = config.training.gpus, resolve_device(config.training.device)
    note, error, rate = _note(strategy, device, gpus), None, {"updates": 0, "samples_per_second": float("nan")}
    try:
        if strategy == "ddp":
            rate = _in_processes(workspace, config, seconds)
        else:
            rate = _of_fold(workspace, _alone(config, strategy), strategy == "dp", seconds)
    except (KagglerunError, RuntimeError) as failed:
        error = (failed.message if isinstance(failed, KagglerunError) else str(failed)).splitlines()[0][:200]
    release(device)
    return StrategyResult(
        strategy=strategy,
        processes=gpus if strategy == "ddp" else 1,
        devices=0 if device.type == "cpu" else 1 if strategy == "single" else gpus,
        effective_batch=config.training.update_size,
        updates=int(rate["updates"]),
        samples_per_second=rate["samples_per_second"],
        note=note,
        error=error,
    )


def _note(strategy: str, device: torch.device, gpus: int) -> str:
    if strategy == "dp" and device.type == "cpu":
        return "on a CPU nn.DataParallel is the network itself"
    if strategy == "ddp":
        return f"{'NCCL' if device.type == 'cuda' else 'gloo'}, {gpus} processes"
    return ""


def _alone(config: Config, strategy: str) -> Config:
    """The same update in one process: as more forward passes, or as larger ones that DataParallel cuts."""
    training = config.training
    if strategy == "single":
        return _changed(config, gpus=1, accumulate=training.accumulate * training.gpus)
    micro = training.micro_batch and training.micro_batch * training.gpus
    return _changed(config, gpus=1, batch_size=training.step_size * training.gpus, micro_batch=micro)


def _in_processes(workspace: Workspace, config: Config, seconds: float) -> dict[str, float]:
    """Start the processes, and read what the first of them measured.

    Raises:
        TrainingError: one of them failed.
    """
    with tempfile.TemporaryDirectory(prefix="kagglerun-compare-") as name:
        folder = Path(name)
        save_config(folder / "config.yaml", config)
        arguments = ["kagglerun.experiment.parallel.compare_parallel", name, str(seconds)]
        agent = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "kagglerun.experiment.parallel.torchrun",
                str(config.training.gpus),
                *arguments,
            ],
            env=environment_of_workers(workspace, config, None, name),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            _, said = agent.communicate(timeout=_START_SECONDS + seconds)
        except BaseException:
            agent.kill()
            agent.wait()
            raise
        if agent.returncode == 0:
            rate: dict[str, float] = read_json(folder / "rate.json")
            return rate
        errors = [path.read_text("utf-8") for path in sorted(folder.glob("error-*.txt"))]
        last = said.decode(errors="replace").strip().splitlines()[-1:] or ["a process ended without a word"]
        raise TrainingError((errors or last)[0])


class _Measured(Exception):
    """Carries a measurement out of a model family, which would else go on to predict."""


def _of_fold(workspace: Workspace, config: Config, is_dp: bool, seconds: float) -> dict[str, float]:
    rate: dict[str, float] = {}
    if config.training.cpu_threads:
        torch.set_num_threads(config.training.cpu_threads)

    def measure(task: FitTask, settings: FitSettings, *_: Any) -> None:
        rate.update(_rate(task, settings, is_dp, seconds))
        raise _Measured

    with tempfile.TemporaryDirectory(prefix="kagglerun-compare-") as folder:
        prepared = prepare(workspace, config)
        try:
            prepared.family.fit_fold(measuring_context(prepared, config, Path(folder), measure))
        except _Measured:
            return rate
    raise TrainingError(f"model.kind {config.model.kind!r} does not train with kagglerun's loop")


def _rate(task: FitTask, settings: FitSettings, is_dp: bool, seconds: float) -> dict[str, float]:
    """Samples a second over the team; all its processes make the same number of updates."""
    config, team = settings.training, current_team()
    device = resolve_device(config.device)
    precision = Precision.resolve(config.precision, device)
    state = fresh_state(task.build, settings, device, precision)
    micro = config.micro_batch or config.step_size
    network: nn.Module = nn.DataParallel(state.model) if is_dp else team.wrap(state.model)
    forward = compiled(network, config.compile, device, micro, micro < config.update_size)
    per_epoch = updates_per_epoch(len(task.train), config)
    randomness = Randomness(task.seed, task.fold)
    stepper = Stepper(state, forward, task.loss, settings, precision, team, randomness, per_epoch)
    with precision.float32_math(), closing(_updates(task, settings, stepper, team, micro)) as updates:
        for _ in range(_WARM_UPDATES):
            next(updates)
        _wait(device)
        began, count, samples = time.perf_counter(), 0, 0
        while count < _LEAST_UPDATES or not team.agree(time.perf_counter() - began > seconds, False)[0]:
            samples += next(updates)
            count += 1
        _wait(device)
        return {"updates": count, "samples_per_second": samples / (time.perf_counter() - began)}


def _updates(task: FitTask, settings: FitSettings, stepper: Stepper, team: Team, micro: int) -> Generator[int]:
    """Makes updates, epoch after epoch; gives the samples of each over the team."""
    for epoch in itertools.count():
        order = sample_order(task.seed, task.fold, epoch, len(task.train))
        updates = split_epoch(order, settings.training)
        pieces = [cut(team.share(samples), micro) for samples in updates]
        with closing(task.train.stream([piece for share in pieces for piece in share], epoch)) as batches:
            for samples, share in zip(updates, pieces, strict=True):
                stepper.update(samples, share, batches)
                yield len(samples)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main(argv: list[str]) -> NoReturn:
    """Measure as one process of a team, and end it; the first writes rate.json into the folder.

    Args:
        argv: folder with config.yaml; seconds.
    """
    die_with(int(os.environ[PARENT]))
    folder, seconds = Path(argv[0]), float(argv[1])
    try:
        config = load_config(folder / "config.yaml")
        team = join_team(config.training.device)
        rate = _of_fold(Workspace.find(), config, False, seconds)
        if team.is_first:
            write_json(folder / "rate.json", rate)
    except Exception as error:
        text = error.message if isinstance(error, KagglerunError) else f"{type(error).__name__}: {error}"
        write_text(folder / f"error-{time.time_ns()}.txt", text)
        os._exit(1)
    leave_team()


if __name__ == "__main__":
    main(sys.argv[1:])

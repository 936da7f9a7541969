"""`kagglerun profile`: where the training time goes, and what would save some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from kagglerun.cli.console import err, out
from kagglerun.workspace import Workspace

if TYPE_CHECKING:
    from kagglerun.config.schema import Config
    from kagglerun.experiment.profile import Profile

_STRATEGIES = ("single", "dp", "ddp")


def profile(
    config: Annotated[str, typer.Argument(help="A config: a name in sweeps/, or a path.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, e.g. training.batch_size=128")] = None,
    seconds: Annotated[
        float, typer.Option("--seconds", min=1, help="Measuring time; from 120 on inductor is tried on a CPU, too.")
    ] = 60,
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare ways to use several GPUs instead: add dp, ddp, single or all.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Say where a config's training time goes on this machine, and which three settings would save most.

    Trains on the real data for about a minute, tries what fits (precision, compile, batch size, data on the GPU,
    threads) in turns with the current setting, and prints the gains it measured. Nothing is kept: no run, no tracking.

    kagglerun profile baseline.yaml --compare dp ddp    compares ways to use several GPUs
    """
    from kagglerun.config.load import load_config
    from kagglerun.experiment.prepare import resolve_config
    from kagglerun.experiment.reserved_gpus import leave_reserved_gpus

    workspace = Workspace.find()
    strategies = [word for word in overrides or () if word in _STRATEGIES] if compare else []
    changes = [word for word in overrides or () if word not in strategies]
    parsed = load_config(workspace.config_file(config), changes)
    leave_reserved_gpus(parsed)
    resolved = resolve_config(workspace, parsed, _tell)
    if compare:
        _compare(workspace, resolved, strategies, seconds, as_json)
        return
    from kagglerun.experiment.profile import profile as measure

    with err.status("reading the data") as status:
        found = measure(workspace, resolved, seconds, status.update)
    if as_json:
        _print_json(_as_values(found))
    else:
        _show(resolved, found)


def _tell(line: str) -> None:
    err.print(line, markup=False)


def _compare(workspace: Workspace, config: Config, strategies: list[str], seconds: float, as_json: bool) -> None:
    from dataclasses import asdict

    from rich.table import Table

    from kagglerun.experiment.parallel.compare_parallel import compare
    from kagglerun.training.precision import resolve_device

    # Without a GPU the processes are told to share the CPU.
    device = resolve_device(config.training.device).type
    config = config.model_copy(update={"training": config.training.model_copy(update={"device": device})})
    wanted = tuple(name for name in _STRATEGIES if name == "single" or not strategies or name in strategies)
    with err.status("measuring " + ", ".join(wanted)):
        results = compare(workspace, config, wanted, seconds / len(wanted))
    if as_json:
        _print_json([asdict(result) for result in results])
        return
    table = Table("strategy", "processes", "GPUs", "effective batch", "samples/s", "against single", "", box=None)
    base = next((result.samples_per_second for result in results if result.error is None), None)
    for result in results:
        measured = result.error is None
        table.add_row(
            result.strategy,
            str(result.processes),
            str(result.devices),
            str(result.effective_batch),
            _number(result.samples_per_second) if measured else "-",
            f"{result.samples_per_second / base:.2f}" if measured and base else "-",
            result.error or result.note,
        )
    out.print(table)


def _show(config: Config, found: Profile) -> None:
    from rich.table import Table

    training, now = config.training, found.current
    network = getattr(config.model, "name", config.model.kind)
    out.print(
        f"{network} on {config.competition}: {found.n_train} training samples, batch {training.batch_size}, "
        f"{training.precision}, {found.device}",
        markup=False,
    )
    out.print(
        f"{_number(now.samples_per_second)} samples/s, {1000 * now.seconds / now.updates:.4g} ms an update "
        f"({now.updates} measured); an epoch takes {_duration(found.n_train / now.samples_per_second)}, "
        f"training begins after {_duration(found.preparation_seconds)}"
    )
    if training.gpus > 1:
        out.print(f"one process made the updates of all {training.gpus}; side by side: add --compare ddp")
    table = Table("where the time goes", "ms an update", "share", box=None)
    table.columns[1].justify = table.columns[2].justify = "right"
    for item in found.stages:
        share = "beside it" if item.share is None else f"{item.share:.0%}"
        table.add_row(item.name, f"{item.milliseconds:.3g}", share)
    out.print(table)
    out.print(_machine(found))
    _show_advice(found)


def _machine(found: Profile) -> str:
    """How busy the machine was."""
    now = found.current
    text = f"CPU {now.cpu_share:.0%} busy"
    if now.gpu is not None:
        gpu = now.gpu
        text = f"GPU {gpu.utilisation:.0%} busy by NVML, {gpu.memory_bytes_max / 1e9:.1f} of "
        text += f"{gpu.memory_total_bytes / 1e9:.0f} GB in use; CPU {now.cpu_share:.0%} busy"
        if gpu.other_processes:
            text += f"; {gpu.other_processes} other processes compute on this GPU"
    if now.gpu_peak_bytes is not None:
        text += f"; the training holds {now.gpu_peak_bytes / 1e9:.1f} GB at most"
    return text


def _show_advice(found: Profile) -> None:
    advice = found.advice
    if advice:
        out.print("\nwhat would help (measured in turns with the current setting):")
    for place, item in enumerate(advice, 1):
        out.print(f"  {place}. {item.line}    {item.gain:+.0%}    results: {item.effect}", markup=False)
    others = [item for item in found.tried if item not in advice]
    if not advice:
        out.print("\nnothing that was tried helps" if others else "\nnothing to try fits this config and machine")
    for item in others:
        why = f"failed: {item.failure}" if item.failure else f"{item.gain:+.0%}"
        out.print(f"  also tried: {item.line}    {why}", markup=False)
    if found.left_out:
        out.print(f"  no time for: {'; '.join(found.left_out)}    (more: --seconds)", markup=False)


def _as_values(found: Profile) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        **asdict(found),
        "samples_per_second": found.current.samples_per_second,
        "advice": [asdict(item) for item in found.advice],
    }


def _print_json(value: Any) -> None:
    import json
    import math

    def plain(item: Any) -> Any:
        if isinstance(item, dict):
            return {name: plain(inner) for name, inner in item.items()}
        if isinstance(item, list | tuple):
            return [plain(inner) for inner in item]
        return None if isinstance(item, float) and not math.isfinite(item) else item

    out.print(json.dumps(plain(value), indent=2), markup=False)


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _duration(seconds: float) -> str:
    from kagglerun.cli.progress import duration

    return duration(seconds) if seconds >= 10 else f"{seconds:.1f} s"

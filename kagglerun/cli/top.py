"""`kagglerun top`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from kagglerun.cli.console import out

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from kagglerun.environment.monitor import GpuNow, Monitor, Share, Snapshot, Work

_LOW, _WAITS = 0.3, 0.3
_SHOWN_STRANGERS = 3


def top(
    once: Annotated[bool, typer.Option("--once", help="Print it once and end, as in a pipe.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Once, as JSON.")] = False,
    seconds: Annotated[float, typer.Option("--seconds", min=0.5, help="Time between two looks.")] = 2.0,
) -> None:
    """Watch the GPUs, and the jobs and trials on them: who waits for data, who fills a GPU, who has reserved one.

    Utilisation, memory, power and temperature are NVIDIA's own figures (NVML). How long a run waits for its data, its
    samples a second and its cores are means of the last ten seconds, which each run in work says of itself. The same
    figures lie in each run's journal, in MLflow and in plots/machine.png. Ctrl-C ends it.
    """
    from kagglerun.environment.monitor import Monitor
    from kagglerun.workspace import Workspace

    with Monitor(Workspace.find()) as monitor:
        if as_json:
            _print_json(monitor.take())
        elif once or not sys.stdout.isatty():
            out.print(_screen(monitor.take()), soft_wrap=False)
        else:
            _follow(monitor, seconds)


def _follow(monitor: Monitor, seconds: float) -> None:
    from rich.live import Live

    try:
        with Live(_screen(monitor.take()), console=out, screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(seconds)
                live.update(_screen(monitor.take()), refresh=True)
    except KeyboardInterrupt:
        return  # the way to end it


def _screen(seen: Snapshot) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    if seen.gpus:
        parts += [_gpu_table(seen), Text()]
    if seen.work:
        parts.append(_work_table(seen))
    else:
        parts.append(Text("no job and no run of this workspace is in work"))
    parts += [Text.from_markup(f"[yellow]{escape(text)}[/]") for text in _warnings(seen)]
    parts += [Text(text, style="dim") for text in seen.unseen]
    return Group(*parts)


def _warnings(seen: Snapshot) -> list[str]:
    return [f"{work.run}: {work.warning}" for work in seen.work if work.warning]


def _gpu_table(seen: Snapshot) -> Table:
    table = _table("GPU", "model", "busy", "memory", "power", "°C", "others on it", "reserved")
    for gpu in seen.gpus:
        look = gpu.look
        low = look.utilisation is not None and look.utilisation < _LOW and bool(look.processes)
        table.add_row(
            gpu.index,
            escape(gpu.name),
            _percent(look.utilisation, warn=low),
            _of(look.memory_bytes, look.memory_total_bytes),
            _watts(look.watts, look.watts_limit),
            "-" if look.celsius is None else f"{look.celsius:.0f}",
            _strangers(gpu),
            escape(gpu.reserved or "-"),
        )
    return table


def _work_table(seen: Snapshot) -> Table:
    columns = ("job", "run", "GPU", "waits for data", "samples/s", "cores", "progress")
    table = _table(*columns)
    for work in seen.work:
        table.add_row(
            escape(work.job or "-"),
            escape(_run(work)),
            "  ".join(map(_share, work.gpus)) or "-",
            _percent(work.loader_wait, warn=work.loader_wait is not None and work.loader_wait >= _WAITS),
            "-" if work.samples_per_second is None else f"{work.samples_per_second:,.0f}",
            "-" if work.cores is None else f"{work.cores:.1f}",
            escape(" ".join(work.progress.split()) or "-"),
        )
    return table


def _table(*names: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        wraps = name in ("progress", "reserved", "others on it", "run", "job")
        right = name in ("busy", "memory", "°C", "waits for data", "samples/s", "cores")
        table.add_column(name, no_wrap=not wraps, overflow="fold", justify="right" if right else "left")
    return table


def _run(work: Work) -> str:
    return f"{work.run or '-'}{f' on {work.host}' if work.host else ''}"


def _share(share: Share) -> str:
    """`0: 3.1 GB 87%`."""
    memory = "" if share.memory_bytes is None else f" {share.memory_bytes / 1e9:.1f} GB"
    busy = "" if share.utilisation is None else f" {share.utilisation:.0%}"
    return f"{share.index}:{memory}{busy}".rstrip(":")


def _strangers(gpu: GpuNow) -> str:
    shown = []
    for one in gpu.strangers[:_SHOWN_STRANGERS]:
        memory = "" if one.memory_bytes is None else f" {one.memory_bytes / 1e9:.1f} GB"
        shown.append(f"{one.user or '?'} {one.name or one.pid}{memory}")
    more = len(gpu.strangers) - _SHOWN_STRANGERS
    return escape(", ".join(shown) + (f" and {more} more" if more > 0 else "")) or "-"


def _percent(share: float | None, *, warn: bool = False) -> str:
    if share is None:
        return "-"
    return f"[yellow]{share:.0%}[/]" if warn else f"{share:.0%}"


def _of(used: int | None, total: int | None) -> str:
    return "-" if used is None or total is None else f"{used / 1e9:.1f} of {total / 1e9:.0f} GB"


def _watts(watts: float | None, limit: float | None) -> str:
    if watts is None:
        return "-"
    return f"{watts:.0f} W" if limit is None else f"{watts:.0f} of {limit:.0f} W"


def _print_json(seen: Snapshot) -> None:
    import json
    from dataclasses import asdict

    out.out(json.dumps(asdict(seen), indent=2), highlight=False)

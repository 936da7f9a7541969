"""`kagglerun gpus`: who keeps which GPU of a machine that several people or jobs share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from kagglerun.cli.console import out

if TYPE_CHECKING:
    from kagglerun.jobs.reservations import Reservation
    from kagglerun.nvml import Gpu

gpus = typer.Typer(
    name="gpus", help="The GPUs of this machine, and who has reserved them.", invoke_without_command=True
)

_Which = Annotated[
    list[str], typer.Argument(help="Numbers as `kagglerun gpus` shows them, beginnings of UUIDs, or all.")
]


@gpus.callback()
def _gpus(context: typer.Context) -> None:
    """List the GPUs when no other command is named."""
    if context.invoked_subcommand is None:
        show(as_json=False)


@gpus.command("list")
def show(
    as_json: Annotated[bool, typer.Option("--json", help="The reservations as JSON, one object each.")] = False,
) -> None:
    """List the GPUs, or the slices of those that are cut (MIG), with their free memory and who has reserved them."""
    from kagglerun.jobs.reservations import reservations
    from kagglerun.nvml import NoGpus

    held = reservations()
    if as_json:
        _print_json(held)
        return
    try:
        _print_gpus({one.uuid: one for one in held})
    except NoGpus as reason:
        out.print(f"no GPUs: {escape(str(reason))}")
        for one in held:
            out.print(f"reserved: {escape(str(one))}")


@gpus.command()
def reserve(
    which: _Which,
    hours: Annotated[float, typer.Option("--hours", help="For how long.")] = 8.0,
    note: Annotated[str, typer.Option("--note", help="What for; others see it.")] = "",
    job: Annotated[
        str | None, typer.Option("--job", help="For this job alone, until it ends: its id, or a part of it.")
    ] = None,
) -> None:
    """Keep GPUs for your own work, all of those named or none.

    `kagglerun sweep` and `kagglerun train` of other people on this machine leave them alone, and say so where nothing
    else is left; work that runs already goes on. With --job other jobs of yours keep away too. Programs that are not
    kagglerun's know nothing of it. It ends with its time, its job, or `kagglerun gpus release`.
    """
    from kagglerun.jobs.control import find_job
    from kagglerun.jobs.reservations import reserve as keep
    from kagglerun.workspace import Workspace

    bound = None if job is None else find_job(Workspace.find(), job)
    for one in keep(_chosen(which), hours, note, bound):
        out.print(f"reserved: {escape(str(one))}")


@gpus.command()
def release(which: _Which) -> None:
    """Give GPUs back that you reserved."""
    from kagglerun.jobs.reservations import release as give_back

    ended = give_back(_chosen(which))
    for one in ended:
        out.print(f"released: GPU {escape(one.index)}")
    if not ended:
        out.print("none of them was reserved")


def _chosen(which: list[str]) -> list[Gpu]:
    from kagglerun.errors import ConfigError
    from kagglerun.nvml import NoGpus, Nvml

    try:
        with Nvml.open() as nvml:
            found = nvml.gpus()
    except NoGpus as reason:
        raise ConfigError(f"there are no GPUs to name: {reason}", hint="kagglerun doctor") from None
    known = ", ".join(gpu.index for gpu in found) or "none"
    chosen: dict[str, Gpu] = {}
    for name in (part.strip() for each in which for part in each.split(",") if part.strip()):
        matches = [gpu for gpu in found if name == "all" or gpu.index == name]
        # The number of a GPU that is cut stands for all its slices.
        matches = matches or [gpu for gpu in found if gpu.index.partition(".")[0] == name]
        matches = matches or [gpu for gpu in found if len(name) > 3 and gpu.uuid.startswith(name)]
        if not matches:
            raise ConfigError(f"there is no GPU {name!r}; there are: {known}", hint="kagglerun gpus")
        chosen.update({gpu.uuid: gpu for gpu in matches})
    return list(chosen.values())


def _print_gpus(held: dict[str, Reservation]) -> None:
    from rich.table import Table

    from kagglerun.nvml import Nvml

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("GPU", "model", "free", "of", "reserved", "UUID"):
        table.add_column(name, no_wrap=name != "reserved", justify="right" if name in ("free", "of") else "left")
    with Nvml.open() as nvml:
        for gpu in nvml.gpus():
            look, one = nvml.look(gpu), held.get(gpu.uuid) or held.get(gpu.whole_uuid)
            sizes = [_gigabytes(look.free_bytes), _gigabytes(look.memory_total_bytes)]
            state = look.problem or ("-" if one is None else str(one).partition(" by ")[2])
            table.add_row(gpu.index, escape(gpu.name), *sizes, escape(state), gpu.uuid)
    out.print(table, soft_wrap=False)


def _gigabytes(size: int | None) -> str:
    return "-" if size is None else f"{size / 1e9:.1f} GB"


def _print_json(held: tuple[Reservation, ...]) -> None:
    import json
    from dataclasses import asdict

    out.out(json.dumps([asdict(one) for one in held], indent=2), highlight=False)

"""`kagglerun image compose`: all services side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from kagglerun.cli.console import err

if TYPE_CHECKING:
    from kagglerun.environment.image.compose import ComposeCall


def compose(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[WORD...]", help="What compose shall do: up (the default), up -d, down, ps, logs."),
    ] = None,
    image: Annotated[
        str | None, typer.Option("--image", help="The image; by default the one `image build` makes.")
    ] = None,
    engine: Annotated[str | None, typer.Option("--engine", help="docker or podman; by default what works.")] = None,
    gpus: Annotated[str | None, typer.Option("--gpus", help="all or none; by default all that there are.")] = None,
    shm_size: Annotated[str | None, typer.Option("--shm-size", help="Size of /dev/shm, e.g. 16g.")] = None,
    user: Annotated[str | None, typer.Option("--user", metavar="UID[:GID]", help="Who to be.")] = None,
    port: Annotated[
        list[str] | None, typer.Option("--port", metavar="SERVICE=PORT", help="Another port; may be repeated.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", help="Public keys for ssh; by default those of your ~/.ssh.", dir_okay=False)
    ] = None,
    show: Annotated[bool, typer.Option("--print", help="Only print the command and its variables.")] = False,
) -> None:
    """Run jupyter, ssh, mlflow (with its PostgreSQL) and tensorboard side by side, by the package's compose.yaml.

    All ports are on 127.0.0.1. A token and keys come as for `kagglerun image run`.
    """
    from kagglerun.environment.image.compose import call_for, execute_call, find_compose, known_digest
    from kagglerun.environment.image.names import image_name
    from kagglerun.environment.image.run import Wishes
    from kagglerun.workspace import Workspace

    found = ("docker", "compose") if show else find_compose(engine)
    name = image or image_name()
    wishes = Wishes(name, None if show else known_digest(name), gpus, shm_size, user)
    call = call_for(found, words or ["up"], Workspace.find(), wishes, port or [], key)
    _tell(call)
    if not show:
        raise typer.Exit(execute_call(call))


def _tell(call: ComposeCall) -> None:
    import shlex

    for name, value in call.told.items():
        err.print(escape(f"{name}={shlex.quote(value)}"))
    for name in call.hidden:
        err.print(escape(f"{name}=..."))
    for line in call.addresses:
        err.print(escape(line))
    err.print(escape(f"$ {shlex.join(call.argv)}"))

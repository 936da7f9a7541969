"""`kagglerun image run` and `shell`: the workspace in a container."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from kagglerun.cli.console import err

if TYPE_CHECKING:
    from kagglerun.environment.image.session import Request

Image = Annotated[str | None, typer.Option("--image", help="The image; by default the one `image build` makes.")]
EngineName = Annotated[
    str | None, typer.Option("--engine", help="docker, podman or buildah; by default the first that works.")
]
Gpus = Annotated[
    str | None, typer.Option("--gpus", help="all, none, or indices with commas; by default all that there are.")
]
ShmSize = Annotated[
    str | None, typer.Option("--shm-size", help="Size of /dev/shm, e.g. 16g; by default half of the memory.")
]
User = Annotated[
    str | None, typer.Option("--user", metavar="UID[:GID]", help="Who to be; by default the workspace's owner.")
]
Variables = Annotated[
    list[str] | None,
    typer.Option("--env", metavar="NAME", help="A variable that is passed on, besides Kaggle's; may be repeated."),
]


def run(
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SERVICE...|COMMAND...]", help="jupyter, ssh, mlflow, tensorboard, or a command."),
    ] = None,
    image: Image = None,
    engine: EngineName = None,
    gpus: Gpus = None,
    shm_size: ShmSize = None,
    user: User = None,
    env: Variables = None,
    port: Annotated[
        list[str] | None,
        typer.Option("--port", metavar="SERVICE=PORT", help="Another port on 127.0.0.1; may be repeated."),
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", help="Public keys for ssh; by default those of your ~/.ssh.", dir_okay=False)
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return at once; the container stays.")] = False,
    public: Annotated[
        bool, typer.Option("--public", help="Open jupyter and ssh to the addresses of --from, while this command runs.")
    ] = False,
    sources: Annotated[
        list[str] | None, typer.Option("--from", metavar="RANGE", help="Who may call, e.g. 203.0.113.0/24.")
    ] = None,
    address: Annotated[
        str | None,
        typer.Option("--address", help="The address of this machine that --public opens."),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", help="PEM with certificate and key for --public; else one is made.")
    ] = None,
    show: Annotated[bool, typer.Option("--print", help="Only print the command.")] = False,
) -> None:
    """Run services (jupyter unless said) or a command on this workspace in a container, and print how.

    All ports are on 127.0.0.1. A container lasts until its services end, or the jobs that its command started. Where
    one of this workspace runs already, a command is run in it. Nothing in it is root, files belong to the workspace's
    owner, and secrets are passed on by environment only. For example: kagglerun image run kagglerun sweep baseline.yaml
    """
    from kagglerun.environment.image.names import image_name
    from kagglerun.environment.image.public import Exposure, own_address
    from kagglerun.environment.image.run import Wishes
    from kagglerun.environment.image.session import Request
    from kagglerun.errors import ConfigError

    if public and detach:
        raise ConfigError("--public lasts as long as this command, and --detach ends it", hint="tmux, without --detach")
    if (sources or address or certificate) and not public:
        raise ConfigError("--from, --address and --certificate belong to --public")
    exposure = None
    if public:
        exposure = Exposure(tuple(sources or ()), key, certificate, address or own_address())
    wishes = Wishes(image or image_name(), None, gpus, shm_size, user, tuple(env or ()))
    request = Request(tuple(what or ["jupyter"]), wishes, tuple(port or ()), key, detach, exposure, show)
    raise typer.Exit(_run(request, engine))


def shell(
    image: Image = None,
    engine: EngineName = None,
    gpus: Gpus = None,
    shm_size: ShmSize = None,
    user: User = None,
    env: Variables = None,
    show: Annotated[bool, typer.Option("--print", help="Only print the command.")] = False,
) -> None:
    """Open a shell in this workspace's container: in the one that runs, else in a new one."""
    from kagglerun.environment.image.names import image_name
    from kagglerun.environment.image.run import Wishes
    from kagglerun.environment.image.session import Request

    wishes = Wishes(image or image_name(), None, gpus, shm_size, user, tuple(env or ()))
    raise typer.Exit(_run(Request(("bash", "-l"), wishes, only_print=show), engine))


def _run(request: Request, engine: str | None) -> int:
    """Run it by the engine that works here; to print a command, neither engine nor image needs to be there.

    Raises:
        ImageError: no engine works here, or it has no such image and cannot fetch it.
    """
    from kagglerun.environment.image.session import Session, check_request
    from kagglerun.environment.image.store import image_in_store, likely_engine
    from kagglerun.workspace import Workspace

    workspace, must = Workspace.find(), not request.only_print
    check_request(request, workspace)
    chosen = likely_engine(engine, must_work=must)
    session = Session(workspace, chosen, _tell)
    must = must and session.running(request) is None
    digest = image_in_store(chosen, request.wishes.image, must_be_there=must, tell=_tell)
    return session.run(replace(request, wishes=replace(request.wishes, digest=digest)))


def _tell(line: str) -> None:
    err.print(escape(line))

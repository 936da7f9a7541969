"""`kagglerun image serve`, `health` and `attend`: what a container runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from kagglerun.cli import image_compose, image_run
from kagglerun.cli.console import err, out

if TYPE_CHECKING:
    from kagglerun.environment.image.services import Launch
    from kagglerun.jobs.control import JobInfo

ALL_THE_REST = {"allow_interspersed_args": False}
"""Words behind the first argument belong to it, options included."""


def add_service_commands(image: typer.Typer) -> None:
    """Add the commands to the group `image`."""
    for command in (serve, health):
        image.command()(command)
    image.command(hidden=True, context_settings=ALL_THE_REST)(attend)
    image.command(context_settings=ALL_THE_REST)(image_run.run)
    image.command()(image_run.shell)
    image.command(context_settings=ALL_THE_REST)(image_compose.compose)


def serve(
    services: Annotated[
        list[str], typer.Argument(metavar="SERVICE...", help="jupyter, ssh, mlflow or tensorboard; several together.")
    ],
    port: Annotated[
        list[str] | None,
        typer.Option("--port", metavar="SERVICE=PORT", help="Another port than its usual one; may be repeated."),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option("--host", help="Address to bind to: by default loopback, in a container all of the container's."),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Do not say the addresses: who started the container has done so.")
    ] = False,
) -> None:
    """Run servers on this workspace until Ctrl-C, in a container of the image or without one.

    Jupyter wants a token (JUPYTER_TOKEN; a random one when there is none), SSH one of the keys in KAGGLERUN_SSH_KEYS.
    """
    from kagglerun.environment.image.limits import raise_open_files
    from kagglerun.environment.image.ports import read_ports
    from kagglerun.environment.image.secret_variables import take_variables
    from kagglerun.environment.image.services import Place, default_host, find_services
    from kagglerun.environment.image.serving import serve
    from kagglerun.workspace import Workspace

    raise_open_files()
    take_variables()
    workspace, bind = Workspace.find(), host or default_host()
    chosen = find_services(services)
    ports = read_ports(port or [], chosen)
    launches = [one.prepare(Place(workspace, bind, ports.get(one.name, one.port))) for one in chosen]
    if not quiet:
        _tell(launches)
    serve(launches)
    out.print("ended")


def health() -> None:
    """Say whether the services started here answer (exit code 1: one does not). The image's HEALTHCHECK asks this."""
    from kagglerun.environment.image.health import started, unhealthy
    from kagglerun.environment.image.services import SERVICES

    problems = unhealthy({name: service.health for name, service in SERVICES.items()})
    for name, problem in problems.items():
        err.print(f"{name}: {escape(problem)}")
    if problems:
        raise typer.Exit(1)
    out.print(f"healthy: {', '.join(started()) or 'no service was started here'}")


def attend(
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="What to run.")],
) -> None:
    """Run a command, and stay until the jobs that it started have ended: with the container's first process all go."""
    from kagglerun.environment.image.attend import attend
    from kagglerun.environment.image.limits import raise_open_files
    from kagglerun.environment.image.secret_variables import take_variables
    from kagglerun.workspace import Workspace

    raise_open_files()
    take_variables()
    raise typer.Exit(attend(command, Workspace.find(), _tell_jobs))


def _tell(launches: list[Launch]) -> None:
    for launch in launches:
        out.print(f"{launch.service}: {launch.address}", markup=False)


def _tell_jobs(jobs: list[JobInfo]) -> None:
    names = ", ".join(escape(job.job_id) for job in jobs)
    err.print(f"the container stays until {names} ended; Ctrl-C saves and ends   (kagglerun image shell looks inside)")

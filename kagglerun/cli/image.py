"""`kagglerun image`: the standard image, built and known by its digest, and its containers."""

from __future__ import annotations

import typer

from kagglerun.cli import image_build
from kagglerun.cli.image_services import add_service_commands

image = typer.Typer(
    name="image", help="The standard image: the same environment on every machine.", no_args_is_help=True
)

image.command()(image_build.build)
image.command()(image_build.lock)
image.command()(image_build.digest)
add_service_commands(image)

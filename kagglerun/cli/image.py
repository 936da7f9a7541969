"""`kagglerun image`: the standard image and its containers."""

from __future__ import annotations

import typer

from kagglerun.cli.image_services import add_service_commands

image = typer.Typer(
    name="image", help="The standard image: the same environment on every machine.", no_args_is_help=True
)

add_service_commands(image)

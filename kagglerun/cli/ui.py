"""`kagglerun ui`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from kagglerun.cli.console import err, out

if TYPE_CHECKING:
    from kagglerun.workspace import Workspace


def ui(
    port: Annotated[int, typer.Option("--port", "-p", min=1, max=65535, help="Port on 127.0.0.1.")] = 5000,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = False,
) -> None:
    """Serve MLflow's UI with this workspace's runs on 127.0.0.1 until Ctrl-C.

    Where KAGGLERUN_MLFLOW_URI (or `mlflow_uri` in .kagglerun/settings.yaml) names a server, its address is shown.
    """
    from kagglerun import tracking
    from kagglerun.errors import ConfigError
    from kagglerun.workspace import Workspace

    workspace = Workspace.find()
    uri = tracking.tracking_uri(workspace)
    if uri == "none":
        raise ConfigError("MLflow is switched off by KAGGLERUN_MLFLOW_URI=none", hint="unset KAGGLERUN_MLFLOW_URI")
    if uri.startswith(("http://", "https://")):
        _tell_address(tracking.without_password(uri), open_browser)
        return
    _serve(workspace, port, open_browser)


def _tell_address(address: str, open_browser: bool) -> None:
    out.print(f"MLflow: {escape(address)}")
    if open_browser:
        typer.launch(address)


def _serve(workspace: Workspace, port: int, open_browser: bool) -> None:
    """Serve until Ctrl-C, SIGTERM or the server's end."""
    from kagglerun import tracking

    with tracking.serve_ui(workspace, port) as server:
        out.print(f"MLflow: {server.page}    (Ctrl-C ends it)")
        _catch_up(workspace)
        server.wait_until_ready()
        out.print("ready")
        if open_browser:
            typer.launch(server.page)
        try:
            raise typer.Exit(server.wait())
        except KeyboardInterrupt:
            out.print("ended")


def _catch_up(workspace: Workspace) -> None:
    """Show also what MLflow missed; a problem is told and the page is served all the same."""
    from kagglerun import tracking

    for report in tracking.sync(workspace, tracking.behind(workspace)):
        if report.problem:
            err.print(f"[yellow]{escape(report.run.run_id)} is not wholly shown:[/] {escape(report.problem)}")

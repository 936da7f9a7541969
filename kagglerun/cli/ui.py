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
    _refuse_taken_port(port)
    _catch_up(workspace)
    raise typer.Exit(_serve(workspace, port, open_browser))


def _tell_address(address: str, open_browser: bool) -> None:
    out.print(f"MLflow: {escape(address)}")
    if open_browser:
        typer.launch(address)


def _refuse_taken_port(port: int) -> None:
    import socket

    from kagglerun.errors import TrackingError

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise TrackingError(
                f"port {port} of 127.0.0.1 cannot be used: {error.strerror}", hint=f"kagglerun ui --port {port + 1}"
            ) from error


def _catch_up(workspace: Workspace) -> None:
    """Make the database when there is none, and show what it missed; a problem is told and the UI starts."""
    from kagglerun import tracking

    tracking.prepare_database(workspace)
    for report in tracking.sync(workspace, tracking.behind(workspace)):
        if report.problem:
            err.print(f"[yellow]{escape(report.run.run_id)} is not wholly shown:[/] {escape(report.problem)}")


def _serve(workspace: Workspace, port: int, open_browser: bool) -> int:
    import subprocess

    from kagglerun import tracking

    command = tracking.ui_command(workspace, port)
    with subprocess.Popen(command, env=tracking.ui_environment(workspace), cwd=workspace.root) as server:
        _tell_address(f"http://127.0.0.1:{port}", open_browser)
        out.print("Ctrl-C ends it")
        try:
            return server.wait()
        except KeyboardInterrupt:
            server.wait()
            return 0

"""`kagglerun dashboard`."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from kagglerun.cli.console import out


def dashboard(
    port: Annotated[int, typer.Option("--port", "-p", min=1, max=65535, help="Port on 127.0.0.1.")] = 8080,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = False,
) -> None:
    """Serve Optuna's dashboard with a read-only copy of the studies on 127.0.0.1 until Ctrl-C.

    The copy follows the sweeps that run; nothing that is clicked there reaches a study.
    """
    from kagglerun.sweep.review.dashboard import serve_dashboard
    from kagglerun.workspace import Workspace

    workspace = Workspace.find()
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with serve_dashboard(workspace, port) as page:
            out.print(f"Optuna's dashboard: {page}    (Ctrl-C ends it)")
            if open_browser:
                typer.launch(page)
            signal.pause()
    except KeyboardInterrupt:
        out.print("ended")
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt

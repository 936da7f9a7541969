"""Serving MLflow's page on 127.0.0.1 for as long as the command that started it lives."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from kagglerun.errors import TrackingError
from kagglerun.tracking.mlflow_store import QUIET, prepare_database, tracking_uri
from kagglerun.workspace import Workspace

_READY_SECONDS = 120.0
_PR_SET_PDEATHSIG = 1


class UiServer:
    """A running server; made by `serve_ui`.

    Attributes:
        address: of the server.
        page: of the list of competitions, with MLflow's menu for training rather than for language models.
    """

    def __init__(self, process: subprocess.Popen[bytes], workspace: Workspace, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.page = f"{self.address}/#/experiments?workflowType=machine_learning"
        self._process = process
        self._log = workspace.mlflow_log

    def wait_until_ready(self) -> None:
        """Return once the page answers.

        Raises:
            TrackingError: the server ended, or does not answer.
        """
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise TrackingError(
                    f"MLflow's server ended: {self._last_line()}",
                    hint=f"kagglerun track sync --all    (makes an older database current); its log is {self._log}",
                )
            if _answers(f"{self.address}/health"):
                return
            time.sleep(0.1)
        raise TrackingError(f"MLflow's server does not answer at {self.address}", hint=f"see {self._log}")

    def wait(self) -> int:
        """Return the server's exit code once it ends."""
        return self._process.wait()

    def _last_line(self) -> str:
        lines = [line for line in self._log.read_text("utf-8", errors="replace").splitlines() if line.strip()]
        return lines[-1].strip() if lines else "it said nothing"


@contextmanager
def serve_ui(workspace: Workspace, port: int) -> Iterator[UiServer]:
    """Serve the page while the block runs, and also end it when this process is killed.

    Args:
        workspace: whose runs.
        port: on 127.0.0.1.

    Raises:
        TrackingError: the port is taken.
    """
    _check_port(port)
    if not workspace.mlflow_db.exists():
        prepare_database(workspace)
    workspace.mlflow_log.parent.mkdir(parents=True, exist_ok=True)
    with workspace.mlflow_log.open("wb") as log:
        process = subprocess.Popen(
            _command(workspace, port),
            env={**os.environ, **QUIET, "PYTHONWARNINGS": "ignore", **_addresses(workspace)},
            cwd=workspace.root,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=_end_with_parent,
        )
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield UiServer(process, workspace, port)
    finally:
        process.terminate()
        process.wait()
        signal.signal(signal.SIGTERM, before)


def _command(workspace: Workspace, port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--artifacts-destination", workspace.mlflow_artifacts.as_uri()),
        # Any other Host header is a page elsewhere that tries to read this one.
        *("--allowed-hosts", f"127.0.0.1:{port},localhost:{port}"),
    ]


def _addresses(workspace: Workspace) -> dict[str, str]:
    """The database's address goes by the environment: it may hold a password, and arguments are seen by all."""
    uri = tracking_uri(workspace)
    return {"MLFLOW_BACKEND_STORE_URI": uri, "MLFLOW_REGISTRY_STORE_URI": uri}


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise TrackingError(
                f"port {port} of 127.0.0.1 cannot be used: {error.strerror}",
                hint=f"kagglerun ui --port {port + 1 if port < 65535 else 5000}",
            ) from error


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2) as reply:  # noqa: S310 - our own http address
            return bool(reply.status == 200)
    except OSError:
        return False


def _end_with_parent() -> None:
    """In the child: be told to end when the parent is gone, however it went (prctl, Linux)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt

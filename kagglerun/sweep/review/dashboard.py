"""Optuna's dashboard on a copy of the studies, served to this machine alone.

The copy is made in memory from the trials' files, so that it is right also where Optuna's database is behind, is a
PostgreSQL elsewhere, or is being written: neither a reader's lock nor a wrong click reaches a study. It is made
anew when trials were added. Requests that would change something are refused.
"""

from __future__ import annotations

import json
import socketserver
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from kagglerun.errors import ConfigError, JobError
from kagglerun.workspace import Workspace

_REFRESH_SECONDS = 3.0
_HOST = "127.0.0.1"

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@contextmanager
def serve_dashboard(workspace: Workspace, port: int) -> Iterator[str]:
    """Serve while the block runs.

    Args:
        workspace: whose studies.
        port: on 127.0.0.1; 0 takes a free one.

    Yields:
        The page's address.

    Raises:
        ConfigError: optuna-dashboard is not installed.
        JobError: the port is taken.
    """
    copy = _Copy(workspace)
    try:
        server = make_server(_HOST, port, copy, server_class=_Threads, handler_class=_Quiet)
    except OSError as error:
        raise JobError(
            f"port {port} of {_HOST} cannot be used: {error.strerror}",
            hint=f"kagglerun dashboard --port {port + 1 if port < 65535 else 8080}",
        ) from error
    copy.hosts = {f"{host}:{server.server_port}" for host in (_HOST, "localhost")}
    thread = threading.Thread(target=server.serve_forever, name="dashboard", daemon=True)
    thread.start()
    try:
        yield f"http://{_HOST}:{server.server_port}/dashboard"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Copy:
    """Optuna's dashboard as a WSGI application that reads only, over a copy that follows the studies."""

    def __init__(self, workspace: Workspace) -> None:
        self.hosts: set[str] = set()
        self._workspace = workspace
        self._lock = threading.Lock()
        self._stamp: list[tuple[str, int]] = []
        self._checked_at = 0.0
        self._app = self._made()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        # Any other Host header is a page elsewhere that tries to read this one.
        if environ.get("HTTP_HOST") not in self.hosts:
            return _refused(start_response, "this address is not served")
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _refused(start_response, "this is a read-only copy of the studies")
        return self._current()(environ, start_response)

    def _current(self) -> Wsgi:
        with self._lock:
            if time.monotonic() - self._checked_at > _REFRESH_SECONDS:
                if self._stamps() != self._stamp:
                    self._app = self._made()
                self._checked_at = time.monotonic()
            return self._app

    def _made(self) -> Wsgi:
        try:
            import optuna_dashboard
        except ImportError as error:
            raise ConfigError(
                f"optuna-dashboard is not installed ({error})", hint="pip install 'kagglerun[dashboard]'"
            ) from error
        from kagglerun.sweep.review.optuna_copy import all_studies

        self._stamp = self._stamps()
        app: Wsgi = optuna_dashboard.wsgi(all_studies(self._workspace))
        return app

    def _stamps(self) -> list[tuple[str, int]]:
        """Name and size of every study's file of trials, which only grows."""
        files = [paths.trials for paths in self._workspace.all_studies()]
        return [(str(path), path.stat().st_size if path.exists() else 0) for path in files]


def _refused(start_response: Callable[..., Any], reason: str) -> list[bytes]:
    start_response("403 Forbidden", [("Content-Type", "application/json")])
    return [json.dumps({"reason": reason}).encode()]


class _Threads(socketserver.ThreadingMixIn, WSGIServer):
    """A thread a request: browsers ask for several things at once."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    """Does not write every request to the terminal."""

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

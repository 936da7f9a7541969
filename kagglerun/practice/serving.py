"""What the server process does: take the lock, open the database, announce itself, answer until told to stop."""

from __future__ import annotations

import fcntl
import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import uvicorn

from kagglerun.errors import PracticeError
from kagglerun.practice.app import create_app
from kagglerun.practice.connection import Connection
from kagglerun.practice.faults import Fault
from kagglerun.practice.host import Host
from kagglerun.practice.paths import PracticePaths
from kagglerun.practice.server import Server, announce, bind, key_of, running
from kagglerun.workspace import Workspace


def serve(
    workspace: Workspace,
    port: int = 0,
    descriptor: int | None = None,
    calls_per_minute: int = 0,
    faults: Iterable[Fault] = (),
    started: Callable[[Server], None] = lambda _server: None,
) -> None:
    """Run the server in this process until SIGTERM or Ctrl-C.

    Args:
        workspace: whose competitions.
        port: the port to take; 0 lets the system choose.
        descriptor: a listening socket inherited from the process that starts the server, instead of a port.
        calls_per_minute: answer 429 beyond this many API calls; 0 for no limit.
        faults: what shall go wrong.
        started: told of the server once it listens.

    Raises:
        PracticeError: the port is taken, or a server runs already.
    """
    paths = PracticePaths(workspace.practice)
    paths.folder.mkdir(parents=True, exist_ok=True)
    with _only_server(workspace, paths):
        listener = bind(port) if descriptor is None else socket.socket(fileno=descriptor)
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
        key = key_of(paths)
        app = create_app(Host.open(paths, key, workspace.rehearsals, calls_per_minute, faults))
        # Named, since what else is installed would be taken otherwise: httptools reads targets in another way.
        config = uvicorn.Config(
            app,
            http=Connection,
            loop="asyncio",
            ws="none",
            access_log=False,
            log_level="warning",
            timeout_graceful_shutdown=3,
        )
        server = announce(paths, listener.getsockname()[1], key)
        try:
            started(server)
            uvicorn.Server(config).run(sockets=[listener])
        finally:
            if (now := running(workspace)) is not None and now.pid == os.getpid():
                paths.server.unlink(missing_ok=True)


@contextmanager
def _only_server(workspace: Workspace, paths: PracticePaths) -> Iterator[None]:
    """Hold the lock of a workspace's only server."""
    with paths.server_lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = running(workspace)
            where = f" at {other.url} (process {other.pid})" if other else ""
            raise PracticeError(
                f"a practice server runs already{where}", hint="kagglerun practice stop    (then start it again)"
            ) from None
        yield

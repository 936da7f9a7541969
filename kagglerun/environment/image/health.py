"""Whether the services of this container answer: what the image's HEALTHCHECK asks."""

from __future__ import annotations

import http.client
import os
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path

from kagglerun.files import read_json, write_json

_TIMEOUT_SECONDS = 5.0


def remember(ports: Mapping[str, int]) -> None:
    """Note which services were started here, and on which ports."""
    write_json(_note(), dict(ports), durable=False)


def forget() -> None:
    """Note that they have ended."""
    _note().unlink(missing_ok=True)


def unhealthy(paths: Mapping[str, str | None]) -> dict[str, str]:
    """The services started here that do not answer, with the reason.

    Args:
        paths: of each service, the path that answers 200; None where SSH's greeting is waited for.
    """
    found = {}
    for name, port in started().items():
        problem = _problem(port, paths.get(name))
        if problem:
            found[name] = problem
    return found


def started() -> dict[str, int]:
    """The services started here and not ended, with their ports."""
    try:
        return {str(name): int(port) for name, port in read_json(_note()).items()}
    except FileNotFoundError:
        return {}


def _problem(port: int, path: str | None) -> str | None:
    try:
        return _greets(port) if path is None else _answers(port, path)
    except (OSError, http.client.HTTPException) as error:
        return f"nothing answers on port {port}: {error}"


def _answers(port: int, path: str) -> str | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    finally:
        connection.close()
    return None if status == http.HTTPStatus.OK else f"it answers {status} on port {port}"


def _greets(port: int) -> str | None:
    with socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_SECONDS) as caller:
        greeting = caller.recv(8)
    return None if greeting.startswith(b"SSH-2.0") else f"port {port} does not greet as SSH does"


def _note() -> Path:
    """In the temporary folder: a container has its own, and loses it when it is started anew."""
    return Path(tempfile.gettempdir()) / f"kagglerun-services-{os.getuid()}.json"

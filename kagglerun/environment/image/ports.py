"""Ports on this machine's loopback."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable, Sequence

from kagglerun.environment.image.services import Service
from kagglerun.errors import ConfigError, ImageError, unknown_name

_TRIED = 100


def read_ports(words: Iterable[str], services: Sequence[Service]) -> dict[str, int]:
    """Read `SERVICE=PORT` words; for a single service the port alone is enough.

    Returns:
        The ports by service.

    Raises:
        ConfigError: a word is something else, or names a service that is not wanted.
    """
    names = [service.name for service in services]
    ports = {}
    for word in words:
        name, _, number = word.rpartition("=")
        name = name or (names[0] if len(names) == 1 else "")
        if not number.isdecimal() or not 1 <= int(number) <= 65535 or not name:
            raise ConfigError(f"--port {word!r} is not SERVICE=PORT", hint=f"--port {names[0]}=8890    (1 to 65535)")
        if name not in names:
            raise unknown_name("service in --port", name, names)
        ports[name] = int(number)
    return ports


def choose_ports(services: Sequence[Service], wanted: dict[str, int], host: str = "127.0.0.1") -> dict[str, int]:
    """A free port for each service: the one that is asked for, or its usual one, or the next free one after that.

    Args:
        services: that need a port.
        wanted: ports that must be these.
        host: address on which they must be free.

    Raises:
        ImageError: a port that must be had is taken, or none is free.
    """
    chosen: dict[str, int] = {}
    for service in services:
        if service.name in wanted:
            chosen[service.name] = _must_be_free(service.name, wanted[service.name], host, chosen.values())
        else:
            chosen[service.name] = _next_free(service.port, host, {*chosen.values(), *wanted.values()})
    return chosen


def is_free(host: str, port: int) -> bool:
    """Whether a server could bind to the port now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _must_be_free(name: str, port: int, host: str, others: Collection[int]) -> int:
    if port in others or not is_free(host, port):
        raise ImageError(f"port {port} of {host} is taken", hint=f"--port {name}={_next_free(port, host, others)}")
    return port


def _next_free(first: int, host: str, others: Collection[int]) -> int:
    for port in range(first, min(first + _TRIED, 65536)):
        if port not in others and is_free(host, port):
            return port
    raise ImageError(f"no port from {first} on is free on {host}", hint="--port SERVICE=PORT names another")

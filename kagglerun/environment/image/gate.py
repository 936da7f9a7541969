"""A gate before ports of this machine's loopback: it lets in callers from named networks, and no one else.

An engine publishes ports to everybody who reaches the machine, past its firewall; behind its address translation the
server in the container cannot tell who calls. So containers stay on loopback, and this stands before them, where the
caller's address is still the true one.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from kagglerun.errors import ImageError

Network = IPv4Network | IPv6Network

_CHUNK_BYTES = 1 << 16
_MOST_CALLERS = 256
_SECONDS_TO_CONNECT = 10.0
_SECONDS_AFTER_ERROR = 0.1
_SECONDS_TO_SHAKE_HANDS = 10.0


@dataclass(frozen=True)
class Opening:
    """One port that is opened.

    Attributes:
        host: address of this machine that callers reach.
        port: and the port.
        target: port on 127.0.0.1 that they are led to.
        networks: who may call.
        tls: encrypts what the server behind does not; None where it does.
    """

    host: str
    port: int
    target: int
    networks: tuple[Network, ...]
    tls: ssl.SSLContext | None = None


@dataclass
class Callers:
    """How many called, counted while the gate is open."""

    admitted: int = 0
    refused: int = 0
    _now: int = field(default=0, repr=False)

    def enter(self) -> bool:
        """Count somebody in; False where too many are in."""
        if self._now >= _MOST_CALLERS:
            return False
        self._now += 1
        self.admitted += 1
        return True

    def leave(self) -> None:
        """Count somebody out."""
        self._now -= 1


@contextlib.contextmanager
def open_gate(openings: Sequence[Opening]) -> Iterator[Callers]:
    """Keep the ports open while the block runs.

    Raises:
        ImageError: a port or an address cannot be had.
    """
    with contextlib.ExitStack() as unused:
        listeners = [unused.enter_context(_listener(opening)) for opening in openings]
        unused.pop_all()
    loop, callers = asyncio.new_event_loop(), Callers()
    thread = threading.Thread(target=loop.run_forever, name="gate", daemon=True)
    thread.start()
    for opening, listener in zip(openings, listeners, strict=True):
        asyncio.run_coroutine_threadsafe(_admit(opening, listener, callers), loop)
    try:
        yield callers
    finally:
        asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def may_enter(address: str, networks: Sequence[Network]) -> bool:
    """Whether the caller's address is in one of the networks."""
    caller = ip_address(address.partition("%")[0])
    if isinstance(caller, IPv6Address) and caller.ipv4_mapped is not None:
        caller = caller.ipv4_mapped
    return any(caller in network for network in networks)


def _listener(opening: Opening) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in opening.host else socket.AF_INET
        listener = socket.create_server((opening.host, opening.port), family=family, backlog=_MOST_CALLERS)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ImageError(f"port {opening.port} of {opening.host} cannot be opened: {reason}") from error
    listener.setblocking(False)
    return listener


async def _admit(opening: Opening, listener: socket.socket, callers: Callers) -> None:
    """Accept callers for ever. One who is refused is cut off at once, before a byte of theirs is read."""
    tasks: set[asyncio.Task[None]] = set()
    with listener:
        while True:
            try:
                caller, address = await asyncio.get_running_loop().sock_accept(listener)
            except OSError:  # too many open files, or the caller is gone again
                await asyncio.sleep(_SECONDS_AFTER_ERROR)
                continue
            if not may_enter(address[0], opening.networks) or not callers.enter():
                callers.refused += 1
                caller.close()
                continue
            task = asyncio.create_task(_lead(opening, caller, callers))
            tasks.add(task)
            task.add_done_callback(tasks.discard)


async def _lead(opening: Opening, caller: socket.socket, callers: Callers) -> None:
    """Between an admitted caller and the server, until one of them ends."""
    writers: list[asyncio.StreamWriter] = []
    try:
        reader, writer = await _streams(caller, opening.tls)
        writers.append(writer)
        connect = asyncio.open_connection("127.0.0.1", opening.target)
        there, back = await asyncio.wait_for(connect, _SECONDS_TO_CONNECT)
        writers.append(back)
        await asyncio.gather(_carry(reader, back), _carry(there, writer))
    except (OSError, TimeoutError):
        return  # the caller sees its connection end, as it would without a gate
    finally:
        callers.leave()
        for writer in writers:
            writer.close()


async def _streams(
    caller: socket.socket, tls: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    patience = None if tls is None else _SECONDS_TO_SHAKE_HANDS
    try:
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol, caller, ssl=tls, ssl_handshake_timeout=patience
        )
    except BaseException:
        caller.close()
        raise
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def _carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while chunk := await source.read(_CHUNK_BYTES):
        sink.write(chunk)
        await sink.drain()
    if sink.can_write_eof():
        sink.write_eof()
    else:
        sink.close()


async def _cancel_all() -> None:
    own = asyncio.current_task()
    tasks = [task for task in asyncio.all_tasks() if task is not own]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

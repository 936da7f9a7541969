"""The SFTP protocol, version 3, over the machine's own OpenSSH client.

`ssh -s HOST sftp` gives the connection, so that keys, agents, known hosts, jump hosts and `~/.ssh/config` are those of
the user's every other ssh. The protocol: https://datatracker.ietf.org/doc/html/draft-ietf-secsh-filexfer-02; the
renaming that replaces is OpenSSH's `posix-rename@openssh.com`.
"""

from __future__ import annotations

import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import IO

_VERSION = 3
_BLOCK_BYTES = 32_000
"""Servers take at least 34000 bytes a packet."""
_IN_FLIGHT = 64
"""Requests that wait for their answers: 2 MB under way hide the time that an answer takes."""
_LONGEST_PACKET = 1 << 22
_OPEN_READ, _OPEN_NEW = 0x01, 0x02 | 0x08 | 0x10
_HAS_SIZE, _HAS_MODE = 0x01, 0x04
_FOLDER_BITS, _TYPE_BITS, _FILE_BITS = 0o040000, 0o170000, 0o100000
_SAID_BYTES = 2000


class Packet(IntEnum):
    """Types of packets."""

    INIT = 1
    VERSION = 2
    OPEN = 3
    CLOSE = 4
    READ = 5
    WRITE = 6
    OPENDIR = 11
    READDIR = 12
    REMOVE = 13
    MKDIR = 14
    STAT = 17
    STATUS = 101
    HANDLE = 102
    DATA = 103
    NAME = 104
    ATTRS = 105
    EXTENDED = 200


class SftpError(OSError):
    """The other machine refused something; `code` is SFTP's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3
    END = 1


class SftpLost(OSError):
    """The connection could not be made, or broke; the message is what ssh said."""


@dataclass(frozen=True)
class Attributes:
    """Of a file or folder.

    Attributes:
        size: bytes.
        is_folder: whether it is one.
        is_file: whether it is a plain file.
    """

    size: int
    is_folder: bool
    is_file: bool


class Sftp:
    """A connection. For one thread at a time.

    Args:
        command: what gives the connection, e.g. `ssh -s host sftp`.

    Raises:
        SftpLost: there is none.
    """

    def __init__(self, command: list[str]) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close)
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, start_new_session=True
            )
        except OSError as error:
            self._said.close()
            raise SftpLost(f"{command[0]} cannot be started: {error.strerror}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to: IO[bytes] = self._process.stdin
        self._from: IO[bytes] = self._process.stdout
        self._next = 0
        try:
            self._greet()
        except SftpLost:
            self.close()
            raise

    def _greet(self) -> None:
        self._send(Packet.INIT, struct.pack(">I", _VERSION))
        kind, _ = self._receive()
        if kind != Packet.VERSION:
            raise SftpLost(f"the other side does not speak SFTP: {self._words()}")

    def stat(self, path: str) -> Attributes:
        """Attributes of a path.

        Raises:
            SftpError: there is none.
        """
        return _attributes(_Reader(self._ask(Packet.STAT, _text(path), Packet.ATTRS)))

    def list(self, path: str) -> Iterator[tuple[str, Attributes]]:
        """Names in a folder and their attributes.

        Raises:
            SftpError: there is none.
        """
        with self._opened(Packet.OPENDIR, _text(path)) as handle:
            while True:
                try:
                    reader = _Reader(self._ask(Packet.READDIR, handle, Packet.NAME))
                except SftpError as error:
                    if error.code == SftpError.END:
                        return
                    raise
                for _ in range(reader.number()):
                    name = reader.text()
                    reader.text()  # as `ls -l` shows it
                    yield name, _attributes(reader)

    def read(self, path: str) -> bytes:
        """The content of a file.

        Raises:
            SftpError: there is none.
        """
        size = self.stat(path).size
        with self._opened(Packet.OPEN, _text(path) + struct.pack(">II", _OPEN_READ, 0)) as handle:
            content = bytearray(size)
            wanted = [(begin, min(_BLOCK_BYTES, size - begin)) for begin in range(0, size, _BLOCK_BYTES)]
            while wanted:
                round_, wanted = wanted[:_IN_FLIGHT], wanted[_IN_FLIGHT:]
                for begin, length in round_:
                    self._send_request(Packet.READ, handle + struct.pack(">QI", begin, length))
                # All answers are taken before one that is an error counts: the next request finds the line free.
                answers = [self._answer_or_error(Packet.DATA) for _ in round_]
                for (begin, length), answer in zip(round_, answers, strict=True):
                    if isinstance(answer, SftpError):
                        raise answer
                    block = _Reader(answer).block()
                    content[begin : begin + len(block)] = block
                    if block and len(block) < length:
                        wanted.append((begin + len(block), length - len(block)))
        return bytes(content)

    def write(self, path: str, content: bytes) -> None:
        """Write a file, in place.

        Raises:
            SftpError: it cannot be written.
        """
        opening = _text(path) + struct.pack(">III", _OPEN_NEW, _HAS_MODE, 0o644)
        with self._opened(Packet.OPEN, opening) as handle:
            begins = range(0, len(content), _BLOCK_BYTES)
            for first in range(0, len(begins), _IN_FLIGHT):
                round_ = begins[first : first + _IN_FLIGHT]
                for begin in round_:
                    block = content[begin : begin + _BLOCK_BYTES]
                    self._send_request(Packet.WRITE, handle + struct.pack(">QI", begin, len(block)) + block)
                for answer in [self._answer_or_error(Packet.STATUS) for _ in round_]:
                    if isinstance(answer, SftpError):
                        raise answer

    def replace(self, path: str, target: str) -> None:
        """Rename a file in one step; one of that name is replaced.

        Raises:
            SftpError: it cannot be done.
        """
        body = _text("posix-rename@openssh.com") + _text(path) + _text(target)
        self._ask(Packet.EXTENDED, body, Packet.STATUS)

    def make_folder(self, path: str) -> None:
        """Make a folder.

        Raises:
            SftpError: it cannot be made, e.g. because it is there.
        """
        self._ask(Packet.MKDIR, _text(path) + struct.pack(">I", 0), Packet.STATUS)

    def remove(self, path: str) -> None:
        """Remove a file.

        Raises:
            SftpError: it cannot be removed.
        """
        self._ask(Packet.REMOVE, _text(path), Packet.STATUS)

    def close(self) -> None:
        """End the connection."""
        for stream in (self._to, self._from):
            try:
                stream.close()
            except OSError:
                continue  # what was still to be sent has nowhere to go
        self._process.terminate()
        self._process.wait()
        self._said.close()

    @contextmanager
    def _opened(self, kind: Packet, body: bytes) -> Iterator[bytes]:
        """A handle, in the form in which requests carry it."""
        handle = _pack(_Reader(self._ask(kind, body, Packet.HANDLE)).block())
        try:
            yield handle
        except SftpError:
            self._ask(Packet.CLOSE, handle, Packet.STATUS)
            raise
        else:
            self._ask(Packet.CLOSE, handle, Packet.STATUS)

    def _ask(self, kind: Packet, body: bytes, expected: Packet) -> bytes:
        self._send_request(kind, body)
        return self._answer(expected)

    def _send_request(self, kind: Packet, body: bytes) -> None:
        self._next = (self._next + 1) & 0xFFFFFFFF
        self._send(kind, struct.pack(">I", self._next) + body)

    def _answer(self, expected: Packet) -> bytes:
        """The body of the next answer; OpenSSH answers in the order in which it was asked."""
        kind, body = self._receive()
        reader = _Reader(body)
        reader.number()  # of the request
        if kind == Packet.STATUS:
            code = reader.number()
            if code == 0 and expected == Packet.STATUS:
                return b""
            raise SftpError(code, reader.text())
        if kind != expected:
            raise SftpLost(f"an answer of type {kind} came where {expected.name} was due")
        return reader.rest()

    def _answer_or_error(self, expected: Packet) -> bytes | SftpError:
        try:
            return self._answer(expected)
        except SftpError as error:
            return error

    def _send(self, kind: Packet, body: bytes) -> None:
        try:
            self._to.write(struct.pack(">IB", len(body) + 1, kind) + body)
            self._to.flush()
        except (OSError, ValueError) as error:
            raise SftpLost(self._words()) from error

    def _receive(self) -> tuple[int, bytes]:
        head = self._from.read(5)
        if len(head) < 5:
            raise SftpLost(self._words())
        length, kind = struct.unpack(">IB", head)
        if length > _LONGEST_PACKET:
            raise SftpLost("the other side does not speak SFTP: does its shell print something at login?")
        body = self._from.read(length - 1)
        if len(body) < length - 1:
            raise SftpLost(self._words())
        return kind, body

    def _words(self) -> str:
        """The last line that ssh printed."""
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        end = self._said.seek(0, 2)
        self._said.seek(max(0, end - _SAID_BYTES))
        lines = self._said.read().decode("utf-8", "replace").split("\n")
        told = [line.strip() for line in lines if line.strip()]
        return told[-1] if told else "the connection was closed"


class _Reader:
    """Takes a packet apart."""

    def __init__(self, body: bytes) -> None:
        self._body, self._at = body, 0

    def number(self) -> int:
        (value,) = struct.unpack_from(">I", self._body, self._at)
        self._at += 4
        return int(value)

    def long(self) -> int:
        (value,) = struct.unpack_from(">Q", self._body, self._at)
        self._at += 8
        return int(value)

    def block(self) -> bytes:
        length = self.number()
        self._at += length
        return self._body[self._at - length : self._at]

    def text(self) -> str:
        return self.block().decode("utf-8", "surrogateescape")

    def rest(self) -> bytes:
        return self._body[self._at :]


def _attributes(reader: _Reader) -> Attributes:
    flags = reader.number()
    size = reader.long() if flags & _HAS_SIZE else 0
    if flags & 0x02:
        reader.long()  # owner and group
    mode = reader.number() if flags & _HAS_MODE else 0
    if flags & 0x08:
        reader.long()  # times of access and change
    if flags & 0x80000000:
        for _ in range(2 * reader.number()):
            reader.block()
    return Attributes(size, mode & _TYPE_BITS == _FOLDER_BITS, mode & _TYPE_BITS == _FILE_BITS)


def _pack(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content


def _text(text: str) -> bytes:
    return _pack(text.encode("utf-8", "surrogateescape"))

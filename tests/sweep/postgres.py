"""A real PostgreSQL of Debian's, started for the tests on 127.0.0.1 and ended with them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest

PASSWORD = "s3cret/word"
USER = "team"
_PR_SET_PDEATHSIG = 1


@dataclass
class Server:
    """The server.

    Attributes:
        programs: folder of `initdb` and `postgres`.
        folder: its data.
        port: on 127.0.0.1.
        account: whom it runs as, where the tests run as root, whom it refuses.
    """

    programs: Path
    folder: Path
    port: int
    account: dict[str, Any] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Without the password."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"

    @property
    def address_with_password(self) -> str:
        """As KAGGLERUN_STUDIES_URL has it."""
        return self.address.replace("@", f":{PASSWORD.replace('/', '%2F')}@")

    def create(self) -> None:
        """Make its data."""
        password = self.folder / "password"
        password.write_text(PASSWORD)
        if self.account:
            shutil.chown(self.folder, **self.account)
            shutil.chown(password, **self.account)
        options = [
            "-D",
            "data",
            "-U",
            USER,
            "--pwfile",
            "password",
            "--auth",
            "scram-sha-256",
            "--no-sync",
            "-E",
            "UTF8",
        ]
        self._run("initdb", *options)

    def _run(self, program: str, *options: str) -> None:
        command = [str(self.programs / program), *options]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True, **self._as_account())

    def _as_account(self) -> dict[str, Any]:
        return {"extra_groups": [], **self.account} if self.account else {}

    def start(self) -> None:
        """Start it and return when it answers."""
        options = ["-D", "data", "-p", str(self.port), "-c", "listen_addresses=127.0.0.1"]
        options += ["-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "timezone=UTC"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self.programs / "postgres"), *options],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                preexec_fn=_end_with_parent,
                **self._as_account(),
            )
        deadline = time.monotonic() + 60
        while True:
            # It listens before it lets anybody in.
            with contextlib.suppress(psycopg.OperationalError), self._connect():
                return
            assert self._process.poll() is None and time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
            self._process = None

    def execute(self, statement: LiteralString) -> None:
        """Execute a statement."""
        with self._connect() as connection:
            connection.execute(statement)

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(self.address, password=PASSWORD)


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    """A server with an empty database; the test is skipped where Debian's package is missing."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    named = shutil.which("initdb")
    programs = Path(named).resolve().parent if named else folders[-1] if folders else None
    if programs is None:
        pytest.skip("PostgreSQL is not installed: make system")
    # Not below pytest's own folder: only its owner may enter that.
    with tempfile.TemporaryDirectory(prefix="kagglerun-postgres-") as folder:
        account = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
        server = Server(programs, Path(folder), _free_port(), account)
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)

"""What tests of services share: a user that is not root, free ports, engines that are really there."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

UID = 21_234
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqfHMV2XHZ3kYmYpQ2sJpYjG5nW5sYdY2r3oF0pYb1C someone@somewhere"
_AS_SOMEONE = (
    'mount --bind "$1" /etc/passwd && shift && exec setpriv --reuid {uid} --regid {uid} --clear-groups '
    # This Python may lie in root's own folder; reading is all that is allowed.
    '--inh-caps +dac_read_search --ambient-caps +dac_read_search "$@"'
)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_listening(port: int, process: subprocess.Popen[str]) -> None:
    """Return once something listens on the port."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"it ended: {process.stdout.read() if process.stdout else ''}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"nothing listens on {port}")


class Someone:
    """A user with a name, a home folder and no rights: in a container it is the workspace's owner.

    Made by a private /etc/passwd, as containers get one.
    """

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir(mode=0o700, parents=True)
        self.workspace = folder / "workspace"
        for part in ("competitions", "sweeps"):
            (self.workspace / part).mkdir(parents=True)
        self.accounts = folder / "passwd"
        lines = ("root:x:0:0::/root:/bin/sh", f"someone:x:{UID}:{UID}::{self.home}:/bin/sh")
        self.accounts.write_text("".join(f"{line}\n" for line in lines))
        for path in (self.home, *self.workspace.rglob("*"), self.workspace):
            os.chown(path, UID, UID)
        folder.chmod(0o755)

    @contextmanager
    def runs(self, *command: str, environment: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
        """Run a command as this user while the block runs; afterwards it is ended as a container would be."""
        argv = ["unshare", "--mount", "sh", "-c", _AS_SOMEONE.format(uid=UID), "sh", str(self.accounts), *command]
        own = {
            "HOME": str(self.home),
            "TMPDIR": str(self.home),
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            "KAGGLERUN_WORKSPACE": str(self.workspace),
        }
        process = subprocess.Popen(
            argv,
            env={**own, **(environment or {})},
            cwd=self.workspace,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(30)
            if process.stdout is not None:
                process.stdout.close()


@contextmanager
def somebody() -> Iterator[Someone]:
    """Somebody, while the block runs; skips where this process may not become another user."""
    _need_root()
    # Not pytest's folder, which is root's alone.
    with tempfile.TemporaryDirectory(prefix="someone-") as folder:
        yield Someone(Path(folder))


def kagglerun(*words: str) -> list[str]:
    """The command as a process of its own."""
    return [sys.executable, "-P", "-m", "kagglerun", *words]


def need(*programs: str) -> None:
    """Skip where a program is missing."""
    for program in programs:
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:{Path(sys.executable).parent}") is None:
            extra = program in ("jupyter-lab", "tensorboard")
            pytest.skip(f"{program} is missing: " + ("pip install 'kagglerun[image]'" if extra else "make system"))


def _need_root() -> None:
    """Skip where this process may not become another user."""
    if os.geteuid() != 0:
        pytest.skip("only root may become another user")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespace can be made here")

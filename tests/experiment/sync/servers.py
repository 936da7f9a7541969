"""Targets that are there: a real S3 API and SSH server on this machine, and what stands for Google's storage."""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

_START_SECONDS = 10.0


@contextmanager
def s3_server(monkeypatch: pytest.MonkeyPatch, bucket: str = "my-bucket") -> Iterator[str]:
    """A real S3 API with an empty bucket, found the way in which boto finds any endpoint; yields its address."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    for name, value in {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "a-key",
        "AWS_SECRET_ACCESS_KEY": "a-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    try:
        client = boto3.client("s3")
        client.create_bucket(Bucket=bucket)
        client.close()
        yield address
    finally:
        server.stop()


@contextmanager
def gs_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The requests of Google's storage API that are used, answered from memory; Google gives away no server of it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _GoogleRequests)
    server.contents = {}  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    try:
        yield address
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _GoogleRequests(BaseHTTPRequestHandler):
    """https://cloud.google.com/storage/docs/json_api/v1/objects: insert, get, list, delete."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    @property
    def _contents(self) -> dict[str, bytes]:
        contents: dict[str, bytes] = self.server.contents  # type: ignore[attr-defined]
        return contents

    def do_GET(self) -> None:
        """Content, attributes, or a list."""
        address = urlsplit(self.path)
        asked = parse_qs(address.query)
        if "/o/" not in address.path:
            names = sorted(name for name in self._contents if name.startswith(asked.get("prefix", [""])[0]))
            return self._answer(200, json.dumps({"items": [self._about(name) for name in names]}).encode())
        name = unquote(address.path.partition("/o/")[2])
        if name not in self._contents:
            return self._answer(404, b"{}")
        if asked.get("alt") == ["media"]:
            return self._answer(200, self._contents[name])
        return self._answer(200, json.dumps(self._about(name)).encode())

    def do_POST(self) -> None:
        """A content with its attributes, as multipart/related."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        about, _, rest = body.split(b"\n\n", 1)[1].partition(b"\n--==0==\n")
        name = json.loads(about)["name"]
        self._contents[name] = rest.split(b"\n\n", 1)[1].removesuffix(b"\n--==0==--")
        self._answer(200, json.dumps(self._about(name)).encode())

    def do_DELETE(self) -> None:
        """Remove a content."""
        name = unquote(urlsplit(self.path).path.partition("/o/")[2])
        self._answer(404 if self._contents.pop(name, None) is None else 204, b"")

    def _about(self, name: str) -> dict[str, object]:
        content = self._contents[name]
        return {"kind": "storage#object", "name": name, "bucket": "my-bucket", "size": str(len(content))}

    def _answer(self, code: int, content: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@dataclass(frozen=True)
class SshServer:
    """A server on this machine, and an `ssh` in the path that knows its key.

    Attributes:
        port: where it listens.
        folder: its files.
        process: the server.
    """

    port: int
    folder: Path
    process: subprocess.Popen[bytes]


@contextmanager
def ssh_server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SshServer]:
    """A real OpenSSH server for this user alone, by key only; skips where none is installed."""
    server = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    client = shutil.which("ssh")
    sftp = next(
        (path for path in ("/usr/lib/openssh/sftp-server", "/usr/libexec/sftp-server") if Path(path).exists()), None
    )
    if not server or not client or not sftp:
        pytest.skip("no OpenSSH server is installed: apt-get install openssh-server")
    folder.mkdir(mode=0o700)
    for name in ("host", "mine"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    port = _free_port()
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/mine.pub\n"
        f"PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\n"
        f"PidFile {folder}/pid\nSubsystem sftp {sftp}\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where the server that root starts locks its children in
    host_key = (folder / "host.pub").read_text().split(" ", 2)
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key[0]} {host_key[1]}\n")
    (folder / "config").write_text(
        f"Host *\n  IdentityFile {folder}/mine\n  UserKnownHostsFile {folder}/known_hosts\n  IdentitiesOnly yes\n"
    )
    wrapper = folder / "bin/ssh"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {client} -F "{folder}/config" "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([server, "-D", "-e", "-f", folder / "sshd_config"], stdout=log, stderr=log)
    try:
        _wait_for(port, process)
        yield SshServer(port, folder, process)
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.skip(f"the SSH server does not start here: code {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError("the SSH server does not listen")

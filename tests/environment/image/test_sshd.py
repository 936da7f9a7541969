"""The SSH server: keys that may enter, and what real clients of a real sshd meet."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kagglerun.environment.image import sshd
from kagglerun.errors import ConfigError, ImageError
from tests.environment.image.made_services import (
    PUBLIC_KEY,
    Someone,
    free_port,
    kagglerun,
    need,
    somebody,
    wait_until_listening,
)

_TOKEN = 'sesame "4711" \\ and more'


def test_keys_are_taken_from_a_file_and_lines_with_options_or_rubbish_are_not() -> None:
    text = "\n".join(
        (
            "# a comment",
            f"  {PUBLIC_KEY}  ",
            f'command="echo log in as ubuntu" {PUBLIC_KEY}',
            "ssh-ed25519 AAAA",
            "ssh-ed25519 AAAAB3NzaC1yc2EAAAA=",
            "-----BEGIN OPENSSH PRIVATE KEY-----",
        )
    )
    assert sshd.usable_keys(text) == [PUBLIC_KEY]


def test_root_does_not_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(ImageError, match="not started as root"):
        sshd.prepare("127.0.0.1", 2222, {sshd.KEYS: PUBLIC_KEY})


def test_a_user_without_a_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 987_654)
    with pytest.raises(ImageError, match="987654 has no name here"):
        sshd.prepare("127.0.0.1", 2222, {sshd.KEYS: PUBLIC_KEY})


def test_without_a_key_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    monkeypatch.setattr(os, "geteuid", lambda: pwd.getpwnam("nobody").pw_uid)
    with pytest.raises(ConfigError, match="no key may enter"):
        sshd.prepare("127.0.0.1", 2222, {sshd.KEYS: "# none"})


@dataclass(frozen=True)
class _Server:
    port: int
    key: Path
    someone: Someone

    def call(self, *words: str, user: str = "someone", key: Path | None = None) -> subprocess.CompletedProcess[str]:
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "IdentitiesOnly=yes")
        argv = [
            *("ssh", "-F", "none", "-p", str(self.port), "-i", str(key or self.key), "-o", "BatchMode=yes"),
            *(word for option in options for word in ("-o", option)),
            *(f"{user}@127.0.0.1", *words),
        ]
        return subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Server]:
    """A real sshd of somebody who is not root."""
    need("sshd", "ssh", "ssh-keygen")
    key = tmp_path_factory.mktemp("keys") / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    port = free_port()
    environment = {
        "KAGGLERUN_SSH_KEYS": key.with_suffix(".pub").read_text(),
        "KAGGLE_API_TOKEN": _TOKEN,
        "KAGGLERUN_IMAGE_DIGEST": "sha256:0",
        "SOMETHING_ELSE": "stays behind",
    }
    with somebody() as someone:
        command = kagglerun("image", "serve", "ssh", "--port", str(port))
        with someone.runs(*command, environment=environment) as process:
            wait_until_listening(port, process)
            yield _Server(port, key, someone)


def test_the_key_enters_and_the_shell_knows_what_the_server_was_told(server: _Server) -> None:
    answer = server.call('id -un; echo "$KAGGLE_API_TOKEN"; echo "$KAGGLERUN_IMAGE_DIGEST"; echo "$SOMETHING_ELSE"')
    assert answer.stdout.splitlines() == ["someone", _TOKEN, "sha256:0", ""], answer.stderr


def test_another_key_passwords_and_root_are_refused(server: _Server, tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    assert "Permission denied (publickey)" in server.call("true", key=other).stderr
    assert "Permission denied (publickey)" in server.call("true", user="root").stderr
    passwords = server.call("-o", "PreferredAuthentications=password,keyboard-interactive", "true")
    assert "Permission denied (publickey)" in passwords.stderr


def test_no_secret_is_in_the_servers_arguments_or_files(server: _Server) -> None:
    running = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True).stdout
    assert "sesame" not in running
    kept = [path for path in server.someone.home.rglob("*") if path.is_file()]
    assert {path.name for path in kept} >= {"authorized_keys", "ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"}
    assert not [path for path in kept if b"sesame" in path.read_bytes()]
    assert (server.someone.home / ".config/kagglerun/ssh/ssh_host_ed25519_key").stat().st_mode & 0o077 == 0


def test_it_is_healthy_while_it_runs(server: _Server) -> None:
    with server.someone.runs(*kagglerun("image", "health")) as process:
        assert process.stdout is not None
        assert process.stdout.read() == "healthy: ssh\n"
        assert process.wait(30) == 0


@pytest.mark.long
def test_the_host_key_stays_and_an_open_home_folder_is_refused() -> None:
    need("sshd", "ssh-keygen")
    with somebody() as someone:
        host_key = someone.home / ".config/kagglerun/ssh/ssh_host_ed25519_key"
        seen = []
        for _ in range(2):
            port = free_port()
            command = kagglerun("image", "serve", "ssh", "--port", str(port))
            with someone.runs(*command, environment={"KAGGLERUN_SSH_KEYS": PUBLIC_KEY}) as process:
                wait_until_listening(port, process)
                seen.append(host_key.read_bytes())
        assert seen[0] == seen[1]
        someone.home.chmod(0o777)
        with someone.runs(*command, environment={"KAGGLERUN_SSH_KEYS": PUBLIC_KEY}) as process:
            assert process.stdout is not None
            assert "others can write in" in process.stdout.read()

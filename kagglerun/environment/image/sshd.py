"""OpenSSH's server for the person who runs it: entered by key only, never by root, never by a password.

sshd runs without root's rights, so it can let in its own user alone. Host keys stay in the home folder, which a
container keeps in the workspace: the next container is the same host to its visitors.
"""

from __future__ import annotations

import base64
import binascii
import os
import pwd
import re
import stat
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kagglerun.errors import ConfigError, ImageError
from kagglerun.files import write_text

KEYS = "KAGGLERUN_SSH_KEYS"
_SECRET = Path("/run/secrets/authorized_keys")
_FOLDER = Path(".config/kagglerun/ssh")
_HANDED_ON = ("KAGGLE", "MLFLOW", "NVIDIA_", "CUDA_", "AWS_", "GOOGLE_", "HF_")
_HANDED_ON_TOO = frozenset({"PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOGNAME"})
_KEY = re.compile(
    r"(ssh-(?:ed25519|rsa)|ecdsa-sha2-nistp\d+|sk-(?:ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com) (\S+)"
)


@dataclass(frozen=True)
class SshServer:
    """A server that can be started.

    Attributes:
        user: whom it lets in.
        config: its sshd_config; may hold secrets of this process's environment.
    """

    user: str
    config: str = field(repr=False)


def prepare(host: str, port: int, environment: Mapping[str, str]) -> SshServer:
    """Make what the server needs in the home folder.

    Args:
        host: address that it binds to.
        port: and its port.
        environment: where the keys come from (KAGGLERUN_SSH_KEYS, unless a secret is mounted), and what the
            visitors' shells get to know.

    Raises:
        ImageError: this is root, or a user without a name, or the home folder can be written by others.
        ConfigError: there are no keys to let in.
    """
    user = _own_user()
    folder = Path(user.pw_dir) / _FOLDER
    keys = usable_keys(_SECRET.read_text("utf-8") if _SECRET.is_file() else environment.get(KEYS, ""))
    if not keys:
        raise ConfigError(f"no key may enter: {KEYS} holds none", hint=f'export {KEYS}="$(cat ~/.ssh/id_ed25519.pub)"')
    _make_private(folder, Path(user.pw_dir))
    write_text(folder / "authorized_keys", "".join(f"{key}\n" for key in keys))
    (folder / "authorized_keys").chmod(0o600)
    _make_host_key(folder / "ssh_host_ed25519_key")
    return SshServer(user.pw_name, _config(user.pw_name, folder, host, port, environment))


def usable_keys(text: str) -> list[str]:
    """The public keys in the text of a .pub or authorized_keys file.

    Lines with options (`command="..." ssh-rsa ...`) are left out: on rented machines they say that one shall log in
    as somebody else.

    Returns:
        One line a key, in OpenSSH's form, as they stand in the text.
    """
    return [line.strip() for line in text.splitlines() if _is_key(line.strip())]


def _is_key(line: str) -> bool:
    found = _KEY.match(line)
    if found is None:
        return False
    try:
        blob = base64.b64decode(found[2], validate=True)
    except (binascii.Error, ValueError):
        return False
    kind = found[1].encode()
    # A key's first field is its kind once more, after four bytes with the length (RFC 4253, 6.6).
    return blob.startswith(len(kind).to_bytes(4, "big") + kind)


def _own_user() -> pwd.struct_passwd:
    if os.geteuid() == 0:
        raise ImageError(
            "the SSH server is not started as root: whoever gets in would be root", hint="run it as a user"
        )
    try:
        return pwd.getpwuid(os.geteuid())
    except KeyError:
        raise ImageError(
            f"user {os.geteuid()} has no name here, which SSH needs",
            hint="kagglerun image run ssh    (it brings a name along)",
        ) from None


def _make_private(folder: Path, home: Path) -> None:
    """Make the folder; sshd reads no keys below a folder that others can write."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"{folder} cannot be made: {error.strerror}", hint="kagglerun image run ssh") from error
    folder.chmod(0o700)
    for place in (folder, *folder.parents):
        if place.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ImageError(f"others can write in {place}, so SSH trusts no key below it", hint=f"chmod go-w {place}")
        if place == home:
            return


def _make_host_key(file: Path) -> None:
    if file.is_file():
        return
    temporary = file.with_suffix(f".{uuid.uuid4().hex[:12]}")
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "kagglerun", "-f", str(temporary)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        temporary.with_suffix(f"{temporary.suffix}.pub").replace(file.with_suffix(".pub"))
        temporary.replace(file)
    except FileNotFoundError as error:
        raise ImageError("ssh-keygen is not installed", hint="apt-get install openssh-client") from error
    except subprocess.CalledProcessError as error:
        raise ImageError(f"no host key was made: {error.stderr.strip()}") from error


def _config(user: str, folder: Path, host: str, port: int, environment: Mapping[str, str]) -> str:
    """sshd_config(5)."""
    handed_on = " ".join(
        _quoted(f"{name}={value}") for name, value in sorted(environment.items()) if _is_handed_on(name, value)
    )
    lines = (
        f"ListenAddress {host}",
        f"Port {port}",
        f"HostKey {_quoted(str(folder / 'ssh_host_ed25519_key'))}",
        f"AuthorizedKeysFile {_quoted(str(folder / 'authorized_keys').replace('%', '%%'))}",
        f"AllowUsers {user}",
        "AuthenticationMethods publickey",
        "PubkeyAuthentication yes",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "PermitEmptyPasswords no",
        "PermitRootLogin no",
        "PermitUserEnvironment no",
        "UsePAM no",
        "StrictModes yes",
        "MaxAuthTries 3",
        "LoginGraceTime 30",
        "ClientAliveInterval 60",
        "X11Forwarding no",
        "AllowAgentForwarding no",
        "PermitTunnel no",
        "PidFile none",
        "PrintMotd no",
        "Subsystem sftp internal-sftp",
        *([f"SetEnv {handed_on}"] if handed_on else []),
    )
    return "".join(f"{line}\n" for line in lines)


def _is_handed_on(name: str, value: str) -> bool:
    wanted = name.startswith(_HANDED_ON) or name in _HANDED_ON_TOO
    return wanted and name != KEYS and value.isprintable()


def _quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

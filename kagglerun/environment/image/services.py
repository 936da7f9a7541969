"""The servers that a container of the image runs: JupyterLab, SSH, MLflow and TensorBoard.

Each is started without the image as well, where its program is installed. In a container (KAGGLERUN_IN_IMAGE is set)
they bind to all of the container's own addresses, of which the engine publishes ports on the machine's loopback;
anywhere else they bind to 127.0.0.1.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kagglerun import tracking
from kagglerun.environment.image import sshd
from kagglerun.errors import ConfigError, ImageError, unknown_name
from kagglerun.tracking.mlflow_store import QUIET
from kagglerun.workspace import Workspace

IN_IMAGE = "KAGGLERUN_IN_IMAGE"
TOKEN = "JUPYTER_TOKEN"  # noqa: S105 - the variable's name
ALLOWED_HOSTS = "MLFLOW_SERVER_ALLOWED_HOSTS"
BACKEND = "MLFLOW_BACKEND_STORE_URI"
SHORTEST_TOKEN = 24
_SECRETS = Path("/run/secrets")


@dataclass(frozen=True)
class Place:
    """Where a service is to run.

    Attributes:
        workspace: what it serves.
        host: address that it binds to.
        port: and its port.
    """

    workspace: Workspace
    host: str
    port: int


@dataclass(frozen=True)
class Launch:
    """A server that can be started.

    Attributes:
        service: its name.
        port: that it will listen on.
        argv: its command; holds no secret.
        environment: what is added to this process's environment.
        stdin: what it reads, e.g. a config that no file shall hold; None for nothing.
        address: for people; with the token only where it was made here and nobody else knows it.
    """

    service: str
    port: int
    argv: tuple[str, ...]
    address: str
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    stdin: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Service:
    """A kind of server.

    Attributes:
        name: as the user types it.
        port: that it takes in the image, and elsewhere unless told otherwise.
        health: path that answers 200 to anybody once it is ready; None where SSH's greeting is waited for.
        login: what a caller needs; None where anybody who reaches the port is let in.
        prepare: makes what it needs, and says how it is started.
    """

    name: str
    port: int
    health: str | None
    login: str | None
    prepare: Callable[[Place], Launch]


def find_services(names: Iterable[str]) -> list[Service]:
    """The services of these names, each once.

    Raises:
        ConfigError: there is no such service.
    """
    for name in names:
        if name not in SERVICES:
            raise unknown_name("service", name, SERVICES)
    return [SERVICES[name] for name in dict.fromkeys(names)]


def default_host() -> str:
    """All addresses in a container, which nobody else shares; loopback anywhere else."""
    return "0.0.0.0" if os.environ.get(IN_IMAGE) else "127.0.0.1"  # noqa: S104


def check_token(token: str) -> str:
    """The token, if nobody guesses it.

    Raises:
        ConfigError: it is short, or no single word.
    """
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isalnum():
        raise ConfigError(
            f"{TOKEN} must be at least {SHORTEST_TOKEN} letters and digits: it is all that guards a shell",
            hint=f"export {TOKEN}=$(openssl rand -hex 32)",
        )
    return token


def _jupyter(place: Place) -> Launch:
    token, brought = _token()
    address = f"http://127.0.0.1:{place.port}/lab"
    argv = (
        *(_program("jupyter-lab", "pip install 'kagglerun[image]'"), "--no-browser"),
        *(f"--ip={place.host}", f"--port={place.port}", "--ServerApp.port_retries=0"),
        f"--ServerApp.root_dir={place.workspace.root}",
        # A password set on the login page would be a second way in, and kept in a file.
        "--PasswordIdentityProvider.allow_password_change=False",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.news_url=None",
    )
    told = f"{address}    (with the token of {TOKEN})" if brought else f"{address}?token={token}"
    return Launch("jupyter", place.port, argv, told, {TOKEN: token})


def _token() -> tuple[str, bool]:
    """The token, and whether it was brought along: by the environment, or by a secret that is mounted as a file."""
    if os.environ.get(TOKEN):
        return check_token(os.environ[TOKEN]), True
    for file in (os.environ.get(f"{TOKEN}_FILE"), _SECRETS / TOKEN.lower()):
        if file and Path(file).is_file():
            return check_token(Path(file).read_text("utf-8").strip()), True
    return secrets.token_hex(32), False


def _ssh(place: Place) -> Launch:
    program = _program("sshd", "apt-get install openssh-server")
    server = sshd.prepare(place.host, place.port, os.environ)
    # "-f /dev/stdin": the config hands on what this process knows, Kaggle's token included, so no file holds it.
    argv = (program, "-D", "-e", "-f", "/dev/stdin")
    return Launch("ssh", place.port, argv, f"ssh -p {place.port} {server.user}@127.0.0.1", stdin=server.config)


def _mlflow(place: Place) -> Launch:
    backend = os.environ.get(BACKEND) or tracking.tracking_uri(place.workspace)
    if not backend.startswith(("sqlite:", "postgresql", "mysql")):
        raise ConfigError(
            f"MLflow's server needs a database, and {tracking.without_password(backend)!r} is none",
            hint=f"export {BACKEND}=postgresql://...    (or unset KAGGLERUN_MLFLOW_URI)",
        )
    if not os.environ.get(BACKEND) and not place.workspace.mlflow_db.exists():
        tracking.prepare_database(place.workspace)
    hosts = os.environ.get(ALLOWED_HOSTS) or f"127.0.0.1:{place.port},localhost:{place.port}"
    argv = (
        *(sys.executable, "-m", "mlflow", "server", "--host", place.host, "--port", str(place.port), "--workers", "1"),
        *("--artifacts-destination", place.workspace.mlflow_artifacts.as_uri()),
        # Any other Host header is a page elsewhere that tries to read this one.
        *("--allowed-hosts", hosts),
    )
    # The database's address goes by the environment: it may hold a password, and arguments are seen by all.
    environment = {**QUIET, "PYTHONWARNINGS": "ignore", BACKEND: backend, "MLFLOW_REGISTRY_STORE_URI": backend}
    return Launch("mlflow", place.port, argv, f"http://127.0.0.1:{place.port}", environment)


def _tensorboard(place: Place) -> Launch:
    argv = (
        *(_program("tensorboard", "pip install 'kagglerun[image]'"), "--host", place.host, "--port", str(place.port)),
        *("--logdir", str(place.workspace.runs), "--load_fast=false"),
    )
    return Launch("tensorboard", place.port, argv, f"http://127.0.0.1:{place.port}")


def _program(name: str, install: str) -> str:
    """A program beside this Python, or on the path, or where Debian keeps servers."""
    places = (str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath), "/usr/sbin")
    found = shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        raise ImageError(f"{name} is not installed", hint=install)
    return found


SERVICES = {
    service.name: service
    for service in (
        Service("jupyter", 8888, "/api", "its token", _jupyter),
        Service("ssh", 2222, None, "your key", _ssh),
        Service("mlflow", 5000, "/health", None, _mlflow),
        Service("tensorboard", 6006, "/", None, _tensorboard),
    )
}
"""The services by name, with the ports that they take in the image."""

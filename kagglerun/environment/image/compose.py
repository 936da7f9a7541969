"""The services side by side, by the compose.yaml beside this package."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kagglerun.environment.image.container import Container
from kagglerun.environment.image.engines import find_engine
from kagglerun.environment.image.ports import choose_ports, read_ports
from kagglerun.environment.image.run import (
    CREDENTIALS,
    RESERVATIONS,
    Wishes,
    run_to_its_end,
    running_container,
    service_container_name,
    workspace_container,
)
from kagglerun.environment.image.services import SERVICES, TOKEN, find_services
from kagglerun.environment.image.session import service_addresses, service_environment
from kagglerun.environment.image.sshd import KEYS
from kagglerun.errors import ImageError
from kagglerun.files import read_json, write_json
from kagglerun.jobs.reservations import OWNER
from kagglerun.workspace import Workspace

_FOLDER = Path(__file__).parent.parent
COMPOSE_FILE = _FOLDER / "compose.yaml"
GPU_FILE = _FOLDER / "compose.gpu.yaml"


@dataclass(frozen=True)
class ComposeCall:
    """A call of compose.

    Attributes:
        argv: its command; holds no secret.
        told: variables of compose.yaml without secrets.
        hidden: those with secrets.
        addresses: how each service is reached.
    """

    argv: tuple[str, ...]
    told: Mapping[str, str]
    hidden: Mapping[str, str] = field(repr=False)
    addresses: tuple[str, ...] = field(default=(), repr=False)


def find_compose(wanted: str | None = None) -> tuple[str, ...]:
    """The command of a compose that works here: docker's plugin, podman's, or one of the programs of their own.

    Args:
        wanted: docker or podman; None takes the first.

    Raises:
        ImageError: there is none.
    """
    for words in (("docker", "compose"), ("podman", "compose"), ("docker-compose",), ("podman-compose",)):
        program = shutil.which(words[0])
        if program is None or (wanted is not None and not words[0].startswith(wanted)):
            continue
        command = (program, *words[1:])
        version = subprocess.run([*command, "version"], capture_output=True, stdin=subprocess.DEVNULL, check=False)
        if version.returncode == 0:
            return command
    raise ImageError(
        "no compose works here; `kagglerun image run jupyter ssh` needs none",
        hint="apt-get install docker-compose-plugin    (or podman-compose)",
    )


def call_for(
    compose: Sequence[str],
    words: Sequence[str],
    workspace: Workspace,
    wishes: Wishes,
    ports: Sequence[str],
    key: Path | None,
) -> ComposeCall:
    """The call for a workspace. While its services run they keep their ports and their token.

    Args:
        compose: the command that `find_compose` found.
        words: what compose shall do, e.g. `up --detach`.
        workspace: whose services.
        wishes: about the containers.
        ports: `SERVICE=PORT` words.
        key: public keys for SSH; None takes those of ~/.ssh.

    Raises:
        ConfigError: something that was typed cannot be meant, or there is no key.
        ImageError: a port is taken.
    """
    program = engine_program(compose)
    running = None if program is None else running_container(program, workspace)
    known = {**os.environ, TOKEN: token_of(program, running) or ""} if program and running else os.environ
    environment = service_environment(find_services(SERVICES), key, known)
    container = workspace_container(workspace, wishes, (), environment)
    chosen = compose_ports(workspace, ports, running is not None)
    files = [COMPOSE_FILE, *([GPU_FILE] if container.gpus else [])]
    argv = (
        *(*compose, "--project-name", service_container_name(workspace)),
        *(word for file in files for word in ("--file", str(file))),
        *words,
    )
    hidden = {name: environment[name] for name in (TOKEN, KEYS)}
    addresses = tuple(service_addresses(find_services(SERVICES), chosen, environment))
    return ComposeCall(argv, _told(container, workspace, chosen), hidden, addresses)


def execute_call(call: ComposeCall) -> int:
    """Run it on this terminal; its exit code."""
    return run_to_its_end(call.argv, {**os.environ, **call.told, **call.hidden})


def known_digest(image: str) -> str | None:
    """Digest of the image where it is here already; compose fetches one that is not."""
    try:
        return find_engine().inspect(image).digest
    except ImageError:
        return None


def engine_program(compose: Sequence[str]) -> str | None:
    """The docker or podman under a compose; None where it does not answer, or is not there."""
    program = shutil.which("docker" if "docker" in Path(compose[0]).name else "podman")
    if program is None:
        return None
    answer = subprocess.run([program, "ps", "-q"], capture_output=True, stdin=subprocess.DEVNULL, check=False)
    return None if answer.returncode else program


def compose_ports(workspace: Workspace, words: Sequence[str], running: bool) -> dict[str, int]:
    """The ports of the services: those they have while they run, free ones when they are started.

    Args:
        workspace: whose services.
        words: `SERVICE=PORT` words.
        running: whether they run.

    Raises:
        ConfigError: a port cannot be meant.
        ImageError: a port is taken.
    """
    services, note = find_services(SERVICES), workspace.image / "compose.json"
    if running and note.is_file():
        return {**{name: int(port) for name, port in read_json(note).items()}, **read_ports(words, services)}
    ports = choose_ports(services, read_ports(words, services))
    write_json(note, ports)
    return ports


def token_of(program: str, name: str) -> str | None:
    """The token that Jupyter in a running container wants; None where it does not say.

    Args:
        program: docker or podman.
        name: of the container.
    """
    command = [program, "exec", name, "printenv", TOKEN]
    answer = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    return answer.stdout.strip() or None


def _told(container: Container, workspace: Workspace, ports: Mapping[str, int]) -> dict[str, str]:
    """The variables of compose.yaml that are no secrets."""
    passed_on = ("KAGGLERUN_IMAGE_DIGEST", OWNER)
    known = {name: value for name, value in container.environment.items() if name in passed_on}
    return {
        **known,
        "KAGGLERUN_IMAGE": container.image,
        "KAGGLERUN_KEY": container.key,
        "KAGGLERUN_USER": f"{container.user[0]}:{container.user[1]}",
        "KAGGLERUN_SHM_SIZE": str(container.shm_bytes),
        **_sources(container, workspace),
        **{f"KAGGLERUN_{name.upper()}_PORT": str(port) for name, port in ports.items()},
    }


def _sources(container: Container, workspace: Workspace) -> dict[str, str]:
    """What is mounted. Where there are no Kaggle credentials, their place in the home folder is laid over itself."""
    by_target = {mount.target: str(mount.source) for mount in container.mounts}
    reserved = by_target.get(RESERVATIONS)
    return {
        **({} if reserved is None else {"KAGGLERUN_RESERVED": reserved}),
        "KAGGLERUN_WORKSPACE": str(workspace.root),
        "KAGGLERUN_ACCOUNTS": by_target["/etc/passwd"],
        "KAGGLERUN_GROUPS": by_target["/etc/group"],
        "KAGGLERUN_CREDENTIALS": by_target.get(CREDENTIALS, str(workspace.image_home / ".kaggle")),
    }

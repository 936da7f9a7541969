"""Running services or a command on a workspace in a container: from what the user typed to the engine's command."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from kagglerun.environment.image.container import WORKSPACE, Container, Plan, buildah_plan, docker_plan, podman_plan
from kagglerun.environment.image.engines import Engine
from kagglerun.environment.image.gate import open_gate
from kagglerun.environment.image.ports import choose_ports, read_ports
from kagglerun.environment.image.public import Exposure, check_exposure, openings
from kagglerun.environment.image.run import (
    Wishes,
    container_user,
    execute,
    has_nvidia_gpu,
    running_container,
    service_container_name,
    workspace_container,
)
from kagglerun.environment.image.secret_variables import variables_file
from kagglerun.environment.image.services import ALLOWED_HOSTS, SERVICES, TOKEN, Service, check_token, find_services
from kagglerun.environment.image.sshd import KEYS, usable_keys
from kagglerun.errors import ConfigError, ImageError
from kagglerun.workspace import Workspace

_TOOLKIT = ("nvidia-container-runtime", "nvidia-container-cli", "nvidia-ctk")
_OWN_KEYS = ("authorized_keys", "id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub")


@dataclass(frozen=True)
class Request:
    """What the user typed.

    Attributes:
        what: names of services, or a command.
        wishes: about the container.
        ports: `SERVICE=PORT` words.
        key_file: public keys for SSH; None takes those of ~/.ssh.
        detach: return at once.
        exposure: what --public opens; None for loopback only.
        only_print: show the commands, run none.
    """

    what: tuple[str, ...]
    wishes: Wishes
    ports: tuple[str, ...] = ()
    key_file: Path | None = None
    detach: bool = False
    exposure: Exposure | None = None
    only_print: bool = False

    @property
    def services(self) -> list[Service]:
        """The services that are meant; none where it is a command.

        Raises:
            ConfigError: options stand behind a service, where they would be taken for a command's.
        """
        if self.what[0] not in SERVICES:
            return []
        for word in self.what:
            if word.startswith("-"):
                raise ConfigError(
                    f"{word} stands behind {self.what[0]}: options come first",
                    hint=f"kagglerun image run {word} ... {self.what[0]}",
                )
        return find_services(self.what)


def check_request(request: Request, workspace: Workspace) -> None:
    """Refuse what cannot be meant, before an engine is looked for.

    Raises:
        ConfigError: something that was typed cannot be meant.
        ImageError: the container would be root.
        PublicRefused: it is not to be opened like this.
    """
    services = request.services
    if request.ports and not services:
        raise ConfigError("--port is for services", hint="kagglerun image run --port jupyter=8890 jupyter")
    read_ports(request.ports, services)
    container_user(workspace, request.wishes.user)
    if request.exposure is None:
        return
    if not services:
        hint = "kagglerun image run --public --from RANGE --key FILE ssh"
        raise ConfigError("--public opens services, not commands", hint=hint)
    check_exposure(request.exposure, services, os.environ)


@dataclass(frozen=True)
class Session:
    """A workspace, an engine, and somebody who is told what happens.

    Attributes:
        workspace: what is mounted.
        engine: what runs containers.
        tell: called with each line for the user.
    """

    workspace: Workspace
    engine: Engine
    tell: Callable[[str], None]

    def run(self, request: Request) -> int:
        """Run it to its end, or until it is detached.

        Args:
            request: checked by `check_request`.

        Returns:
            The container's exit code.

        Raises:
            ImageError: it cannot be started, or the services run already.
            ConfigError: there is no key for SSH, or a variable that shall be passed on is not set.
        """
        services = request.services
        running = self.running(request)
        if running is None:
            return self._start(request, services)
        if services:
            raise ImageError(
                f"container {running} runs on this workspace already",
                hint=f"kagglerun image shell    (or: {self.engine.name} stop {running})",
            )
        return self._execute(request, Plan(self._into(running, request)), os.environ)

    def running(self, request: Request) -> str | None:
        """Name of the workspace's container that runs; None where there is none, or the engine cannot be asked."""
        if self.engine.name == "buildah" or (request.only_print and not self._answers()):
            return None
        return running_container(self.engine.program, self.workspace)

    def _answers(self) -> bool:
        """Whether the engine can be asked; what it would be told can be printed all the same."""
        try:
            self.engine.ready()
        except ImageError:
            return False
        return True

    def _into(self, name: str, request: Request) -> tuple[str, ...]:
        """The command that runs in a container that is there."""
        how = ("--detach",) if request.detach else ("--interactive", "--tty") if _is_terminal() else ()
        return (self.engine.program, "exec", *how, "--workdir", WORKSPACE, name, *request.what)

    def _start(self, request: Request, services: Sequence[Service]) -> int:
        environment = service_environment(services, request.key_file, os.environ)
        ports = choose_ports(services, read_ports(request.ports, services))
        made = workspace_container(self.workspace, request.wishes, self._command(request, services, ports), environment)
        container = replace(
            made,
            environment={**made.environment, **_allowed_hosts(ports)},
            ports={} if self._on_host_network() else {service.port: ports[service.name] for service in services},
            name=service_container_name(self.workspace) if services else None,
            detached=request.detach,
            terminal=_is_terminal() and not request.detach,
        )
        self._warn(container)
        with ExitStack() as lasting:
            plan = self._plan(container, environment, lasting)
            if request.exposure is not None:
                self._open(request.exposure, services, ports, request.only_print, lasting)
            for line in service_addresses(services, ports, environment):
                self.tell(line)
            return self._execute(request, plan, environment)

    def _command(self, request: Request, services: Sequence[Service], ports: Mapping[str, int]) -> tuple[str, ...]:
        if not services:
            return ("kagglerun", "image", "attend", *request.what)
        names = [service.name for service in services]
        if not self._on_host_network():
            return ("kagglerun", "image", "serve", *names, "--quiet")
        told = [f"--port={name}={ports[name]}" for name in names]
        return ("kagglerun", "image", "serve", *names, "--quiet", "--host=127.0.0.1", *told)

    def _on_host_network(self) -> bool:
        return self.engine.name == "buildah"

    def _plan(self, container: Container, environment: Mapping[str, str], lasting: ExitStack) -> Plan:
        program = self.engine.program
        if self.engine.name == "docker":
            return docker_plan(container, program)
        if self.engine.name == "podman":
            return podman_plan(container, program, rootless=os.geteuid() != 0)
        if container.detached:
            raise ImageError("buildah's containers end with its command", hint="tmux, without --detach")
        values = {name: environment[name] for name in container.passed}
        file = lasting.enter_context(variables_file(values, container.user))
        return buildah_plan(container, program, f"{container.name or 'kagglerun'}-{secrets.token_hex(4)}", file)

    def _open(
        self,
        exposure: Exposure,
        services: Sequence[Service],
        ports: Mapping[str, int],
        only_print: bool,
        lasting: ExitStack,
    ) -> None:
        """Open the gate, and say to whom and what."""
        opened, fingerprint = lasting.enter_context(openings(exposure, services, ports))
        if not only_print:
            lasting.enter_context(open_gate(opened))
        who = " and ".join(exposure.networks)
        self.tell(f"--public opens to {who}, while this command runs:")
        for service, opening in zip(services, opened, strict=True):
            how = (
                f"https://{opening.host}:{opening.port}" if opening.tls else f"ssh -p {opening.port} on {opening.host}"
            )
            self.tell(f"  {service.name}: {how}, for whoever has {service.login}")
        if fingerprint:
            self.tell(f"  the certificate's SHA-256 fingerprint: {fingerprint}")

    def _warn(self, container: Container) -> None:
        if container.gpus is None:
            return
        if self.engine.name == "buildah":
            self.tell("warning: buildah passes no GPUs on; docker and podman do")
        elif has_nvidia_gpu() and not any(map(shutil.which, _TOOLKIT)):
            self.tell("warning: NVIDIA's container toolkit is missing; without it no container sees a GPU")

    def _execute(self, request: Request, plan: Plan, environment: Mapping[str, str]) -> int:
        for command in plan.commands:
            self.tell(f"$ {shlex.join(command)}")
        return 0 if request.only_print else execute(plan, environment)


def service_environment(
    services: Sequence[Service], key_file: Path | None, environment: Mapping[str, str]
) -> dict[str, str]:
    """This process's environment with the token and the keys that the services want.

    Raises:
        ConfigError: the token is weak, or there is no key.
    """
    made = dict(environment)
    names = [service.name for service in services]
    if "jupyter" in names:
        made[TOKEN] = check_token(made[TOKEN]) if made.get(TOKEN) else secrets.token_hex(32)
    if "ssh" in names and (key_file is not None or not made.get(KEYS)):
        made[KEYS] = _keys(key_file, Path(environment.get("HOME", "/")) / ".ssh")
    return made


def _keys(file: Path | None, folder: Path) -> str:
    """Public keys, one a line: those of the file, or of the first of the user's files that has some."""
    for place in [file] if file else [folder / name for name in _OWN_KEYS]:
        if place.is_file() and (keys := usable_keys(place.read_text("utf-8", errors="replace"))):
            return "\n".join(keys)
    looked = str(file) if file else f"{folder} ({', '.join(_OWN_KEYS)})"
    raise ConfigError(f"SSH wants a public key, and there is none in {looked}", hint="ssh-keygen -t ed25519")


def service_addresses(
    services: Sequence[Service], ports: Mapping[str, int], environment: Mapping[str, str]
) -> Iterator[str]:
    """How each service is reached from this machine; a token that was made here is said once, here."""
    for service in services:
        port = ports[service.name]
        if service.name == "ssh":
            yield f"ssh: ssh -p {port} kagglerun@127.0.0.1"
        elif service.name == "jupyter":
            brought = os.environ.get(TOKEN)
            yield f"jupyter: http://127.0.0.1:{port}/lab" + ("" if brought else f"?token={environment[TOKEN]}")
        else:
            yield f"{service.name}: http://127.0.0.1:{port}"


def _allowed_hosts(ports: Mapping[str, int]) -> dict[str, str]:
    """MLflow answers to the names under which this machine's browser knows it."""
    if "mlflow" not in ports:
        return {}
    return {ALLOWED_HOSTS: f"127.0.0.1:{ports['mlflow']},localhost:{ports['mlflow']}"}


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()

"""A container as an engine's command line: what is mounted, published, passed on.

Values that may be secret are passed by the names of environment variables, so that no list of processes, no shell
history and no printed command holds them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kagglerun.environment.image.secret_variables import SECRETS_FILE
from kagglerun.errors import ImageError

WORKSPACE = "/workspace"
LABEL = "kagglerun.workspace"
_SECONDS_TO_STOP = 45
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Mount:
    """A file or folder of this machine in a container.

    Attributes:
        source: here.
        target: there.
        read_only: the container cannot write it.
    """

    source: Path
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class Container:
    """What a container is started with.

    Attributes:
        image: its image.
        command: what runs in it.
        key: of the workspace, the same for all of its containers.
        user: user id and group id.
        mounts: what it sees of this machine.
        environment: variables with their values; no secrets.
        passed: variables that get the values they have in the engine's own environment.
        ports: port of this machine's loopback by port in the container.
        name: so that it is found again; None where several may run.
        gpus: `all`, or indices and UUIDs with commas between them; None for no GPU.
        shm_bytes: size of /dev/shm, through which loader workers hand over batches.
        detached: the engine's command returns at once.
        terminal: a person types into it.
    """

    image: str
    command: tuple[str, ...]
    key: str
    user: tuple[int, int]
    mounts: tuple[Mount, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    passed: tuple[str, ...] = ()
    ports: Mapping[int, int] = field(default_factory=dict)
    name: str | None = None
    gpus: str | None = None
    shm_bytes: int = 1 << 30
    detached: bool = False
    terminal: bool = False


@dataclass(frozen=True)
class Plan:
    """The commands that run a container, in order.

    Attributes:
        before: to be run first.
        run: the container itself.
        after: to be run in any case, once `before` has begun.
    """

    run: tuple[str, ...]
    before: tuple[tuple[str, ...], ...] = ()
    after: tuple[tuple[str, ...], ...] = ()

    @property
    def commands(self) -> tuple[tuple[str, ...], ...]:
        """All of them."""
        return (*self.before, self.run, *self.after)


def docker_plan(container: Container, program: str = "docker") -> Plan:
    """The command for docker."""
    gpus = () if container.gpus is None else ("--gpus", _docker_gpus(container.gpus))
    return Plan((program, "run", *_shared(container), *gpus, container.image, *container.command))


def podman_plan(container: Container, program: str = "podman", rootless: bool = True) -> Plan:
    """The command for podman, whose containers see GPUs by CDI names.

    Args:
        container: what to run.
        program: podman.
        rootless: podman is called by a user, who is the same user inside then.
    """
    gpus = [] if container.gpus is None else container.gpus.split(",")
    own = (
        *(("--userns=keep-id",) if rootless else ()),
        *("--security-opt", "label=disable"),  # no relabelling of the user's files under SELinux
        *(word for gpu in gpus for word in ("--device", f"nvidia.com/gpu={gpu}")),
    )
    return Plan((program, "run", *_shared(container), *own, container.image, *container.command))


def buildah_plan(container: Container, program: str, name: str, secrets: Path | None) -> Plan:
    """The commands for buildah, which starts containers on the host's network and without a daemon.

    Args:
        container: what to run; ports are those of the host.
        program: buildah.
        name: of the container that is made and removed.
        secrets: file with the variables that are passed on, which buildah's command line cannot name.

    Raises:
        ImageError: a path cannot be written on buildah's command line.
    """
    given = () if secrets is None else (Mount(secrets, SECRETS_FILE, read_only=True),)
    run = (
        *(program, "run", "--isolation", "chroot", "--workingdir", WORKSPACE),
        *("--user", f"{container.user[0]}:{container.user[1]}"),
        *(("--terminal",) if container.terminal else ()),
        *(word for mount in (*container.mounts, *given) for word in ("--mount", _buildah_mount(mount))),
        *_environment(container, passed=()),
        *(name, "--", *container.command),
    )
    before = (program, "from", "--pull-never", "--name", name, container.image)
    return Plan(run, before=(before,), after=((program, "rm", name),))


def _shared(container: Container) -> tuple[str, ...]:
    """What docker and podman call the same."""
    return (
        "--rm",
        *(("--detach",) if container.detached else ()),
        *(("--interactive", "--tty") if container.terminal else ()),
        *(("--name", container.name) if container.name else ()),
        *("--label", f"{LABEL}={container.key}"),
        *("--user", f"{container.user[0]}:{container.user[1]}"),
        *("--workdir", WORKSPACE),
        *_mounts(container),
        *_environment(container, container.passed),
        *(word for inside, here in container.ports.items() for word in ("--publish", f"{_LOOPBACK}:{here}:{inside}")),
        *("--shm-size", str(container.shm_bytes)),
        *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
        *("--stop-timeout", str(_SECONDS_TO_STOP)),
    )


def _mounts(container: Container) -> list[str]:
    return [word for mount in container.mounts for word in ("--mount", _mount(mount))]


def _mount(mount: Mount) -> str:
    """One line of CSV, as the engines read it: a path may hold commas and quotes."""
    fields = ["type=bind", f"src={mount.source}", f"dst={mount.target}", *(["readonly"] if mount.read_only else [])]
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(fields)
    return line.getvalue()


def _buildah_mount(mount: Mount) -> str:
    """The same without quotes, which buildah does not read; without `rw` its mounts are read-only."""
    text = _mount(mount) if mount.read_only else f"{_mount(mount)},rw"
    if '"' in text:
        raise ImageError(f"buildah cannot mount {mount.source}: its name holds a comma or a quote", hint="use podman")
    return text


def _environment(container: Container, passed: tuple[str, ...]) -> list[str]:
    told = [f"{name}={value}" for name, value in container.environment.items()]
    return [word for entry in (*told, *passed) for word in ("--env", entry)]


def _docker_gpus(gpus: str) -> str:
    """`all`, or a device list, which is itself a field of CSV and so needs quotes of its own."""
    return "all" if gpus == "all" else f'"device={gpus}"'

"""Containers of a workspace: what they get of this machine, whether one runs, and running one to its end."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from kagglerun.environment.image.container import LABEL, WORKSPACE, Container, Mount, Plan
from kagglerun.environment.image.services import TOKEN
from kagglerun.environment.image.sshd import KEYS
from kagglerun.errors import ConfigError, ImageError
from kagglerun.files import write_text
from kagglerun.jobs.reservations import OWNER, owner_here
from kagglerun.jobs.shared_folder import FOLDER, made_shared_folder
from kagglerun.workspace import Workspace

HOME = f"{WORKSPACE}/.kagglerun/home"
CREDENTIALS = f"{HOME}/.kaggle"
USER = "kagglerun"
RESERVATIONS = "/run/lock/kagglerun"
_KAGGLE = Path(".kaggle")
_PASSED = (
    *("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY"),
    *("KAGGLERUN_MLFLOW_URI", "KAGGLERUN_STUDIES_URL", "KAGGLERUN_NOTIFY_WEBHOOK"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"),
    *("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy", "TZ"),
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_GPUS = re.compile(r"all|none|[A-Za-z0-9:-]+(,[A-Za-z0-9:-]+)*")
_USER = re.compile(r"\d{1,9}(:\d{1,9})?")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)
_FACTORS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_NVIDIA_DEVICES = (Path("/dev/nvidiactl"), Path("/dev/dxg"))


@dataclass(frozen=True)
class Wishes:
    """What the user says about a container.

    Attributes:
        image: its image.
        digest: of the image, for the fingerprints of runs; None when it is not known.
        gpus: `all`, indices or UUIDs with commas, or `none`; None takes all when there are some.
        shm_size: size of /dev/shm, e.g. `16g`; None takes half of the memory, as Linux does outside.
        user: `UID` or `UID:GID`; None takes the owner of the workspace's folder.
        variables: further variables that are passed on, by name.

    Raises:
        ConfigError: a size, user, GPU or variable cannot be meant.
    """

    image: str
    digest: str | None = None
    gpus: str | None = None
    shm_size: str | None = None
    user: str | None = None
    variables: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.shm_size is not None:
            read_size(self.shm_size)
        if self.gpus is not None and not _GPUS.fullmatch(self.gpus):
            raise ConfigError(
                f"--gpus {self.gpus!r} is not a choice of GPUs", hint="--gpus all, --gpus none, --gpus 0,1"
            )
        if self.user is not None and not _USER.fullmatch(self.user):
            raise ConfigError(f"--user {self.user!r} is not UID or UID:GID", hint="--user 1000:1000")
        for name in self.variables:
            if not _VARIABLE.fullmatch(name):
                raise ConfigError(
                    f"--env {name.partition('=')[0]!r}: name the variable only; everybody here would see its value",
                    hint="export NAME=value, then --env NAME",
                )


def workspace_container(
    workspace: Workspace, wishes: Wishes, command: Sequence[str], environment: Mapping[str, str]
) -> Container:
    """A container that sees this workspace as /workspace, its user's Kaggle credentials, and nothing else.

    Files that it writes belong to the workspace's owner. Its home folder is in the workspace, so that the next
    container has the same SSH host key, shell history and settings of Jupyter.

    Args:
        workspace: what is mounted.
        wishes: what the user says.
        command: what runs.
        environment: this process's, for what is passed on.

    Raises:
        ConfigError: a variable that shall be passed on is not set.
        ImageError: the container would have to be root.
        JobError: the folder of the GPUs' reservations cannot be made.
    """
    user = container_user(workspace, wishes.user)
    told = {"HOME": HOME, "USER": USER, "LOGNAME": USER, "KAGGLERUN_WORKSPACE": WORKSPACE}
    if wishes.digest:
        told["KAGGLERUN_IMAGE_DIGEST"] = wishes.digest
    if "TERM" in environment:
        told["TERM"] = environment["TERM"]
    gpus, mounts = _gpus(wishes.gpus), _mounts(workspace, user, environment)
    if gpus is not None:
        # Inside, too, work keeps away from what others reserved, and knows what its own user did.
        told |= {FOLDER: RESERVATIONS, OWNER: owner_here()}
        mounts = (*mounts, Mount(made_shared_folder(), RESERVATIONS))
    return Container(
        image=wishes.image,
        command=tuple(command),
        key=workspace_key(workspace),
        user=user,
        mounts=mounts,
        environment=told,
        passed=_passed(wishes.variables, environment),
        gpus=gpus,
        shm_bytes=read_size(wishes.shm_size) if wishes.shm_size else psutil.virtual_memory().total // 2,
    )


def workspace_key(workspace: Workspace) -> str:
    """What tells the containers of this workspace from others, as a label's value and in names."""
    readable = re.sub(r"[^a-z0-9]+", "-", workspace.root.name.lower()).strip("-")[:32] or "workspace"
    return f"{readable}-{hashlib.sha256(os.fsencode(workspace.root)).hexdigest()[:8]}"


def service_container_name(workspace: Workspace) -> str:
    """Name of the one container that runs the workspace's services."""
    return f"kagglerun-{workspace_key(workspace)}"


def running_container(program: str, workspace: Workspace) -> str | None:
    """Name of a container of this workspace that runs: that of the services before others.

    Args:
        program: docker or podman.
        workspace: whose container.

    Raises:
        ImageError: the engine does not answer.
    """
    command = [program, "ps", "--filter", f"label={LABEL}={workspace_key(workspace)}", "--format", "{{.Names}}"]
    answer = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if answer.returncode:
        said = answer.stderr.strip().splitlines() or [f"exit code {answer.returncode}"]
        raise ImageError(f"{Path(program).name} does not answer: {said[-1]}", hint=f"{Path(program).name} info")
    names = answer.stdout.split()
    preferred = service_container_name(workspace)
    return preferred if preferred in names else next(iter(names), None)


def execute(plan: Plan, environment: Mapping[str, str]) -> int:
    """Run a plan's commands on this terminal.

    Returns:
        The container's exit code.

    Raises:
        ImageError: a command before it failed.
    """
    try:
        for command in plan.before:
            if subprocess.run(command, env=environment, check=False, stdout=subprocess.DEVNULL).returncode:
                raise ImageError(f"{' '.join(command[:2])} failed; what it said stands above")
        return run_to_its_end(plan.run, environment)
    finally:
        for command in plan.after:
            subprocess.run(command, env=environment, check=False, stdout=subprocess.DEVNULL)


def run_to_its_end(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Wait for the engine, which hands Ctrl-C and SIGTERM on: what is in the container saves before it ends."""
    process = subprocess.Popen(command, env=environment)
    before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue
    finally:
        signal.signal(signal.SIGTERM, before)


def read_size(text: str) -> int:
    """Bytes of `16g`, `512m`, `1.5GiB`.

    Raises:
        ConfigError: it is no size, or none at all.
    """
    found = _SIZE.fullmatch(text.strip())
    size = int(float(found[1]) * _FACTORS[found[2].lower()]) if found else 0
    if size < 1 << 20:
        raise ConfigError(f"--shm-size {text!r} is not a size of at least 1m", hint="--shm-size 16g")
    return size


def has_nvidia_gpu() -> bool:
    """Whether the NVIDIA driver (or that of WSL) shows a device here."""
    return any(device.exists() for device in _NVIDIA_DEVICES)


def _gpus(wanted: str | None) -> str | None:
    if wanted is None:
        return "all" if has_nvidia_gpu() else None
    return None if wanted == "none" else wanted


def container_user(workspace: Workspace, wanted: str | None) -> tuple[int, int]:
    """User id and group id of the containers of a workspace.

    Args:
        workspace: whose owner it is, unless
        wanted: says `UID` or `UID:GID`.

    Raises:
        ImageError: it would be root.
    """
    if wanted is None:
        owner = workspace.root.stat()
        uid, gid = owner.st_uid, owner.st_gid
    else:
        first, _, second = wanted.partition(":")
        uid, gid = int(first), int(second or first)
    if uid == 0:
        raise ImageError(
            f"{workspace.root} belongs to root, and nothing in the container runs as root",
            hint=f"chown -R 1000:1000 {workspace.root}",
        )
    return uid, gid


def _mounts(workspace: Workspace, user: tuple[int, int], environment: Mapping[str, str]) -> tuple[Mount, ...]:
    """The workspace; names for its owner's ids, without which SSH and others refuse; Kaggle's credentials."""
    uid, gid = user
    home = workspace.image_home
    _make_folders([workspace.state, workspace.image, home, home / _KAGGLE], user)
    home.chmod(0o700)
    accounts, groups = workspace.image / "passwd", workspace.image / "group"
    write_text(accounts, f"root:x:0:0:root:/root:/bin/sh\n{USER}:x:{uid}:{gid}:kagglerun:{HOME}:/bin/bash\n")
    write_text(groups, f"root:x:0:\n{USER}:x:{gid}:\n" if gid else "root:x:0:\n")
    mounts = [
        Mount(workspace.root, WORKSPACE),
        Mount(accounts, "/etc/passwd", read_only=True),
        Mount(groups, "/etc/group", read_only=True),
    ]
    credentials = Path(environment.get("KAGGLE_CONFIG_DIR") or Path(environment.get("HOME", "/")) / _KAGGLE)
    if credentials.is_dir():
        mounts.append(Mount(credentials, CREDENTIALS, read_only=True))
    return tuple(mounts)


def _make_folders(folders: Sequence[Path], user: tuple[int, int]) -> None:
    """Make those that are missing; root, who may, gives them to the container's user."""
    for folder in folders:
        if not folder.is_dir():
            folder.mkdir(parents=True)
            if os.geteuid() == 0:
                os.chown(folder, *user)


def _passed(wanted: Sequence[str], environment: Mapping[str, str]) -> tuple[str, ...]:
    for name in wanted:
        if name not in environment:
            raise ConfigError(f"--env {name}: the variable is not set", hint=f"export {name}=...")
    known = [name for name in (*_PASSED, TOKEN, KEYS) if environment.get(name)]
    return tuple(dict.fromkeys([*known, *wanted]))

"""`kagglerun image run` by podman and buildah themselves, with a small image in place of the real one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.environment.image.made_services import PUBLIC_KEY, Someone, kagglerun, need, somebody

pytestmark = pytest.mark.image

_IMAGE = "localhost/kagglerun-toy"
# What the image's kagglerun does here: says how it was started, and stays when it serves.
_KAGGLERUN = """#!/bin/sh
{ echo "arguments $*"; echo "user $(id -u):$(id -g) $(whoami)"; env; grep ^Cap /proc/self/status; } >"/workspace/said"
[ "$2" = attend ] && { shift 2; exec "$@"; }
[ "$2" = serve ] && { trap 'touch /workspace/ended; exit 0' TERM; while :; do sleep 0.1; done; }
"""
_PROGRAMS = ("sh", "id", "env", "cat", "grep", "sleep", "touch", "whoami", "df", "stat", "test", "ls", "sort")


@dataclass(frozen=True)
class _Machine:
    """A store of images with the toy in it, and the workspace of somebody who is not root."""

    someone: Someone
    environment: dict[str, str]

    def image(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """`kagglerun image ...` as root calls it on a rented machine."""
        environment = {**self.environment, **more}
        return subprocess.run(
            kagglerun("image", *words), env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    @property
    def said(self) -> list[str]:
        """What the image's kagglerun said last."""
        return (self.someone.workspace / "said").read_text().splitlines()


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Machine]:
    """A machine with engines."""
    need("buildah", "busybox")
    if "not a dynamic executable" not in _output(["ldd", shutil.which("busybox") or "busybox"]):
        pytest.skip("busybox is not the static one: apt-get install busybox-static")
    with somebody() as someone:
        folder = tmp_path_factory.mktemp("engines")
        environment = {**os.environ, **_settings(folder), "KAGGLERUN_WORKSPACE": str(someone.workspace)}
        _make_image(folder / "root", environment)
        yield _Machine(someone, environment)


def _settings(folder: Path) -> dict[str, str]:
    """A store of its own, and what containers in a container need."""
    storage = f'[storage]\ndriver = "vfs"\ngraphroot = "{folder}/graph"\nrunroot = "{folder}/run"\n'
    limits = '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\n'
    (folder / "storage.conf").write_text(storage)
    (folder / "containers.conf").write_text(
        f'{limits}[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
    )
    return {
        "CONTAINERS_CONF": str(folder / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
        "BUILDAH_ISOLATION": "chroot",
    }


def _make_image(root: Path, environment: dict[str, str]) -> None:
    for part in ("bin", "etc", "tmp", "workspace", "run"):
        (root / part).mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "busybox", root / "bin/busybox")
    for name in _PROGRAMS:
        (root / "bin" / name).symlink_to("busybox")
    (root / "bin/kagglerun").write_text(_KAGGLERUN)
    (root / "bin/kagglerun").chmod(0o755)
    (root / "tmp").chmod(0o1777)
    for words in (
        ("from", "--name", "toy", "scratch"),
        ("copy", "toy", str(root), "/"),
        ("commit", "--quiet", "toy", _IMAGE),
        ("rm", "toy"),
    ):
        subprocess.run(["buildah", *words], env=environment, check=True, capture_output=True)


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def _need_engine(name: str, machine: _Machine) -> None:
    need(name)
    if name == "podman":
        words = ["podman", "run", "--rm", "--user", "1:1", _IMAGE, "id"]
        tried = subprocess.run(words, env=machine.environment, capture_output=True, text=True, check=False)
        if tried.returncode:
            pytest.skip(f"podman starts no containers here: {tried.stderr.strip().splitlines()[-1]}")


@pytest.fixture(params=["podman", "buildah"])
def engine(request: pytest.FixtureRequest, machine: _Machine) -> str:
    """An engine that works here."""
    _need_engine(request.param, machine)
    return str(request.param)


def test_a_command_runs_as_the_workspaces_owner_with_its_secrets_and_its_exit_code(
    machine: _Machine, engine: str
) -> None:
    command = ("sh", "-c", 'echo "got $KAGGLE_API_TOKEN"; touch "/workspace/a file"; exit 7')
    done = machine.image("run", "--engine", engine, "--image", _IMAGE, *command, KAGGLE_API_TOKEN="sesame 'q'")
    assert done.returncode == 7, done.stderr
    # The toy does not take up buildah's file of variables; what it holds is seen below.
    assert done.stdout == ("got sesame 'q'\n" if engine == "podman" else "got \n")
    assert "sesame" not in done.stderr
    owner = (machine.someone.workspace / "a file").stat()
    uid = machine.someone.workspace.stat().st_uid
    assert (owner.st_uid, owner.st_gid) == (uid, uid)
    assert f"user {uid}:{uid} kagglerun" in machine.said
    assert "HOME=/workspace/.kagglerun/home" in machine.said
    assert any(line.startswith("KAGGLERUN_IMAGE_DIGEST=sha256:") for line in machine.said)
    assert f"arguments image attend {' '.join(command)}" in machine.said


def test_buildah_passes_the_variables_as_a_file_that_is_gone_afterwards(machine: _Machine) -> None:
    before = set(Path("/dev/shm").glob("kagglerun-*"))
    show = "cat /run/secrets/kagglerun-environment.json; stat -c %a /run/secrets/kagglerun-environment.json"
    words = ("run", "--engine", "buildah", "--image", _IMAGE, "sh", "-c", show)
    done = machine.image(*words, KAGGLE_KEY="sesame")
    assert json.loads(done.stdout.rpartition("}")[0] + "}") == {"KAGGLE_KEY": "sesame"}
    assert done.stdout.splitlines()[-1] == "400"
    assert set(Path("/dev/shm").glob("kagglerun-*")) <= before
    left = subprocess.run(["buildah", "containers", "-q"], env=machine.environment, capture_output=True, check=True)
    assert left.stdout == b""


def test_podmans_container_has_no_capabilities_and_the_shared_memory_asked_for(machine: _Machine) -> None:
    _need_engine("podman", machine)
    words = ("run", "--engine", "podman", "--image", _IMAGE, "--shm-size", "48m", "df", "-m", "/dev/shm")
    done = machine.image(*words)
    assert done.stdout.splitlines()[-1].split()[1] == "48", done.stderr
    for line in machine.said:
        if line.startswith("Cap"):
            assert int(line.split()[1], 16) == 0


def test_a_workspace_has_one_container_of_services_which_commands_run_in(machine: _Machine) -> None:
    _need_engine("podman", machine)
    option = ("--engine", "podman", "--image", _IMAGE)
    started = machine.image("run", *option, "--detach", "ssh", "jupyter", KAGGLERUN_SSH_KEYS=PUBLIC_KEY)
    assert started.returncode == 0, started.stderr
    name = started.stderr.partition("--name ")[2].split()[0]
    try:
        deadline = time.monotonic() + 60
        while not _said(machine, "arguments image serve ssh jupyter --quiet"):
            assert time.monotonic() < deadline, _output(["podman", "logs", name])
            time.sleep(0.1)
        token = next(line.partition("=")[2] for line in machine.said if line.startswith("JUPYTER_TOKEN="))
        assert f"?token={token}" in started.stderr.partition("$ ")[0]
        assert token not in started.stderr.partition("$ ")[2]
        inside = machine.image("run", *option, "sh", "-c", "echo in $HOSTNAME; id -u")
        assert f"podman exec --workdir /workspace {name}" in inside.stderr
        assert inside.stdout.split()[-1] == str(machine.someone.workspace.stat().st_uid)
        again = machine.image("run", *option, "jupyter")
        assert again.returncode == 1
        assert f"container {name} runs on this workspace already" in again.stderr
    finally:
        subprocess.run(["podman", "stop", "-t", "20", name], env=machine.environment, capture_output=True, check=False)
    assert (machine.someone.workspace / "ended").exists(), "it was killed instead of asked to end"


def _said(machine: _Machine, line: str) -> bool:
    return (machine.someone.workspace / "said").exists() and line in machine.said


def test_an_image_that_is_not_there_is_named_with_what_makes_it(machine: _Machine, engine: str) -> None:
    done = machine.image("run", "--engine", engine, "--image", "no-such-image", "id")
    assert done.returncode == 1
    assert f"{engine} has no image no-such-image" in done.stderr
    assert "kagglerun image build" in done.stderr

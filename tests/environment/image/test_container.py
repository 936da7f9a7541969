"""What containers of a workspace are started with: command lines, and what real engines make of them."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from kagglerun.environment.image.container import Container, Mount, buildah_plan, docker_plan, podman_plan
from kagglerun.environment.image.run import (
    Wishes,
    container_user,
    execute,
    read_size,
    workspace_container,
    workspace_key,
)
from kagglerun.environment.image.secret_variables import take_variables, variables_file
from kagglerun.errors import ConfigError, ImageError
from kagglerun.workspace import Workspace
from tests.environment.image.made_services import kagglerun, need

_GB = 1 << 30


@pytest.fixture
def container() -> Container:
    """A container with everything that can be said of one."""
    return Container(
        image="kagglerun:0.1.0",
        command=("kagglerun", "image", "serve", "jupyter"),
        key="home-1234",
        user=(1234, 5678),
        mounts=(
            Mount(Path('/data/my, "own" work'), "/workspace"),
            Mount(Path("/etc/x"), "/etc/passwd", read_only=True),
        ),
        environment={"HOME": "/workspace/.kagglerun/home"},
        passed=("KAGGLE_API_TOKEN",),
        ports={8888: 8890, 2222: 2222},
        name="kagglerun-home-1234",
        gpus="0,1",
        shm_bytes=16 * _GB,
    )


class _Daemon(BaseHTTPRequestHandler):
    """As much of docker's API as `docker run --detach` calls."""

    created: ClassVar[list[dict[str, Any]]] = []

    def do_HEAD(self) -> None:
        self._answer({})

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "/containers/create" in self.path:
            self.created.append({"path": self.path, **json.loads(body)})
        self._answer({"Id": "a" * 64, "Warnings": []})

    def _answer(self, value: dict[str, Any]) -> None:
        content = json.dumps(value).encode()
        self.send_response(201 if "/create" in self.path else 204 if "/start" in self.path else 200)
        self.send_header("Api-Version", "1.45")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(0 if "/start" in self.path else len(content)))
        self.end_headers()
        if self.command != "HEAD" and "/start" not in self.path:
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """Stands for docker's daemon; what containers it was asked to create."""
    need("docker")
    _Daemon.created = []
    with ThreadingHTTPServer(("127.0.0.1", 0), _Daemon) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_address[1]}")
        yield _Daemon.created
        server.shutdown()
        thread.join()


def test_docker_understands_every_option(container: Container, daemon: list[dict[str, Any]]) -> None:
    plan = docker_plan(replace(container, detached=True))
    assert execute(plan, {**os.environ, "KAGGLE_API_TOKEN": "sesame"}) == 0
    asked = daemon[0]
    host = asked["HostConfig"]
    assert "name=kagglerun-home-1234" in asked["path"]
    assert asked["User"] == "1234:5678"
    assert set(asked["Env"]) == {"HOME=/workspace/.kagglerun/home", "KAGGLE_API_TOKEN=sesame"}
    assert [(mount["Source"], mount["Target"], mount.get("ReadOnly", False)) for mount in host["Mounts"]] == [
        ('/data/my, "own" work', "/workspace", False),
        ("/etc/x", "/etc/passwd", True),
    ]
    assert host["PortBindings"] == {
        "8888/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8890"}],
        "2222/tcp": [{"HostIp": "127.0.0.1", "HostPort": "2222"}],
    }
    assert host["DeviceRequests"][0]["DeviceIDs"] == ["0", "1"]
    assert host["ShmSize"] == 16 * _GB
    assert (host["CapDrop"], host["SecurityOpt"]) == (["ALL"], ["no-new-privileges"])
    assert asked["StopTimeout"] == 45
    assert asked["Labels"] == {"kagglerun.workspace": "home-1234"}
    assert asked["Cmd"] == list(container.command)


def test_docker_gets_all_gpus_by_their_name(container: Container, daemon: list[dict[str, Any]]) -> None:
    assert execute(docker_plan(replace(container, detached=True, gpus="all")), os.environ) == 0
    assert execute(docker_plan(replace(container, detached=True, gpus=None)), os.environ) == 0
    assert daemon[0]["HostConfig"]["DeviceRequests"][0]["Count"] == -1
    assert not daemon[1]["HostConfig"].get("DeviceRequests")


def test_no_engine_gets_a_secret_as_an_argument(container: Container, tmp_path: Path) -> None:
    plain = replace(container, mounts=container.mounts[1:])
    plans = (docker_plan(plain), podman_plan(plain), buildah_plan(plain, "buildah", "made", tmp_path / "values"))
    for plan in plans:
        words = [word for command in plan.commands for word in command]
        assert not [word for word in words if "KAGGLE_API_TOKEN=" in word]


def test_ports_are_on_loopback_only(container: Container) -> None:
    for plan in (docker_plan(container), podman_plan(container)):
        published = [plan.run[index + 1] for index, word in enumerate(plan.run) if word == "--publish"]
        assert published == ["127.0.0.1:8890:8888", "127.0.0.1:2222:2222"]


def test_podman_names_gpus_as_cdi_does_and_keeps_a_users_id(container: Container) -> None:
    run = podman_plan(container, rootless=True).run
    assert [word for word in run if word.startswith("nvidia.com")] == ["nvidia.com/gpu=0", "nvidia.com/gpu=1"]
    assert "--userns=keep-id" in run
    assert "--userns=keep-id" not in podman_plan(container, rootless=False).run


def test_buildah_says_which_paths_it_cannot_mount(container: Container) -> None:
    with pytest.raises(ImageError, match="its name holds a comma or a quote"):
        buildah_plan(container, "buildah", "made", None)


def test_what_was_begun_is_removed_when_a_command_fails(tmp_path: Path) -> None:
    plan = buildah_plan(Container("none", ("true",), "key", (1, 1)), "false", "made", None)
    with pytest.raises(ImageError, match="false from failed"):
        execute(replace(plan, after=(("touch", str(tmp_path / "removed")),)), os.environ)
    assert (tmp_path / "removed").exists()


def test_a_container_gets_the_workspace_names_and_credentials(workspace: Workspace, monkeypatch: Any) -> None:
    monkeypatch.setattr("kagglerun.environment.image.run.has_nvidia_gpu", lambda: False)
    home = Path(os.environ["HOME"])
    (home / ".kaggle").mkdir()
    environment = {"HOME": str(home), "KAGGLE_KEY": "sesame", "KAGGLE_USERNAME": "", "PATH": "/bin"}
    wishes = Wishes("image", digest="sha256:7", user="1234", shm_size="2g")
    made = workspace_container(workspace, wishes, ["id"], environment)
    targets = {mount.target: (mount.source, mount.read_only) for mount in made.mounts}
    assert targets["/workspace"] == (workspace.root, False)
    assert targets["/workspace/.kagglerun/home/.kaggle"] == (home / ".kaggle", True)
    assert targets["/etc/passwd"][1]
    assert "kagglerun:x:1234:1234:" in targets["/etc/passwd"][0].read_text()
    assert "kagglerun:x:1234:" in targets["/etc/group"][0].read_text()
    assert made.environment["KAGGLERUN_IMAGE_DIGEST"] == "sha256:7"
    assert made.passed == ("KAGGLE_KEY",)
    assert made.shm_bytes == 2 * _GB
    assert made.gpus is None
    assert workspace.image_home.stat().st_mode & 0o077 == 0


def test_a_container_with_gpus_sees_who_reserved_them(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLERUN_RESERVATIONS", str(tmp_path / "kept"))
    monkeypatch.setenv("KAGGLERUN_OWNER", "ada")
    made = workspace_container(workspace, Wishes("image", gpus="0", user="7"), ["id"], {})
    assert Mount(tmp_path / "kept", "/run/lock/kagglerun") in made.mounts
    assert made.environment["KAGGLERUN_RESERVATIONS"] == "/run/lock/kagglerun"
    assert made.environment["KAGGLERUN_OWNER"] == "ada"
    without = workspace_container(workspace, Wishes("image", gpus="none", user="7"), ["id"], {})
    assert "KAGGLERUN_OWNER" not in without.environment


def test_a_container_is_never_root(workspace: Workspace) -> None:
    for wanted in ("0", "0:1000"):
        with pytest.raises(ImageError, match="nothing in the container runs as root"):
            container_user(workspace, wanted)
    assert container_user(workspace, "5") == (5, 5)
    assert container_user(workspace, "5:6") == (5, 6)


def test_workspaces_of_the_same_name_have_keys_of_their_own(tmp_path: Path) -> None:
    first, second = (Workspace(tmp_path / part / "My Work: Ünïcode") for part in ("a", "b"))
    assert workspace_key(first) != workspace_key(second)
    assert workspace_key(first).startswith("my-work-n-code-")


@pytest.mark.parametrize(("text", "size"), [("16g", 16 * _GB), ("512M", 512 << 20), ("1.5GiB", 3 * _GB // 2)])
def test_sizes_are_read_as_engines_read_them(text: str, size: int) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize("wish", [{"shm_size": "much"}, {"gpus": "a b"}, {"user": "me"}, {"variables": ("A=sesame",)}])
def test_wishes_that_cannot_be_meant_are_refused(wish: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        Wishes("image", **wish)
    assert "sesame" not in f"{caught.value} {caught.value.hint}"


def test_a_variable_that_is_not_set_is_named(workspace: Workspace) -> None:
    with pytest.raises(ConfigError, match="HF_TOKEN: the variable is not set"):
        workspace_container(workspace, Wishes("image", user="7", variables=("HF_TOKEN",)), ["id"], {})


def test_variables_travel_in_a_file_of_the_users_alone_and_do_not_replace_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KAGGLE_KEY", "mine")
    with variables_file({"KAGGLE_USERNAME": "me", "KAGGLE_KEY": "another"}, (os.getuid(), os.getgid())) as file:
        assert file is not None
        assert file.stat().st_mode & 0o077 == 0
        assert file.parent.stat().st_mode & 0o077 == 0
        take_variables(file)
    assert (os.environ["KAGGLE_USERNAME"], os.environ["KAGGLE_KEY"]) == ("me", "mine")
    monkeypatch.delenv("KAGGLE_USERNAME")
    assert not file.parent.exists()
    with variables_file({}, (1, 1)) as none:
        assert none is None


def test_the_command_is_printed_as_a_shell_takes_it(workspace: Workspace) -> None:
    command = kagglerun("image", "run", "--print", "--engine", "docker", "--user", "7", "--gpus", "0", "echo", "a b")
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    line = next(line for line in done.stderr.splitlines() if line.startswith("$ "))
    spoken = shlex.split(line[2:])
    assert spoken[-5:] == ["kagglerun", "image", "attend", "echo", "a b"]
    assert f"type=bind,src={workspace.root},dst=/workspace" in spoken
    assert '"device=0"' in spoken

"""compose.yaml: its schema, what it opens, what it holds; the calls of `kagglerun image compose`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from kagglerun.environment.image.compose import COMPOSE_FILE, GPU_FILE, call_for, compose_ports
from kagglerun.environment.image.run import Wishes
from kagglerun.environment.image.services import SERVICES
from kagglerun.workspace import Workspace
from tests.environment.image.made_services import PUBLIC_KEY, need

_COMPOSE = ("no-such-compose",)
_SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE_FILE.read_text("utf-8"))["services"]


@pytest.mark.parametrize("file", [COMPOSE_FILE, GPU_FILE], ids=lambda file: file.name)
def test_it_is_as_the_compose_specification_says(file: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_port_is_on_loopback_and_none_of_the_database_is_open() -> None:
    for name, service in _SERVICES.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
    assert "ports" not in _SERVICES["database"]
    assert "listen_addresses=" in _SERVICES["database"]["command"]
    assert [name for name, service in _SERVICES.items() if "nobody" in service.get("networks", [])] == ["database"]
    assert yaml.safe_load(COMPOSE_FILE.read_text("utf-8"))["networks"]["nobody"] == {"internal": True}


def test_it_runs_the_services_that_there_are_on_their_ports() -> None:
    assert set(_SERVICES) == {*SERVICES, "database"}
    for name, service in SERVICES.items():
        assert _SERVICES[name]["command"] == ["kagglerun", "image", "serve", name, "--quiet"]
        assert _SERVICES[name]["ports"][0].endswith(f":-{service.port}}}:{service.port}")


def test_no_service_is_root_or_may_become_it() -> None:
    for name in SERVICES:
        assert _SERVICES[name]["user"] == "${KAGGLERUN_USER:-1000:1000}"
        assert _SERVICES[name]["cap_drop"] == ["ALL"]
        assert _SERVICES[name]["security_opt"] == ["no-new-privileges:true"]


@pytest.fixture
def call_words(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes calls for a workspace of user 7."""
    monkeypatch.setenv("KAGGLERUN_SSH_KEYS", PUBLIC_KEY)
    monkeypatch.setenv("PATH", "/nowhere")

    def make(*words: str, gpus: str = "none") -> Any:
        wishes = Wishes("kagglerun:0.1.0", "sha256:7", gpus, "1g", "7")
        return call_for(_COMPOSE, words, workspace, wishes, (), None)

    return make


def test_every_variable_of_the_file_is_set_and_secrets_are_no_arguments(call_words: Any) -> None:
    call = call_words("up", "--detach")
    given = {**call.told, **call.hidden}
    text = COMPOSE_FILE.read_text("utf-8")
    wanted = set(re.findall(r"\$\{([A-Z_]+)[:}]", text)) - {"KAGGLERUN_POSTGRES_IMAGE"}
    assert wanted <= set(given)
    assert call.argv[-2:] == ("up", "--detach")
    assert call.hidden["JUPYTER_TOKEN"] not in " ".join((*call.argv, *call.told.values(), repr(call)))
    assert call.told["KAGGLERUN_USER"] == "7:7"


def test_gpus_come_by_a_file_of_their_own(call_words: Any) -> None:
    assert str(GPU_FILE) not in call_words("up").argv
    assert str(GPU_FILE) in call_words("up", gpus="all").argv


def test_services_that_run_keep_their_ports(workspace: Workspace) -> None:
    first = compose_ports(workspace, ["jupyter=18999"], running=False)
    assert first["jupyter"] == 18999
    assert compose_ports(workspace, [], running=True) == first
    assert compose_ports(workspace, ["ssh=18998"], running=True) == {**first, "ssh": 18998}


def test_podmans_compose_reads_it(call_words: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", os.defpath)
    need("podman-compose")
    podman = tmp_path / "podman"
    podman.write_text("#!/bin/sh\necho podman version 4.3.1\n")  # the real one would make networks and volumes
    podman.chmod(0o755)
    call = call_words("up")
    argv = ["podman-compose", "--dry-run", "--podman-path", str(podman), "-f", str(COMPOSE_FILE), "up"]
    environment = {**os.environ, **call.told, **call.hidden}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "${" not in said
    assert call.hidden["JUPYTER_TOKEN"] not in said
    for port in ("127.0.0.1:8888:8888", "127.0.0.1:2222:2222", "127.0.0.1:5000:5000", "127.0.0.1:6006:6006"):
        assert f"-p {port} " in said

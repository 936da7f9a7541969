"""How each service is started, and the real servers as their users meet them."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kagglerun.environment.image import health
from kagglerun.environment.image.ports import choose_ports, is_free, read_ports
from kagglerun.environment.image.services import (
    SERVICES,
    Launch,
    Place,
    check_token,
    default_host,
    find_services,
)
from kagglerun.environment.image.serving import serve
from kagglerun.errors import ConfigError, ImageError
from kagglerun.workspace import Workspace
from tests.environment.image.made_services import free_port, kagglerun, need, somebody, wait_until_listening

_TOKEN = "a" * 32


@pytest.fixture
def jupyter_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands for an installed JupyterLab."""
    program = tmp_path / "programs" / "jupyter-lab"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def test_a_container_serves_on_all_of_its_addresses_and_anything_else_on_loopback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert default_host() == "127.0.0.1"
    monkeypatch.setenv("KAGGLERUN_IN_IMAGE", "1")
    assert default_host() == "0.0.0.0"


@pytest.mark.usefixtures("jupyter_program")
def test_jupyters_token_is_random_and_never_an_argument(workspace: Workspace) -> None:
    launches = [SERVICES["jupyter"].prepare(Place(workspace, "127.0.0.1", 8888)) for _ in range(2)]
    tokens = [launch.environment["JUPYTER_TOKEN"] for launch in launches]
    assert tokens[0] != tokens[1]
    assert all(len(token) == 64 for token in tokens)
    for launch, token in zip(launches, tokens, strict=True):
        assert token not in " ".join(launch.argv)
        assert token not in repr(launch).replace(launch.address, "")
        assert launch.address.endswith(f"?token={token}")


@pytest.mark.usefixtures("jupyter_program")
def test_a_token_that_was_brought_along_is_used_and_not_said(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("JUPYTER_TOKEN", _TOKEN)
    launch = SERVICES["jupyter"].prepare(Place(workspace, "127.0.0.1", 8888))
    assert launch.environment["JUPYTER_TOKEN"] == _TOKEN
    assert _TOKEN not in launch.address
    monkeypatch.delenv("JUPYTER_TOKEN")
    (tmp_path / "token").write_text(f"{_TOKEN}\n")
    monkeypatch.setenv("JUPYTER_TOKEN_FILE", str(tmp_path / "token"))
    assert SERVICES["jupyter"].prepare(Place(workspace, "127.0.0.1", 8888)).environment["JUPYTER_TOKEN"] == _TOKEN


@pytest.mark.parametrize("token", ["", "a" * 23, "x" * 30 + " ", "ä" * 32, "a" * 30 + "&b=c"])
def test_weak_tokens_are_refused(token: str) -> None:
    with pytest.raises(ConfigError, match="24 letters and digits"):
        check_token(token)


def test_mlflow_answers_to_its_own_names_only_and_hides_its_database(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", "postgresql://me:sesame@host/db")
    launch = SERVICES["mlflow"].prepare(Place(workspace, "127.0.0.1", 5001))
    assert launch.argv[-2:] == ("--allowed-hosts", "127.0.0.1:5001,localhost:5001")
    assert "sesame" not in " ".join(launch.argv) + repr(launch)
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", "http://me:sesame@elsewhere:5000")
    with pytest.raises(ConfigError, match="http://elsewhere:5000") as caught:
        SERVICES["mlflow"].prepare(Place(workspace, "127.0.0.1", 5001))
    assert "sesame" not in str(caught.value)


def test_a_program_that_is_missing_is_named(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(ImageError, match="tensorboard is not installed"):
        SERVICES["tensorboard"].prepare(Place(workspace, "127.0.0.1", 6006))


def test_unknown_services_are_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="jupiter") as caught:
        find_services(["jupiter"])
    assert caught.value.hint == "did you mean 'jupyter'?"


def test_ports_that_are_taken_are_stepped_over_unless_asked_for() -> None:
    services = find_services(["jupyter", "ssh"])
    usual = choose_ports(services, {})
    with _listener(usual["jupyter"]):
        assert not is_free("127.0.0.1", usual["jupyter"])
        assert choose_ports(services, {})["jupyter"] > usual["jupyter"]
        with pytest.raises(ImageError, match=f"port {usual['jupyter']} of 127.0.0.1 is taken") as caught:
            choose_ports(services, {"jupyter": usual["jupyter"]})
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("--port jupyter=")


@pytest.mark.parametrize("word", ["jupyter=0", "jupyter=65536", "jupyter=x", "=", "8888"])
def test_words_that_are_no_ports_are_refused(word: str) -> None:
    with pytest.raises(ConfigError, match="SERVICE=PORT"):
        read_ports([word], find_services(["jupyter", "ssh"]))


def test_a_single_service_needs_no_name_before_its_port() -> None:
    assert read_ports(["9000"], find_services(["ssh"])) == {"ssh": 9000}


def _listener(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))


def _toy(name: str, code: str) -> Launch:
    return Launch(name, 0, (sys.executable, "-c", code), "")


def test_the_others_end_with_the_first_that_ends(tmp_path: Path) -> None:
    began = tmp_path / "began"
    lasting = _toy("lasting", f"import pathlib, time; pathlib.Path({str(began)!r}).touch(); time.sleep(600)")
    waits = f"import pathlib, sys, time\nwhile not pathlib.Path({str(began)!r}).exists(): time.sleep(0.01)\nsys.exit(3)"
    with pytest.raises(ImageError, match="failing ended with exit code 3"):
        serve([lasting, _toy("failing", waits)])
    assert health.started() == {}


def test_health_tells_servers_that_answer_from_those_that_do_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    paths = {name: service.health for name, service in SERVICES.items()}
    assert health.unhealthy(paths) == {}
    with _listener(0) as silent:
        silent.close()
        health.remember({"mlflow": free_port(), "ssh": free_port()})
        assert set(health.unhealthy(paths)) == {"mlflow", "ssh"}
    health.forget()
    assert health.started() == {}


def _status(port: int, path: str, host: str | None = None) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers={"Host": host} if host else {})
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.long
def test_real_mlflow_is_served_to_this_machine_and_not_to_other_pages() -> None:
    port = free_port()
    with somebody() as someone, someone.runs(*kagglerun("image", "serve", "mlflow", "--port", str(port))) as process:
        wait_until_listening(port, process)
        assert _status(port, "/health") == 200
        assert _status(port, "/api/2.0/mlflow/experiments/search?max_results=1") == 200
        assert _status(port, "/api/2.0/mlflow/experiments/search?max_results=1", "evil.example") == 403
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert is_free("127.0.0.1", port)


_DATABASE = """
set -e
PATH=$PATH:{programs}
initdb --auth=trust --username=mlflow --encoding=UTF8 --locale=C --no-sync -D "$HOME/data" >/dev/null
trap 'pg_ctl -D "$HOME/data" -m fast stop >/dev/null' EXIT
pg_ctl -D "$HOME/data" -o "-c listen_addresses= -c unix_socket_directories=$HOME" -w -l "$HOME/log" start >/dev/null
createdb -h "$HOME" -U mlflow mlflow
trap 'kill $served; wait $served; pg_ctl -D "$HOME/data" -m fast stop >/dev/null' EXIT
trap 'exit 0' TERM
export MLFLOW_BACKEND_STORE_URI="postgresql://mlflow@/mlflow?host=$HOME"
"$@" & served=$!
wait $served
"""


@pytest.mark.long
def test_real_mlflow_keeps_its_runs_in_a_postgresql_without_a_network() -> None:
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        pytest.skip("PostgreSQL is not installed: make system")
    port = free_port()
    command = kagglerun("image", "serve", "mlflow", "--port", str(port))
    script = _DATABASE.format(programs=programs[-1])
    with somebody() as someone, someone.runs("bash", "-c", script, "bash", *command) as process:
        wait_until_listening(port, process)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request(
            "POST", "/api/2.0/mlflow/experiments/create", '{"name": "digits"}', {"Content-Type": "application/json"}
        )
        assert connection.getresponse().status == 200
        connection.close()
        assert not (someone.workspace / ".kagglerun/mlflow.db").exists()
        assert (someone.home / "data/PG_VERSION").exists()


@pytest.mark.long
def test_real_jupyter_wants_its_token() -> None:
    need("jupyter-lab")
    port = free_port()
    command = kagglerun("image", "serve", "jupyter", "--port", str(port))
    with somebody() as someone, someone.runs(*command, environment={"JUPYTER_TOKEN": _TOKEN}) as process:
        wait_until_listening(port, process)
        assert _status(port, "/api") == 200
        assert _status(port, "/api/contents") == 403
        assert _status(port, f"/api/contents?token={_TOKEN[:-1]}b") == 403
        assert _status(port, f"/api/contents?token={_TOKEN}") == 200
        running = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True).stdout
        assert _TOKEN not in running


@pytest.mark.long
def test_real_tensorboard_is_served() -> None:
    need("tensorboard")
    port = free_port()
    command = kagglerun("image", "serve", "tensorboard", "--port", str(port))
    with somebody() as someone, someone.runs(*command) as process:
        wait_until_listening(port, process)
        assert _status(port, "/") == 200

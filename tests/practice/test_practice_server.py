from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
import requests

from kagglerun.errors import PracticeError
from kagglerun.practice import server as server_module
from kagglerun.practice.paths import PracticePaths
from kagglerun.practice.server import Server, ensure_running, running, stop
from kagglerun.practice.state import Status, Store, Upload
from kagglerun.workspace import Workspace
from tests.practice.small import Client, small_competition

SERVE = [sys.executable, "-m", "kagglerun", "practice", "serve"]


@pytest.fixture
def stopping(workspace: Workspace) -> Iterator[Workspace]:
    """A workspace whose server is stopped at the end, whatever happened."""
    yield workspace
    stop(workspace)


def answers(server: Server) -> bool:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(f"{server.url}/ping", timeout=30).ok


def test_starting_again_finds_the_server_and_stopping_leaves_nothing(stopping: Workspace) -> None:
    assert running(stopping) is None
    assert stop(stopping) is None
    first = ensure_running(stopping)
    assert ensure_running(stopping) == first == running(stopping)
    assert answers(first)
    assert stop(stopping) == first
    assert running(stopping) is None
    assert not psutil.pid_exists(first.pid) or psutil.Process(first.pid).status() == psutil.STATUS_ZOMBIE
    assert not PracticePaths(stopping.practice).server.exists()


def test_a_restart_keeps_the_key_and_only_the_owner_may_read_it(stopping: Workspace) -> None:
    paths = PracticePaths(stopping.practice)
    first = ensure_running(stopping)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (paths.server, paths.key)} == {0o600}
    stop(stopping)
    assert ensure_running(stopping).token == first.token


def test_starts_at_the_same_time_give_one_server(stopping: Workspace) -> None:
    code = (
        "from kagglerun.workspace import Workspace; from kagglerun.practice.server import ensure_running; "
        "print(ensure_running(Workspace.find()).pid)"
    )
    starters = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    pids = {starter.communicate()[0].strip() for starter in starters}
    server = running(stopping)
    assert server is not None
    assert pids == {str(server.pid)}


def test_the_server_outlives_the_process_group_that_started_it(stopping: Workspace) -> None:
    code = (
        "import signal, time; signal.signal(signal.SIGHUP, signal.SIG_DFL); "  # a suite under nohup ignores it
        "from kagglerun.workspace import Workspace; from kagglerun.practice.server import ensure_running; "
        "print(ensure_running(Workspace.find()).pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        os.killpg(starter.pid, signal.SIGHUP)
        starter.wait()
    server = running(stopping)
    assert server is not None
    assert server.pid == pid
    assert os.getsid(pid) == pid
    assert answers(server)


def test_a_killed_server_is_noticed_and_replaced(stopping: Workspace) -> None:
    first = ensure_running(stopping)
    os.kill(first.pid, signal.SIGKILL)
    psutil.Process(first.pid).wait()
    assert PracticePaths(stopping.practice).server.exists()
    assert running(stopping) is None
    second = ensure_running(stopping)
    assert second.pid != first.pid
    assert answers(second)


def test_another_process_with_the_servers_id_is_not_taken_for_it_and_not_stopped(workspace: Workspace) -> None:
    paths = PracticePaths(workspace.practice)
    paths.folder.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        ours = Server("http://127.0.0.1:1", other.pid, 1, "key", psutil.Process(other.pid).create_time() - 60)
        paths.server.write_text(json.dumps(ours.__dict__))
        assert running(workspace) is None
        assert stop(workspace) is None
        assert other.poll() is None
        other.kill()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "url": 1}'])
def test_a_server_file_that_makes_no_sense_means_no_server(workspace: Workspace, content: str) -> None:
    paths = PracticePaths(workspace.practice)
    paths.folder.mkdir(parents=True)
    paths.server.write_text(content)
    assert running(workspace) is None


def test_a_taken_port_is_told_and_nothing_is_started(stopping: Workspace) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PracticeError, match=f"the port {port} is taken") as caught:
            ensure_running(stopping, port)
        assert "--port" in (caught.value.hint or "")
        in_front = subprocess.run([*SERVE, "--port", str(port)], capture_output=True, text=True, check=False)
        assert (in_front.returncode, f"the port {port} is taken" in in_front.stderr) == (1, True)
    assert running(stopping) is None
    assert ensure_running(stopping, port).port == port


def test_a_second_server_in_front_is_refused_and_ctrl_c_ends_the_first(workspace: Workspace) -> None:
    with subprocess.Popen(SERVE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        line = first.stdout.readline()
        server = running(workspace)
        assert server is not None
        assert server.url in line
        assert ensure_running(workspace) == server
        second = subprocess.run(SERVE, capture_output=True, text=True, check=False)
        assert second.returncode == 1
        assert server.url in second.stderr
        first.send_signal(signal.SIGINT)
        assert first.wait() == 130
        first.communicate()
    assert running(workspace) is None
    assert not PracticePaths(workspace.practice).server.exists()


def test_a_server_that_hangs_is_told(stopping: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    server = ensure_running(stopping)
    monkeypatch.setattr(server_module, "_ANSWER_SECONDS", 0.3)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        with pytest.raises(PracticeError, match=f"process {server.pid}.*does not answer"):
            ensure_running(stopping)
    finally:
        os.kill(server.pid, signal.SIGCONT)


def test_a_server_that_cannot_start_says_why(stopping: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = PracticePaths(stopping.practice)
    paths.folder.mkdir(parents=True)
    paths.database.write_text("this is no database" * 100)
    with pytest.raises(PracticeError, match=r"did not start: .*not a database"):
        ensure_running(stopping)
    assert running(stopping) is None


def test_only_loopback_is_listened_on_and_no_credentials_are_handed_over(
    stopping: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_KEY", "the-users-own-key")
    monkeypatch.setenv("KAGGLE_API_TOKEN", "the-users-own-token")
    process = psutil.Process(ensure_running(stopping).pid)
    listening = [c.laddr for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert [address.ip for address in listening] == ["127.0.0.1"]
    assert "the-users-own" not in str(process.environ())


def test_what_was_pending_when_the_server_died_is_scored_by_the_next_one(stopping: Workspace) -> None:
    paths = PracticePaths(stopping.practice)
    small_competition(paths, "small")
    store = Store(paths.database)
    upload = Upload("token", "small", "a.csv", 10)
    store.add_upload(upload, datetime.now(UTC))
    submission = store.add_submission(upload, "", datetime.now(UTC), 5)
    assert submission is not None
    assert submission.status is Status.PENDING
    paths.upload("token").parent.mkdir()
    solution = paths.competition("small").solution.read_text()
    answers = solution.replace(",Usage", "").replace(",Public", "").replace(",Private", "")
    paths.upload("token").write_text(answers)
    client = Client(ensure_running(stopping), paths)
    assert client.wait(submission.ref)["privateScore"] == "1.00000"


def test_too_many_calls_are_429_with_the_time_to_wait(stopping: Workspace) -> None:
    client = Client(ensure_running(stopping, calls_per_minute=3), PracticePaths(stopping.practice))
    codes = [client.call("GetSubmission", ref=1).status_code for _ in range(3)]
    assert codes == [404] * 3
    response = client.call("GetSubmission", ref=1)
    assert (response.status_code, response.json()["code"]) == (429, 429)
    assert 0 < int(response.headers["Retry-After"]) <= 60


def test_a_stopped_server_answers_what_it_had_begun(stopping: Workspace) -> None:
    paths = PracticePaths(stopping.practice)
    small_competition(paths, "small")
    client = Client(ensure_running(stopping), paths)
    threads = [threading.Thread(target=client.call, args=("GetSubmissionLimits",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop(stopping)
    assert "Traceback" not in paths.log.read_text()


def test_the_log_has_no_key_and_no_upload_address(client: Client, slug: str) -> None:
    small_competition(client.paths, slug)
    token = client.upload(slug, client.sample(slug).encode())
    log = client.paths.log.read_text()
    assert "PUT /storage/uploads/..." in log
    assert token not in log
    assert client.server.token not in log
    assert "signature" not in log


def test_files_of_the_workspace_do_not_stand_in_for_modules(stopping: Workspace) -> None:
    (Path(stopping.root) / "json.py").write_text("raise SystemExit('wrong json')")
    assert answers(ensure_running(stopping))

"""Notifications: what is sent, that secrets stay secret, and that nothing a receiver does harms the job."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kagglerun.config.settings import load_settings
from kagglerun.errors import ConfigError
from kagglerun.jobs.control import job_info
from kagglerun.jobs.launch import launch
from kagglerun.jobs.notify import Event, Notification, NotificationFailed, Notifier, open_notifier, post, run_command
from kagglerun.jobs.records import JobState
from kagglerun.workspace import JobPaths, Workspace

ALL = ("done", "failed", "new best")
BEST = Notification(Event.NEW_BEST, "best 0.9", "job-1", {"best": 0.9})


class Receiver:
    """A webhook on this machine."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.code, self.seconds = 200, 0.0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                time.sleep(receiver.seconds)
                receiver.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(receiver.code)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/T0KEN"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(autouse=True)
def tasks_are_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def start(workspace: Workspace, *argv: str) -> JobPaths:
    return launch(workspace, "test", ["tasks", *argv], what=f"test {argv[0]}")


def settings(workspace: Workspace, text: str) -> None:
    workspace.state.mkdir(exist_ok=True)
    workspace.settings.write_text(text)


def said_in(job: JobPaths) -> str:
    return "".join(path.read_text() for path in job.folder.iterdir() if path.is_file())


def test_a_webhook_gets_the_event_as_json(receiver: Receiver) -> None:
    post(receiver.address, BEST)
    assert receiver.received == [
        {"event": "new best", "text": "best 0.9", "content": "best 0.9", "job": "job-1", "numbers": {"best": 0.9}}
    ]


@pytest.mark.parametrize(
    "address", ["ftp://x/T0KEN", "T0KEN", "http://127.0.0.1:1/T0KEN", "http://[T0KEN", "http:// T0KEN"]
)
def test_an_address_that_cannot_be_used_is_never_shown(address: str) -> None:
    with pytest.raises(NotificationFailed) as error:
        post(address, BEST)
    assert "T0KEN" not in str(error.value)


def test_a_refusal_is_told_by_its_code(receiver: Receiver) -> None:
    receiver.code = 403
    with pytest.raises(NotificationFailed, match="the webhook answered 403"):
        post(receiver.address, BEST)


def test_a_webhook_that_does_not_answer_is_given_up(receiver: Receiver) -> None:
    receiver.seconds = 1.0
    with pytest.raises(NotificationFailed, match="cannot be reached: TimeoutError"):
        post(receiver.address, BEST, seconds=0.1)


def test_a_command_gets_the_event_in_variables_and_on_its_input(tmp_path: Path) -> None:
    text = 'it\'s "quoted" $HOME `id` \n; rm -rf x'
    command = (
        f'printf "%s|%s|%s" "$KAGGLERUN_EVENT" "$KAGGLERUN_TEXT" "$KAGGLERUN_JOB" > {tmp_path}/v; cat > {tmp_path}/j'
    )
    run_command(command, Notification(Event.FAILED, text, "job-1"))
    assert (tmp_path / "v").read_text() == f"failed|{text}|job-1"
    assert json.loads((tmp_path / "j").read_text())["text"] == text


def test_a_command_that_fails_or_hangs_is_ended_with_all_it_started(tmp_path: Path) -> None:
    with pytest.raises(NotificationFailed, match="ended with code 3"):
        run_command("exit 3", BEST)
    with pytest.raises(NotificationFailed, match="had not ended after"):
        run_command(f"sleep 600 & echo $! > {tmp_path}/pid; wait", BEST, seconds=0.5)
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: not Path(f"/proc/{pid}").exists() or "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text())


def test_of_many_new_bests_the_last_one_is_told_and_none_after_the_end(receiver: Receiver) -> None:
    notifier = Notifier(None, receiver.address, ALL, pytest.fail, between_bests=600)
    notifier.tell(BEST)
    wait_until(lambda: receiver.received)
    for number in range(5):
        notifier.tell(Notification(Event.NEW_BEST, f"best {number}"))
    assert notifier.wait()
    assert [one["text"] for one in receiver.received] == ["best 0.9", "best 4"]
    notifier.tell(Notification(Event.DONE, "done"))
    assert notifier.wait()
    assert receiver.received[-1]["event"] == "done"


def test_only_what_was_asked_for_is_told(receiver: Receiver) -> None:
    notifier = Notifier(None, receiver.address, ("failed",), pytest.fail)
    notifier.tell(BEST)
    notifier.tell(Notification(Event.FAILED, "failed"))
    assert notifier.wait()
    assert [one["event"] for one in receiver.received] == ["failed"]


def test_a_receiver_that_hangs_does_not_hold_up_who_tells(receiver: Receiver) -> None:
    receiver.seconds = 5
    notifier = Notifier(None, receiver.address, ALL, lambda _: None)
    began = time.monotonic()
    notifier.tell(BEST)
    assert not notifier.wait(0.05)
    assert time.monotonic() - began < receiver.seconds


def test_the_variable_goes_before_the_setting(
    workspace: Workspace, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert open_notifier(workspace, pytest.fail) is None
    settings(workspace, "notify_webhook: http://127.0.0.1:1/elsewhere\n")
    monkeypatch.setenv("KAGGLERUN_NOTIFY_WEBHOOK", receiver.address)
    notifier = open_notifier(workspace, pytest.fail)
    assert notifier is not None
    notifier.tell(BEST)
    assert notifier.wait()
    assert len(receiver.received) == 1


def test_the_settings_hide_the_webhook(workspace: Workspace) -> None:
    settings(workspace, "notify_webhook: https://example.com/T0KEN\n")
    assert "T0KEN" not in repr(load_settings(workspace.settings))
    settings(workspace, "notify_webhook: [https://example.com/T0KEN]\n")
    with pytest.raises(ConfigError, match="notify_webhook is ") as error:
        load_settings(workspace.settings)
    assert "T0KEN" not in str(error.value)
    settings(workspace, "notify_on: [often]\n")
    with pytest.raises(ConfigError, match="notify_on"):
        load_settings(workspace.settings)


@pytest.mark.parametrize(
    ("task", "event", "text"),
    [
        (["count", "2"], "done", "test count is done. step 1/2"),
        (["fail"], "failed", "test fail failed: the loss is not finite"),
        (["crash"], "failed", "test crash failed: ZeroDivisionError: a bug"),
        (["last_words"], "failed", "test last_words was killed"),
    ],
)
def test_jobs_tell_how_they_ended(
    workspace: Workspace, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, task: list[str], event: str, text: str
) -> None:
    monkeypatch.setenv("KAGGLERUN_NOTIFY_WEBHOOK", receiver.address)
    job = start(workspace, *task)
    wait_until(lambda: receiver.received)
    assert receiver.received[0]["event"] == event
    assert receiver.received[0]["text"].startswith(text)
    assert receiver.received[0]["job"] == job.job_id
    wait_until(lambda: not job_info(job).state.is_alive)
    assert "T0KEN" not in said_in(job)


def test_a_job_that_was_stopped_tells_nobody(
    workspace: Workspace, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLERUN_NOTIFY_WEBHOOK", receiver.address)
    job = start(workspace, "count", "600")
    os.kill(job_info(job).pid or 0, signal.SIGTERM)
    wait_until(lambda: job_info(job).state is JobState.STOPPED)
    time.sleep(0.2)
    assert receiver.received == []


def test_a_webhook_that_is_down_costs_a_line_in_the_log_and_not_the_job(workspace: Workspace) -> None:
    settings(workspace, "notify_webhook: http://127.0.0.1:1/T0KEN\nnotify_command: exit 7\n")
    job = start(workspace, "count", "1")
    wait_until(lambda: "cannot be reached: ConnectionRefusedError" in job.log.read_text())
    assert job_info(job).state is JobState.DONE
    assert "notify_command ended with code 7" in job.log.read_text()
    assert "T0KEN" not in said_in(job)


def test_settings_that_cannot_be_read_cost_the_notification_alone(workspace: Workspace) -> None:
    settings(workspace, "notify_sommand: x\n")
    job = start(workspace, "count", "1")
    wait_until(lambda: "notifications are off" in job.log.read_text())
    assert job_info(job).state is JobState.DONE

"""Telling people that a job is done or failed, or that a study has a new best: by a command, a webhook, or both.

    # .kagglerun/settings.yaml
    notify_command: notify-send "$KAGGLERUN_TEXT"     # the shell's; the whole event as JSON is its standard input
    notify_webhook: https://...                       # gets the event as JSON: Slack, Discord, ntfy, your own
    notify_on: [done, failed, new best]

The environment variable KAGGLERUN_NOTIFY_WEBHOOK goes before the setting. A webhook's address is a secret: it is
neither logged nor written anywhere else. A notification that fails costs a line in the log, nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kagglerun.errors import ConfigError, KagglerunError, WorkspaceError
from kagglerun.workspace import Workspace

if TYPE_CHECKING:
    from kagglerun.config.settings import Settings

WEBHOOK_VARIABLE = "KAGGLERUN_NOTIFY_WEBHOOK"
WEBHOOK_SECONDS = 10.0
COMMAND_SECONDS = 30.0
BETWEEN_BESTS_SECONDS = 60.0
"""A search finds many bests in its first minutes: of those that come within this time the last one is told."""
_SCHEMES = ("http://", "https://")

Say = Callable[[str], None]


class Event(StrEnum):
    """What people are told of."""

    DONE = "done"
    FAILED = "failed"
    NEW_BEST = "new best"


@dataclass(frozen=True)
class Notification:
    """One thing to tell.

    Attributes:
        event: what happened.
        text: one line for people.
        job: id of the job; None in the foreground.
        numbers: the same for programs.
    """

    event: Event
    text: str
    job: str | None = None
    numbers: Mapping[str, Any] = field(default_factory=dict)


class NotificationFailed(KagglerunError):
    """A notification did not arrive; the message holds no address."""


class Notifier:
    """Sends notifications one after another from a thread of its own.

    Args:
        command: for the shell; None for none.
        webhook: address; None for none.
        events: what is told of.
        say: takes a line for the log where a notification failed.
        between_bests: least seconds between two notifications of a new best.
    """

    def __init__(
        self,
        command: str | None,
        webhook: str | None,
        events: tuple[str, ...],
        say: Say,
        between_bests: float = BETWEEN_BESTS_SECONDS,
    ) -> None:
        self._command, self._webhook, self._events, self._say = command, webhook, events, say
        self._between_bests = between_bests
        self._changed = threading.Condition()
        self._waiting: list[Notification] = []
        self._sending = self._is_closed = False
        self._best_told = -float("inf")
        self._thread: threading.Thread | None = None

    def tell(self, notification: Notification) -> None:
        """Send it soon; a new best takes the place of one that still waits, and an end that of a new best."""
        if notification.event not in self._events or not (self._command or self._webhook):
            return
        with self._changed:
            self._waiting = [one for one in self._waiting if one.event is not Event.NEW_BEST]
            self._waiting.append(notification)
            if self._thread is None:
                self._thread = threading.Thread(target=self._send_all, name="notifications", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def wait(self, seconds: float = COMMAND_SECONDS + WEBHOOK_SECONDS) -> bool:
        """Wait until all is sent or has failed, new bests at once; whether that was so in time."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._waiting and not self._sending, seconds)

    def _send_all(self) -> None:
        while True:
            with self._changed:
                while not self._is_due():
                    self._changed.wait(self._between_bests if self._waiting else None)
                notification = self._waiting.pop(0)
                self._sending = True
            try:
                self._send(notification)
            finally:
                with self._changed:
                    self._sending = False
                    self._changed.notify_all()

    def _is_due(self) -> bool:
        if not self._waiting:
            return False
        if self._waiting[0].event is not Event.NEW_BEST or self._is_closed:
            return True
        return time.monotonic() - self._best_told >= self._between_bests

    def _send(self, notification: Notification) -> None:
        if notification.event is Event.NEW_BEST:
            self._best_told = time.monotonic()
        for way, target in ((run_command, self._command), (post, self._webhook)):
            if target:
                try:
                    way(target, notification)
                except NotificationFailed as error:
                    with contextlib.suppress(OSError):
                        self._say(f"nobody was told that: {notification.text}; {error.message}")


def run_command(command: str, notification: Notification, seconds: float = COMMAND_SECONDS) -> None:
    """Run a command of the user's with the shell.

    Args:
        command: as it would be typed.
        notification: in the environment as KAGGLERUN_EVENT, KAGGLERUN_TEXT and KAGGLERUN_JOB, never part of the
            command; as JSON on its standard input.
        seconds: after which it and what it started are killed.

    Raises:
        NotificationFailed: it could not be started, failed, or took too long.
    """
    told = {"KAGGLERUN_EVENT": notification.event, "KAGGLERUN_TEXT": notification.text}
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.PIPE,
            env={**os.environ, **told, "KAGGLERUN_JOB": notification.job or ""},
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise NotificationFailed(f"notify_command did not start: {type(error).__name__}") from error
    try:
        process.communicate(_as_json(notification), timeout=seconds)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise NotificationFailed(f"notify_command had not ended after {seconds:.0f} s") from None
    if process.returncode:
        raise NotificationFailed(f"notify_command ended with code {process.returncode}")


def post(address: str, notification: Notification, seconds: float = WEBHOOK_SECONDS) -> None:
    """Send a notification to a webhook, as JSON with the keys event, text, content (the text again), job, numbers.

    Raises:
        NotificationFailed: the server refused it or could not be reached; its message never holds the address.
    """
    import http.client
    import urllib.error
    import urllib.request

    if not address.startswith(_SCHEMES):
        raise NotificationFailed("the webhook's address does not begin with https:// or http://")
    headers = {"Content-Type": "application/json", "User-Agent": "kagglerun"}
    try:
        request = urllib.request.Request(address, _as_json(notification), headers)  # noqa: S310 (checked above)
        with urllib.request.urlopen(request, timeout=seconds):  # noqa: S310
            return
    except urllib.error.HTTPError as error:
        error.close()
        raise NotificationFailed(f"the webhook answered {error.code}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise NotificationFailed(f"the webhook cannot be reached: {type(reason).__name__}") from None


def notify(event: Event | str, text: str, numbers: Mapping[str, Any] | None = None) -> None:
    """Tell the workspace's people of something, from another thread; it never raises and never waits.

    Args:
        event: done, failed or new best.
        text: one line.
        numbers: JSON values for programs.
    """
    notifier = _of_this_process()
    if notifier is not None:
        notifier.tell(Notification(Event(event), text, _job, dict(numbers or {})))


def this_process_is(job_id: str) -> None:
    """Name the job in all that this process tells."""
    global _job
    _job = job_id


def wait_until_told(seconds: float = COMMAND_SECONDS + WEBHOOK_SECONDS) -> None:
    """Wait until what was given to `notify` is sent, or has failed, or the time is over."""
    if _notifier is not None:
        _notifier.wait(seconds)


_notifier: Notifier | None = None
_job: str | None = None
_is_looked_up = False


def _of_this_process() -> Notifier | None:
    """Made at the first call; None where nobody is to be told, or the settings cannot be read."""
    global _notifier, _is_looked_up
    if not _is_looked_up:
        _is_looked_up = True
        try:
            _notifier = open_notifier(Workspace.find(), _say)
        except (WorkspaceError, ConfigError, OSError) as error:
            _say(f"notifications are off: {error}")
    return _notifier


def open_notifier(workspace: Workspace, say: Say) -> Notifier | None:
    """The notifier that settings and environment ask for; None where they ask for none.

    Raises:
        ConfigError: the settings cannot be read.
    """
    webhook = os.environ.get(WEBHOOK_VARIABLE) or None
    if not webhook and not workspace.settings.is_file():
        return None  # without reading what needs pydantic
    settings = _settings(workspace.settings)
    secret = settings.notify_webhook
    webhook = webhook or (secret.get_secret_value() if secret else None)
    if not webhook and not settings.notify_command:
        return None
    return Notifier(settings.notify_command, webhook, tuple(settings.notify_on), say)


def _settings(path: Path) -> Settings:
    from kagglerun.config.settings import load_settings

    return load_settings(path)


def _say(text: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


def _as_json(notification: Notification) -> bytes:
    return json.dumps({**asdict(notification), "content": notification.text}, default=str).encode()

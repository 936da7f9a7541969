"""What a notebook's cells call: Drive, secrets, and the session as a process of its own, shown in the cell.

The kernel imports next to nothing: what was installed a moment ago may not fit what it has loaded already.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kagglerun.errors import NotebookError
from kagglerun.notebooks.plan import NotebookPlan, PlanFiles
from kagglerun.notebooks.platforms import Platform, find_platform

SECRETS = ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY")
"""What is asked for by these names, where the data must be downloaded."""
_STOPPED = 130


@dataclass(frozen=True)
class KernelSession:
    """A session as the notebook has it.

    Attributes:
        folder: where the notebook's files are.
        plan: what it does.
        platform: where it runs.
        secrets: for the session's process alone: never shown, never written.
    """

    folder: Path
    plan: NotebookPlan
    platform: Platform
    secrets: _Hidden

    def work(self) -> None:
        """Train or sweep until the end, or until the session's time is up; interrupting it saves.

        Raises:
            NotebookError: it failed; what stands above says why.
        """
        code = self._watch(self._start())
        if code == _STOPPED:
            _say("stopped; to go on, run this cell again")
        elif code:
            raise NotebookError(f"the session ended with code {code}; the lines above say why")

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "kagglerun", "notebook", str(self.folder), "--session"]
        # Its standard input is a pipe from here, on which nothing is ever sent: it ends when this kernel does.
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**_plain_environment(), **self.secrets.values},
            start_new_session=True,
        )

    def _watch(self, process: subprocess.Popen[str]) -> int:
        """Show what the session prints, to its end. The first interrupt asks it to save, the second ends it."""
        assert process.stdin is not None
        assert process.stdout is not None
        asked = False
        with process.stdin, process.stdout:
            while True:
                try:
                    for line in process.stdout:
                        _say(line.rstrip("\n"))
                    return process.wait()
                except KeyboardInterrupt:
                    process.send_signal(signal.SIGKILL if asked else signal.SIGINT)
                    asked = True


def _plain_environment() -> dict[str, str]:
    """This kernel's environment, without its wish for colours and moving bars, which a cell shows line by line."""
    kept = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "CLICOLOR_FORCE")}
    return {**kept, "PYTHONUNBUFFERED": "1", "COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"}


class _Hidden:
    """Secrets; a repr does not show them."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = dict(values)

    def __repr__(self) -> str:
        return f"({', '.join(self.values) or 'none'})"


def connect(folder: str) -> KernelSession:
    """Reach what the platform has for the notebook: storage that lasts, and secrets.

    Args:
        folder: where the notebook's files were unpacked.

    Raises:
        NotebookError: the storage cannot be reached.
    """
    plan = PlanFiles(Path(folder)).read()
    platform = find_platform(plan.platform)
    if plan.platform == "colab":
        _mount_drive(platform)
    secrets = {} if plan.competition.startswith("practice/") else _find_secrets(plan.platform)
    _say(f"{plan.run_id}: kept in {platform.lasting / plan.run_id}")
    if secrets:
        _say(f"from the secrets: {', '.join(secrets)}")
    return KernelSession(Path(folder), plan, platform, _Hidden(secrets))


def _mount_drive(platform: Platform) -> None:
    drive = platform.lasting.parent.parent
    if not platform.lasting.parent.is_dir():
        try:
            importlib.import_module("google.colab.drive").mount(str(drive))
        except Exception as error:
            raise NotebookError(
                f"Drive could not be mounted: {error}",
                hint="run this cell again and allow it; without it nothing lasts",
            ) from error
    if not platform.lasting.parent.is_dir():
        raise NotebookError(f"there is no {platform.lasting.parent}, although Drive is mounted")
    platform.lasting.mkdir(exist_ok=True)


def _find_secrets(platform: str) -> dict[str, str]:
    """Those of the user's secrets that this notebook may see."""
    get = _colab_secret if platform == "colab" else _kaggle_secret
    found = {}
    for name in SECRETS:
        # Each platform says in a way of its own that a secret does not exist or may not be seen: it is not there then.
        with contextlib.suppress(Exception):
            if value := get(name):
                found[name] = value
    return found


def _colab_secret(name: str) -> str:
    return str(importlib.import_module("google.colab.userdata").get(name))


def _kaggle_secret(name: str) -> str:
    return str(importlib.import_module("kaggle_secrets").UserSecretsClient().get_secret(name))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()

"""Runs `kagglerun submit` in processes of their own that are killed, or find the disk full, at a given point.

Started once, since importing takes longer than a submission. Reads one JSON order a line, answers with the child's exit
status, what it printed, and the number of points that it passed.
"""

from __future__ import annotations

import errno
import http.client
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.dataset  # noqa: F401
import rich.status
import rich.table  # noqa: F401
import typer.main

from kagglerun.cli import connect, submit, submit_notebook  # noqa: F401
from kagglerun.cli.main import app, run
from kagglerun.kaggle_api import client as client_module
from kagglerun.kaggle_api import transport
from kagglerun.kaggle_api.client import KaggleClient
from kagglerun.submission import scores_back, select, send  # noqa: F401
from kagglerun.workspace import Workspace

_READ_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 0.004
_CARRIED_OUT_SECONDS = 0.03
_WRITING = os.O_WRONLY | os.O_RDWR
_REPLACED = ("os.rename", "os.remove")


class Points:
    """Counts requests, replies and writes below the workspace, and kills at one of them.

    Args:
        root: the workspace.
        last: the point to die at; 0 for none.
        full: the write of a list of submissions that finds the disk full; 0 for none.
    """

    def __init__(self, root: Path, last: int, full: int) -> None:
        self._root, self._last, self._full = str(root), last, full
        self.passed = 0
        self._writes = 0

    def reach(self) -> None:
        """Pass a point."""
        self.passed += 1
        if self.passed == self._last:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """A point for each request sent and each file written, renamed or removed."""
        if event == "http.client.send" or (event in _REPLACED and str(arguments[0]).startswith(self._root)):
            self.reach()
        elif event == "open" and str(arguments[0]).startswith(self._root) and (arguments[2] or 0) & _WRITING:
            self.reach()
            if ".submissions.jsonl." in str(arguments[0]):
                self._writes += 1
                if self._writes == self._full:
                    raise OSError(errno.ENOSPC, "No space left on device")

    def before_replies(self) -> None:
        """A point before each reply is read, when the request was carried out."""
        begin = http.client.HTTPResponse.begin

        def later(response: http.client.HTTPResponse) -> None:
            if self.passed + 1 == self._last:
                time.sleep(_CARRIED_OUT_SECONDS)
            self.reach()
            begin(response)

        http.client.HTTPResponse.begin = later  # type: ignore[method-assign]


def _send_from_elsewhere(elsewhere: Path, argv: list[str]) -> None:
    """Let another workspace send the same file while ours is being uploaded."""
    upload = KaggleClient._upload

    def meanwhile(client: KaggleClient, file: Path, url: str) -> int:
        KaggleClient._upload = upload  # type: ignore[method-assign]
        os.environ["KAGGLERUN_WORKSPACE"], here = str(elsewhere), os.environ["KAGGLERUN_WORKSPACE"]
        assert run(argv) == 0
        os.environ["KAGGLERUN_WORKSPACE"] = here
        return upload(client, file, url)

    KaggleClient._upload = meanwhile  # type: ignore[method-assign]


def submit_once(order: dict[str, Any], answer: int) -> None:
    """Run the command; tell through the pipe `answer` how many points there were."""
    with Path(order["output"]).open("wb") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.environ |= {"KAGGLERUN_WORKSPACE": order["workspace"], "KAGGLERUN_MLFLOW_URI": "none"}
    sleep = time.sleep
    time.sleep = lambda seconds: sleep(min(seconds, _LONGEST_PAUSE_SECONDS))
    transport.READ_SECONDS = _READ_SECONDS  # type: ignore[assignment]
    if order["elsewhere"]:
        _send_from_elsewhere(Path(order["elsewhere"]), order["argv"])
    points = Points(Workspace(Path(order["workspace"])).root, order["kill_at"], order["full_at"])
    points.before_replies()
    sys.addaudithook(points.audit)
    status = run(order["argv"])
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(answer, str(points.passed).encode())
    os._exit(status)


def main() -> None:
    """Serve orders until the input ends."""
    client_module._official_api_class()
    command = typer.main.get_command(app)  # built once, for all children
    typer.main.get_command = lambda _: command  # type: ignore[assignment]
    for line in sys.stdin:
        order = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            submit_once(order, writing)
        os.close(writing)
        with os.fdopen(reading) as told:
            passed = told.read()
        _, status = os.waitpid(child, 0)
        said = {"status": os.waitstatus_to_exitcode(status), "passed": int(passed or 0)}
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

"""Servers on 127.0.0.1 for tests: the practice server, and one that answers as told."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pandas as pd

from kagglerun import metrics
from kagglerun.kaggle_api.client import KaggleClient
from kagglerun.kaggle_api.credentials import Credentials
from kagglerun.practice.create import TableCompetition, create
from kagglerun.practice.paths import PracticePaths
from kagglerun.practice.server import ensure_running
from kagglerun.workspace import Workspace

KEY = "a-key-that-nobody-may-see"
FACTS = {
    "title": "Coins",
    "userHasEntered": True,
    "maxDailySubmissions": 5,
    "evaluationMetric": "Categorization Accuracy",
}
TRAIN = "id,weight,face\n" + "".join(f"{row},{row % 5},{'heads' if row % 5 > 2 else 'tails'}\n" for row in range(40))
TABLES = {
    "train.csv": TRAIN,
    "test.csv": "id,weight\n41,1\n42,4\n",
    "sample_submission.csv": "id,face\n41,heads\n42,heads\n",
}
"""A small binary competition, as the scripted server gives it."""


@dataclass(frozen=True)
class Seen:
    """A request that arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def call(self) -> str:
        return self.path.split("?")[0].rsplit("/", 1)[-1]

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """An answer. `cut` sends so many bytes of the body and hangs up; status 0 hangs up without a word.

    `without_length` names no length: the body ends where the connection does.
    """

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    without_length: bool = False


HANG_UP = Reply(0)


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Clients hang up in the middle; that is what many tests are about."""


class ScriptedKaggle:
    """Answers by the last part of the address; an unknown call gets 404 as Kaggle sends it."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[Seen], Reply] | Reply] = {}
        self.seen: list[Seen] = []
        self.stall_after: int | None = None  # a body stops coming after so many bytes, while the connection stays
        self.going_on = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def client(self) -> KaggleClient:
        return KaggleClient(self.url, Credentials("a test", username="practice", key=KEY))

    def calls(self, name: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.call == name]

    def answer(self, seen: Seen) -> Reply:
        self.seen.append(seen)
        answer = self.answers.get(seen.call, Reply(404, {"code": 404, "message": "Not found"}))
        return answer(seen) if callable(answer) else answer

    def serve_bundle(self, content: bytes, etag: str = '"one"', cuts: list[int | None] | None = None) -> None:
        """Serve an archive with Range and If-Range.

        Each of `cuts` breaks one answer off after so many bytes; None leaves one whole.
        """
        breaks = list(cuts or [])

        def bundle(seen: Seen) -> Reply:
            headers = {"ETag": etag, "Accept-Ranges": "bytes", "Content-Type": "application/zip"}
            wanted, cut = seen.headers.get("Range"), breaks.pop(0) if breaks else None
            if wanted and seen.headers.get("If-Range", etag) == etag:
                first, last = wanted.removeprefix("bytes=").split("-")
                start, end = int(first), min(int(last) + 1 if last else len(content), len(content))
                headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
                return Reply(206, content[start:end], headers, cut)
            return Reply(200, content, headers, cut)

        names = zipfile.ZipFile(io.BytesIO(content)).infolist() if zipfile.is_zipfile(io.BytesIO(content)) else []
        files = [{"name": item.filename, "totalBytes": item.file_size} for item in names if not item.is_dir()]
        self.answers["ListDataFiles"] = Reply(200, {"files": files})
        self.answers["DownloadDataFiles"] = Reply(
            302, b"", {"Location": f"{self.url}/storage/archive.zip?signature=s3cret"}
        )
        self.answers["archive.zip"] = bundle

    def close(self) -> None:
        self.going_on.set()
        self._server.shutdown()
        self._server.server_close()


def _handler(scripted: ScriptedKaggle) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            reply = scripted.answer(Seen(self.command, self.path, dict(self.headers), body))
            if reply.status == 0:
                self.close_connection = True
                return
            content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            kind = "application/octet-stream" if isinstance(reply.body, bytes) else "application/json"
            headers = {"Content-Type": kind, "Content-Length": str(len(content)), **reply.headers}
            for name, value in headers.items():
                if not (reply.without_length and name == "Content-Length"):
                    self.send_header(name, value)
            self.end_headers()
            if scripted.stall_after is not None and len(content) > scripted.stall_after:
                self.wfile.write(content[: scripted.stall_after])
                self.wfile.flush()
                scripted.going_on.wait(60)
                self.close_connection = True
                return
            self.wfile.write(content if reply.cut is None else content[: reply.cut])
            self.close_connection = reply.cut is not None or reply.without_length

        do_GET = do_POST = do_PUT = _answer

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


def zip_of(members: Mapping[str, bytes | str]) -> bytes:
    """A zip archive with these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in members.items():
            bundle.writestr(name, content)
    return buffer.getvalue()


def host_coins(workspace: Workspace, slug: str = "coins", rules: bool = False, daily: int = 20) -> KaggleClient:
    """Host a small binary competition, scored by accuracy, on the workspace's practice server."""
    rows = range(80)
    table = pd.DataFrame(
        {
            "id": [f"{1000 + row}" for row in rows],
            "weight": [str(row % 7) for row in rows],
            "face": ["heads" if row % 7 > 2 else "tails" for row in rows],
        }
    )
    source = TableCompetition(
        slug=slug,
        title="Coins",
        description="Made for a test.",
        table=table,
        targets=("face",),
        metric=metrics.get("accuracy"),
        id_column="id",
        daily=daily,
        rules_required=rules,
    )
    create(PracticePaths(workspace.practice), source)
    return practice_client(workspace)


def practice_client(workspace: Workspace) -> KaggleClient:
    """A client of the workspace's practice server, which is started."""
    server = ensure_running(workspace)
    return KaggleClient(server.url, Credentials("the practice server", username="practice", key=server.token))

"""Faults of API calls and uploads: refusals in Kaggle's shapes and words, answers that are none, answers lost."""

from __future__ import annotations

import re

from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kagglerun.practice.connection import connection_of, until_gone
from kagglerun.practice.faults import API_FAULTS, UPLOAD_FAULTS, Acts, Fault, Faults
from kagglerun.practice.sending import WEB_PAGE, refusal

_CALL = re.compile(r"(?:/api)?/v1/[^/]+/([A-Za-z]+)")
_UPLOAD = re.compile(r"/storage/uploads/[^/]+")
_ENTRANTS = {
    "DownloadDataFiles",
    "DownloadDataFile",
    "StartSubmissionUpload",
    "CreateSubmission",
    "CreateCodeSubmission",
}
"""Calls for which one must have entered the competition."""
_NAMELESS = {"ListCompetitions", "IntrospectToken"}
"""Calls that name no competition."""


class ApiFaults:
    """Stands before the API and the uploads, and answers in their place when a fault is ordered.

    Args:
        app: the rest of the application.
        faults: what shall go wrong.
    """

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self._app = app
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or commit the first fault that fits it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif match := _CALL.fullmatch(scope["path"]):
            await self._commit(self._fault_of(match[1]), match[1], scope, receive, send)
        elif scope["method"] == "PUT" and _UPLOAD.fullmatch(scope["path"]):
            await self._commit(self._faults.take(UPLOAD_FAULTS, ()), "", scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _commit(self, fault: Fault | None, method: str, scope: Scope, receive: Receive, send: Send) -> None:
        if fault is None:
            await self._app(scope, receive, send)
        elif "-lost" in fault.name:
            await _lose(fault, await _carried_out(self._app, scope, receive), scope, receive, send)
        else:
            await _refuse(fault, method, scope, receive, send)

    def _fault_of(self, method: str) -> Fault | None:
        def fits(fault: Fault) -> bool:
            if fault.name in ("rules", "phone", "not-entered"):
                return method in _ENTRANTS
            if fault.name == "gone":
                return method not in _NAMELESS
            return method != "IntrospectToken" or fault.which == method

        return self._faults.take(API_FAULTS, {method}, fits)


async def _refuse(fault: Fault, method: str, scope: Scope, receive: Receive, send: Send) -> None:
    """Do not carry the request out."""
    if fault.kind.acts is Acts.UPLOADS:
        await _read_some(scope, receive, fault)
    if fault.name.endswith("-break"):
        await connection_of(scope).hang_up(receive, reset=True)
    elif fault.name.endswith("-stall"):
        await until_gone(receive)
    else:
        await _answer(fault, method)(scope, receive, send)


async def _read_some(scope: Scope, receive: Receive, fault: Fault) -> None:
    """Read what a fault lets arrive of an upload: so many bytes, half of it, or all before it is answered."""
    headers = dict(scope["headers"])
    length = int(headers.get(b"content-length", b"0"))
    wanted = fault.place(length) if fault.name in ("upload-break", "upload-stall") else length
    arrived = 0
    while arrived < wanted:
        message = await receive()
        arrived += len(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return


async def _carried_out(app: ASGIApp, scope: Scope, receive: Receive) -> list[Message]:
    """Let a request be carried out.

    Returns:
        Its answer, which is not sent.
    """
    kept: list[Message] = []

    async def keep(message: Message) -> None:
        kept.append(message)

    await app(scope, receive, keep)
    return kept


async def _lose(fault: Fault, answer: list[Message], scope: Scope, receive: Receive, send: Send) -> None:
    """Lose the answer to a request that was carried out."""
    if fault.name.endswith("-lost"):
        await connection_of(scope).hang_up(receive, reset=True)
    elif fault.name.endswith("-stall"):
        await until_gone(receive)
    elif fault.name.endswith("-half"):
        body = b"".join(message.get("body", b"") for message in answer)
        await send(answer[0])
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        await connection_of(scope).hang_up(receive, reset=False)
    else:
        await _answer(fault, "")(scope, receive, send)


def _answer(fault: Fault, method: str) -> Response:
    what = "download files" if method.startswith("Download") else "make submissions"
    if fault.name.endswith("-html"):
        return HTMLResponse(WEB_PAGE)
    if fault.name == "api-rate-limit":
        return refusal(429, "Too many requests", {"Retry-After": str(fault.value)})
    said = {
        "unauthenticated": (401, "Unauthenticated"),
        "rules": (403, f"You must accept this competition's rules before you'll be able to {what}."),
        "phone": (403, f"You must verify your phone number before you'll be able to {what}."),
        "not-entered": (403, "Permission 'competitions.participate' was denied"),
        "gone": (404, "Not found"),
    }
    return refusal(*said.get(fault.name, (fault.value or 503, None)))

"""Downloads and uploads, as Kaggle's storage does them: signed addresses, Range and ETag, resumable uploads."""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from kagglerun.practice.bundle import changed_copy, unpacked
from kagglerun.practice.competitions import Hosted
from kagglerun.practice.host import Host
from kagglerun.practice.ranges import words_of
from kagglerun.practice.sending import EXPIRED, FileAnswer, Stored
from kagglerun.practice.state import Submission, Upload
from kagglerun.practice.wire import ApiError

router = APIRouter()
_GOOD_SECONDS = 3 * 86400
_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


def bundle_address(host: Host, slug: str) -> str:
    """Signed address of a competition's bundle. It ends in `.zip`, which the official client takes as file type."""
    return signed_address(host, f"/storage/bundles/{slug}/archive.zip")


def file_address(host: Host, slug: str, name: str) -> str:
    """Signed address of a single file. It ends in the file's name, which the official client keeps."""
    return signed_address(host, f"/storage/files/{slug}/{name}")


def submission_address(host: Host, submission: Submission) -> str:
    """Signed address of a submitted file."""
    return signed_address(host, f"/storage/submissions/{submission.ref}/{submission.file_name}")


def upload_address(token: str) -> str:
    """Address to send a submission file to; whoever knows it may send."""
    return f"/storage/uploads/{token}"


def signed_address(host: Host, path: str) -> str:
    """An address that is good for a while. No two are the same, so that one alone can be let expire."""
    expires = str(int(host.clock().timestamp()) + _GOOD_SECONDS)
    nonce = secrets.token_hex(8)
    signature = host.sign(_to_sign(path, expires, nonce))
    return quote(path) + "?" + urlencode({"signature": signature, "expires": expires, "nonce": nonce})


def _to_sign(path: str, expires: str, nonce: str) -> str:
    return f"{path}?{expires}.{nonce}"


def _host_of(request: Request) -> Host:
    host: Host = request.app.state.host
    return host


@dataclass(frozen=True)
class _Admitted:
    """The server's parts for who comes with an address that is good, and its signature."""

    host: Host
    signature: str


def _check_signature(
    request: Request,
    signature: Annotated[str, Query()] = "",
    expires: Annotated[str, Query()] = "",
    nonce: Annotated[str, Query()] = "",
) -> _Admitted:
    host = _host_of(request)
    if not hmac.compare_digest(signature, host.sign(_to_sign(request.scope["path"], expires, nonce))):
        raise ApiError(403, "The signature of this address is not valid")
    if int(expires) < host.clock().timestamp() or host.faults.is_expired(signature):
        raise ApiError(403, EXPIRED)
    return _Admitted(host, signature)


Signed = Annotated[_Admitted, Depends(_check_signature)]
HostOf = Annotated[Host, Depends(_host_of)]


@router.api_route("/storage/bundles/{slug}/archive.zip", methods=["GET", "HEAD"])
def get_bundle(slug: str, signed: Signed, request: Request) -> Response:
    """A competition's files as one zip."""
    hosted = signed.host.catalogue.get(slug)
    return _answer(request, signed, hosted, hosted.paths.bundle, "bundle", hosted.definition.bundle_sha256[:32])


@router.api_route("/storage/files/{slug}/{name:path}", methods=["GET", "HEAD"])
def get_file(slug: str, name: str, signed: Signed, request: Request) -> Response:
    """A single file of a competition."""
    hosted = signed.host.catalogue.get(slug)
    entry = next((file for file in hosted.files() if file.name == name), None)
    path = _unpacked(hosted, name) if entry else None
    if entry is None or path is None:
        raise ApiError(404, "Not found")
    etag = f"{entry.crc:08x}{entry.bytes:x}{hosted.definition.bundle_sha256[:8]}"
    return _answer(request, signed, hosted, path, "file", etag)


@router.api_route("/storage/submissions/{ref}/{name:path}", methods=["GET", "HEAD"])
def get_submission_file(ref: int, name: str, signed: Signed) -> Response:
    """A submitted file, under the name it had."""
    host = signed.host
    submission = host.store.submission(ref)
    path = host.paths.upload(submission.token) if submission else None
    if submission is None or path is None or not path.is_file():
        raise ApiError(404, "Not found")
    etag = f"submission-{ref}-{submission.bytes:x}"
    return FileAnswer(Stored(path, etag, "text/csv", "file", signed.signature, Path(name).name), host.faults)


def _answer(request: Request, signed: _Admitted, hosted: Hosted, path: Path, word: str, etag: str) -> Response:
    """Send a file of a competition, or another version of it when that was ordered."""
    faults = signed.host.faults
    if request.method == "GET":
        words = words_of(request.headers.get("Range"), path.stat().st_size) | {word}
        version = faults.version_of(str(path), words)
    else:
        version = faults.newest_of(str(path))
    if version.number:
        path = changed_copy(path, hosted.paths.changed, version.number, version.longer_bytes)
        etag = f"{etag}-{version.number}-{version.longer_bytes}"
    media_type = "application/zip" if word == "bundle" else "application/octet-stream"
    return FileAnswer(Stored(path, etag, media_type, word, signed.signature), faults)


@router.put("/storage/uploads/{token}")
async def put_upload(token: str, request: Request, host: HostOf) -> Response:
    """Receive a submission file, whole or from where an earlier try broke off.

    `Content-Range: bytes */SIZE` asks how much has arrived: 308 with a Range header, or 200 when all has.
    """
    upload = host.store.upload(token)
    if upload is None or host.store.submission_of_token(token) is not None:
        raise ApiError(404, "Not found")
    path = host.paths.upload(upload.token)
    start = _start_of_part(request, path)
    if start is not None:
        await _receive(request, upload, path, start)
    return _upload_answer(upload, path)


def _start_of_part(request: Request, path: Path) -> int | None:
    """Where the sent bytes belong; None when none were sent and the question is how much has arrived."""
    text = request.headers.get("Content-Range")
    if text is None:
        return 0
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ApiError(400, f"Content-Range {text!r} cannot be read")
    if match[1] is None:
        return None
    if int(match[1]) != _size(path):
        raise ApiError(416, f"{_size(path)} bytes have arrived, so the next part cannot start at {match[1]}")
    return int(match[1])


async def _receive(request: Request, upload: Upload, path: Path, start: int) -> None:
    """Append what is sent. What arrived before a broken connection stays, so that the client can go on from there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrived = start
    try:
        with path.open("ab" if start else "wb") as file:
            async for part in request.stream():
                arrived += len(part)
                if arrived > upload.bytes:
                    raise ApiError(400, f"More than the announced {upload.bytes} bytes were sent")
                file.write(part)
    except (OSError, ApiError):
        path.unlink(missing_ok=True)
        raise


def _upload_answer(upload: Upload, path: Path) -> Response:
    arrived = _size(path)
    if arrived == upload.bytes and path.is_file():
        return Response(status_code=HTTPStatus.OK)
    headers = {"Range": f"bytes=0-{arrived - 1}"} if arrived else {}
    return Response(status_code=HTTPStatus.PERMANENT_REDIRECT, headers=headers)


def _unpacked(hosted: Hosted, name: str) -> Path | None:
    return unpacked(hosted.paths.bundle, name, hosted.paths.files)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0

"""The network session under the official client: time limits, credentials, downloads in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from typing import Any

import requests
from requests.auth import AuthBase

from kagglerun.errors import KagglerunError
from kagglerun.kaggle_api.credentials import Credentials
from kagglerun.kaggle_api.failures import Asked, as_error

CONNECT_SECONDS = 10
READ_SECONDS = 60
_CHUNK_BYTES = 1 << 18


class Session(requests.Session):
    """A session whose every request has a time limit; the official client sets none.

    Args:
        credentials: sent along as the official client does; never passed on to another host by a redirect.
        local: the server is on this machine: no proxy and no .netrc of the user's is used.
    """

    def __init__(self, credentials: Credentials, local: bool) -> None:
        super().__init__()
        self.trust_env = not local
        self.auth = _auth(credentials)
        # Ranges count the bytes of the file, so it must come as it is.
        self.headers.update(
            {"User-Agent": "kagglerun", "Content-Type": "application/json", "Accept-Encoding": "identity"}
        )

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send, giving up after the time limits."""
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = (CONNECT_SECONDS, READ_SECONDS)
        return super().send(request, **kwargs)


class _Bearer(AuthBase):
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _auth(credentials: Credentials) -> AuthBase | tuple[str, str] | None:
    if credentials.token:
        return _Bearer(credentials.token)
    if credentials.username and credentials.key:
        return credentials.username, credentials.key
    return None


@dataclass(frozen=True)
class Partial:
    """The first bytes of a file that an earlier download left.

    Attributes:
        bytes: how many there are.
        validator: ETag or date of the file they belong to.
        total: size of that file, where it was known.
    """

    bytes: int
    validator: str
    total: int | None

    def fits(self, response: requests.Response) -> bool:
        """Whether the response is for the very file that these bytes belong to."""
        return self.validator == validator_of(response) and self.total == content_length(response)


class Download:
    """A file on its way.

    Attributes:
        offset: the first byte that `chunks` yields; above 0 when an earlier download goes on.
        total: size of the whole file in bytes; None when the server does not say.
        validator: ETag or date; None when nothing identifies the file.
        file_name: the name the server gives it, without folders.
    """

    def __init__(self, response: requests.Response, asked: Asked, offset: int, whole: requests.Response) -> None:
        self._response = response
        self._asked = asked
        self.offset = offset
        self.total = content_length(whole)
        self.validator = validator_of(whole)
        self.file_name = _file_name(whole)

    def chunks(self) -> Iterator[bytes]:
        """The bytes from `offset` on; none when everything was there.

        Raises:
            ConnectionFailed: the connection broke.
        """
        if self.offset and self.offset == self.total:
            return
        try:
            yield from self._response.iter_content(_CHUNK_BYTES)
        except KagglerunError:
            raise
        except requests.RequestException as error:
            raise as_error(error, self._asked) from None

    def __enter__(self) -> Download:
        return self

    def __exit__(self, *_: object) -> None:
        self._response.close()


def begin_download(
    session: requests.Session, response: requests.Response, asked: Asked, have: Partial | None
) -> Download:
    """Go on with a partial file when the server's file is still the same, else begin at its start.

    Args:
        session: sends the second request.
        response: the open response to the request for the whole file.
        asked: what was asked, for messages.
        have: what an earlier download left.
    """
    if have is None or not have.fits(response) or not 0 < have.bytes <= (have.total or 0):
        return Download(response, asked, 0, response)
    if have.bytes == have.total:
        return Download(response, asked, have.bytes, response)
    again = response.request.copy()
    again.headers["Range"] = f"bytes={have.bytes}-"
    # The server sends the whole file when it changed in between, so old and new bytes never mix.
    again.headers["If-Range"] = have.validator
    response.close()
    settings = session.merge_environment_settings(again.url or "", {}, True, None, None)
    rest = session.send(again, allow_redirects=True, **settings)
    if rest.status_code == 206 and rest.headers.get("Content-Range", "").startswith(f"bytes {have.bytes}-"):
        return Download(rest, asked, have.bytes, response)
    rest.raise_for_status()
    return Download(rest, asked, 0, rest)


def content_length(response: requests.Response) -> int | None:
    """Size of the body in bytes, where the server tells."""
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdigit() else None


def validator_of(response: requests.Response) -> str | None:
    """What identifies the file for If-Range: a strong ETag, else its date (RFC 9110, 13.1.5)."""
    etag = response.headers.get("ETag", "")
    if etag and not etag.startswith("W/"):
        return etag
    return response.headers.get("Last-Modified")


def _file_name(response: requests.Response) -> str:
    header = Message()
    header["Content-Disposition"] = response.headers.get("Content-Disposition", "")
    named = header.get_filename() or (response.url or "").split("?")[0]
    return named.replace("\\", "/").rsplit("/", 1)[-1]

"""Every way in which a call to the server can fail, as one of our errors with the next step.

Texts of network libraries are not passed on: they carry addresses with signatures in them.
"""

from __future__ import annotations

import math
import re
import socket
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import requests

from kagglerun.errors import (
    AllowanceUsedUp,
    ConnectionFailed,
    CredentialsRejected,
    DiskFull,
    KaggleError,
    KagglerunError,
    RateLimited,
)
from kagglerun.kaggle_api.refusals import Asked, entry_refused, not_found, read_answer
from kagglerun.kaggle_api.usual_meanings import usual_meaning

__all__ = ["Asked", "NotTheFile", "as_error", "retry_after", "seconds_before_retry"]

_LONGEST_WAIT_SECONDS = 20.0
_DAILY = re.compile(r"daily|per day|today|allowance|submission limit", re.IGNORECASE)


class NotTheFile(requests.RequestException):
    """The answer says that all is well, and is something else than the file.

    Args:
        kind: what it is, for a person.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


def as_error(error: Exception, asked: Asked) -> KagglerunError:
    """Translate what the network library or the official client raised.

    Returns:
        ConnectionFailed whenever the outcome is unknown: the request may have been carried out.
    """
    if isinstance(error, KagglerunError):
        return error
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return _refusal(error.response, asked)
    broken = isinstance(error, requests.RequestException | ConnectionError | TimeoutError | socket.gaierror)
    if broken and not isinstance(error, requests.exceptions.InvalidJSONError):
        return _unreachable(error, asked)
    return ConnectionFailed(
        f"{asked.server}'s answer about {asked.name} was not understood ({type(error).__name__})",
        hint="try again; if it stays so, `pip install -U kaggle kagglesdk`",
    )


def _unreachable(error: Exception, asked: Asked) -> ConnectionFailed:
    hint = "kagglerun practice start" if asked.endpoint else "check the network, then run the same command again"
    if isinstance(error, requests.exceptions.ProxyError):
        return ConnectionFailed("the proxy does not let us through", hint="check HTTPS_PROXY and NO_PROXY")
    if isinstance(error, requests.exceptions.SSLError):
        return ConnectionFailed(
            f"the certificate of {asked.server} could not be checked",
            hint="behind a company's proxy, set REQUESTS_CA_BUNDLE to its certificate",
        )
    if isinstance(error, NotTheFile):
        return ConnectionFailed(
            f"{asked.server} seems to answer with a {error.kind} instead of the file: it has trouble, or this network"
            " wants you to sign in",
            hint="open any page in a browser, then run the same command again",
        )
    if isinstance(error, requests.Timeout):
        return ConnectionFailed(f"{asked.server} did not answer in time", hint=hint)
    if _is_unknown_host(error):
        return ConnectionFailed(f"{asked.server} cannot be found: no network, or no name service (DNS)", hint=hint)
    return ConnectionFailed(f"the connection to {asked.server} failed or broke off", hint=hint)


def _is_unknown_host(error: BaseException | None) -> bool:
    """Whether a failed name lookup is somewhere in the chain of causes."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        reason = getattr(error, "reason", None) or (error.args[0] if error.args else None)
        if isinstance(error, socket.gaierror) or "NameResolution" in type(error).__name__:
            return True
        error = reason if isinstance(reason, BaseException) else error.__cause__ or error.__context__
    return False


def _refusal(response: requests.Response, asked: Asked) -> KagglerunError:
    answer = read_answer(response, asked.credentials.secrets if asked.credentials else ())
    status, said = answer.status, answer.text
    if response.history and 400 <= status < 500 and status != 429:
        return _address_refused(status, asked)
    if status == 401:
        return _not_signed_in(asked)
    if status == 429:
        return _too_many(response, asked)
    if status in (400, 403) and _DAILY.search(said):
        return AllowanceUsedUp(f"{asked.name}: {said}", hint="the count starts again at midnight UTC")
    if status == 404:
        return not_found(asked)
    if status in (400, 403) and (refused := entry_refused(answer, asked)):
        return refused
    if status == HTTPStatus.INSUFFICIENT_STORAGE:
        return DiskFull(
            f"{asked.server} has no room left on its disk", hint="free some space, then run the same command again"
        )
    if status >= 500 or status == HTTPStatus.REQUEST_TIMEOUT:
        return ConnectionFailed(f"{asked.server} has trouble (status {status})", hint="try again in a few minutes")
    means = usual_meaning(said)
    hint = f"{means} ({asked.page})" if means else f"see {asked.page}"
    return KaggleError(f"{asked.server} refused ({status}): {said or 'no reason given'}", hint=hint)


def _address_refused(status: int, asked: Asked) -> ConnectionFailed:
    """The API has let us in and sent us on to the storage: what that says is not about the account."""
    return ConnectionFailed(
        f"the storage of {asked.server} does not give out the files of {asked.name} (status {status})",
        hint="check the clock of this machine, or try again in a few minutes",
    )


def _not_signed_in(asked: Asked) -> CredentialsRejected:
    if asked.endpoint:
        return CredentialsRejected(f"{asked.server} does not accept its own key", hint="kagglerun practice stop")
    origin = asked.credentials.origin if asked.credentials else "nowhere"
    where = f"put it into {origin}" if asked.credentials and asked.credentials.is_file else f"set {origin} to it"
    what = "make a new token at https://www.kaggle.com/settings/api"
    if asked.credentials and asked.credentials.login_file:
        what, where = "sign in again with `kaggle auth login`", "or set KAGGLE_API_TOKEN"
    return CredentialsRejected(
        f"Kaggle does not accept the credentials from {origin}: expired, revoked or mistyped",
        hint=f"{what}, {where}, then run the same command again",
    )


def _too_many(response: requests.Response, asked: Asked) -> RateLimited:
    seconds = retry_after(response)
    if not seconds:
        return RateLimited(
            f"{asked.server} gets too many requests", hint="wait a minute, then run the same command again"
        )
    at = datetime.now().astimezone() + timedelta(seconds=seconds)
    return RateLimited(
        f"{asked.server} gets too many requests",
        hint=f"wait {math.ceil(seconds)} seconds (until {at:%H:%M:%S}), then run the same command again",
    )


def retry_after(response: requests.Response) -> float | None:
    """Seconds the server asks to wait (RFC 9110, 10.2.3); None when it does not say."""
    header = response.headers.get("Retry-After", "").strip()
    if not header:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def seconds_before_retry(error: Exception, attempt: int) -> float | None:
    """How long to wait before the next try; None when there is no point in one."""
    response = getattr(error, "response", None)
    if response is None:
        return 0.5 * 2.0 ** (attempt - 1)
    if response.status_code == 429:
        wait = retry_after(response)
        wait = 2.0**attempt if wait is None else wait
        return wait if wait <= _LONGEST_WAIT_SECONDS else None
    return 0.5 * 2.0 ** (attempt - 1) if response.status_code >= 500 else None

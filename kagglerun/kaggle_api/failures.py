"""Every way in which a call to the server can fail, as one of our errors with the next step.

Texts of network libraries are not passed on: they carry addresses with signatures in them.
"""

from __future__ import annotations

import math
import re
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urlsplit

import requests

from kagglerun.errors import (
    AllowanceUsedUp,
    CompetitionNotFound,
    ConnectionFailed,
    CredentialsRejected,
    DiskFull,
    KaggleError,
    KagglerunError,
    RateLimited,
    RulesNotAccepted,
)
from kagglerun.kaggle_api.credentials import Credentials

_LONGEST_MESSAGE = 300
_LONGEST_WAIT_SECONDS = 20.0
_DAILY = re.compile(r"daily|per day|today|allowance|submission limit", re.IGNORECASE)
_RULES = re.compile(r"\brules?\b|accept|not entered|join", re.IGNORECASE)
_HIDDEN = re.compile(r"competitions\.get\b", re.IGNORECASE)


@dataclass(frozen=True)
class Asked:
    """What was asked of whom, for messages.

    Attributes:
        slug: the competition.
        endpoint: the practice server's address; None for Kaggle.
        credentials: what was sent along.
    """

    slug: str
    endpoint: str | None
    credentials: Credentials | None

    @property
    def server(self) -> str:
        """The server in the user's words."""
        return f"the practice server ({self.endpoint})" if self.endpoint else "Kaggle"

    @property
    def name(self) -> str:
        """The competition as the user names it."""
        return f"practice/{self.slug}" if self.endpoint else self.slug

    @property
    def page(self) -> str:
        """The competition's page."""
        return f"{self.endpoint or 'https://www.kaggle.com'}/competitions/{self.slug}"


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
    status, said = response.status_code, _said(response, asked)
    if status == 401:
        return _not_signed_in(asked)
    if status == 429:
        return _too_many(response, asked)
    if status in (400, 403) and _DAILY.search(said):
        return AllowanceUsedUp(f"{asked.name}: {said}", hint="the count starts again at midnight UTC")
    if status == 404 or (status == 403 and _HIDDEN.search(said)):
        return _not_found(asked)
    if status == 403 or (status == 400 and _RULES.search(said)):
        shown = f" ({said})" if said else ""
        accept = (
            f"kagglerun practice accept {asked.slug}" if asked.endpoint else f"open {asked.page}/rules, accept them"
        )
        return RulesNotAccepted(
            f"the rules of {asked.name} are not accepted yet{shown}",
            hint=f"{accept}, then run the same command again",
        )
    if status == HTTPStatus.INSUFFICIENT_STORAGE:
        return DiskFull(
            f"{asked.server} has no room left on its disk", hint="free some space, then run the same command again"
        )
    if status >= 500:
        return ConnectionFailed(f"{asked.server} has trouble (status {status})", hint="try again in a few minutes")
    return KaggleError(f"{asked.server} refused ({status}): {said or 'no reason given'}", hint=f"see {asked.page}")


def _not_signed_in(asked: Asked) -> CredentialsRejected:
    origin = asked.credentials.origin if asked.credentials else "nowhere"
    if asked.endpoint:
        return CredentialsRejected(f"{asked.server} does not accept its own key", hint="kagglerun practice stop")
    return CredentialsRejected(
        f"Kaggle does not accept the credentials from {origin}",
        hint="make a new token at https://www.kaggle.com/settings/api and put it there",
    )


def _not_found(asked: Asked) -> CompetitionNotFound:
    if asked.endpoint:
        return CompetitionNotFound(
            f"the practice server has no competition {asked.slug!r}", hint="kagglerun practice list"
        )
    return CompetitionNotFound(
        f"Kaggle has no competition {asked.slug!r} (or it is private and you have not joined it)",
        hint="use the last part of its address: https://www.kaggle.com/competitions/SLUG",
    )


def _too_many(response: requests.Response, asked: Asked) -> RateLimited:
    seconds = retry_after(response)
    wait = f"wait {math.ceil(seconds)} seconds" if seconds is not None else "wait a minute"
    return RateLimited(f"{asked.server} gets too many requests", hint=f"{wait}, then run the same command again")


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


def _said(response: requests.Response, asked: Asked) -> str:
    """The server's own reason: one line, no secrets, no addresses with queries in them."""
    try:
        body = response.json()
        text = str(body.get("message") or body.get("detail") or body.get("error") or "")
    except (ValueError, AttributeError, requests.RequestException):
        return ""
    for secret in asked.credentials.secrets if asked.credentials else ():
        text = text.replace(secret, "***")
    text = re.sub(r"https?://\S+", lambda found: _without_query(found.group()), " ".join(text.split()))
    return text[:_LONGEST_MESSAGE].rstrip(" .")


def _without_query(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"

"""Kaggle: credentials, whether it takes them, and what its clock says."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import Any

import requests

from kagglerun.environment.doctor.probe import KaggleState
from kagglerun.errors import ConnectionFailed, CredentialsMissing, CredentialsRejected, KaggleError
from kagglerun.kaggle_api.credentials import Credentials, find_credentials

KAGGLE = "https://www.kaggle.com"
_SECONDS = 8.0
_KNOWN_COMPETITION = "titanic"
"""One that is always there: asking for it spends nothing."""


def kaggle_state(ask_network: bool = True, address: str = KAGGLE) -> KaggleState:
    """The account's state.

    Args:
        ask_network: ask Kaggle.
        address: of Kaggle, or of a server that speaks as Kaggle does.
    """
    found: Credentials | None = None
    told: dict[str, Any] = {"asked": ask_network}
    try:
        found = find_credentials()
        told |= {"origin": found.origin, "exposed": str(found.file) if found.warning else None}
    except CredentialsMissing as error:
        told["missing"] = error.message
    if ask_network:
        told |= _reached(address)
        if told["reachable"] and found is not None:
            told |= _accepted(found, None if address == KAGGLE else address)
    return KaggleState(**told)


def _reached(address: str) -> dict[str, Any]:
    """Whether the server answers, and how far our clock is ahead of its."""
    try:
        reply = requests.head(address, timeout=_SECONDS, allow_redirects=False)
    except requests.RequestException as error:
        return {"reachable": False, "unreachable_because": _why(error)}
    return {"reachable": True, "clock_ahead": _ahead(reply.headers.get("Date"), reply.elapsed.total_seconds())}


def _ahead(date: str | None, took: float) -> float | None:
    """Seconds that this clock is ahead; the server names its time in whole seconds, some way back."""
    if not date:
        return None
    try:
        theirs = parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
    return time.time() - took / 2 - theirs - 0.5


def _accepted(found: Credentials, endpoint: str | None) -> dict[str, Any]:
    from kagglerun.kaggle_api.client import KaggleClient

    try:
        KaggleClient(endpoint, found).facts(_KNOWN_COMPETITION, brief=True)
    except (CredentialsRejected, CredentialsMissing) as error:
        return {"accepted": False, "refusal": error.message}
    except ConnectionFailed as error:
        return {"refusal": error.message}
    except KaggleError:
        return {"accepted": True}  # it knew who asks, and had another answer
    return {"accepted": True}


def _why(error: requests.RequestException) -> str:
    """In words, without addresses of proxies, which may hold a password."""
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        late = "not yet valid" in text or "has expired" in text
        return "its certificate is not accepted" + (": is the clock right?" if late else ": a proxy in between?")
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy does not let through"
    if "resolve" in text or "Name or service" in text:
        return "its name is not found: no internet, or no DNS"
    if isinstance(error, requests.Timeout):
        return f"no answer within {_SECONDS:.0f} s"
    return "the connection is refused" if "refused" in text else f"the connection fails ({type(error).__name__})"

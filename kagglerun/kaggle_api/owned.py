"""What a user owns on the server besides submissions, notebooks and data sets: who owns it, how refusals read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

import requests

from kagglerun.errors import CredentialsRejected, KaggleError
from kagglerun.kaggle_api.client import KaggleClient
from kagglerun.kaggle_api.refusals import Asked

T = TypeVar("T")
_NOT_THERE = (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)
"""Of what is not there Kaggle says that it may not be seen."""


@dataclass(frozen=True)
class AskedOwned(Asked):
    """A notebook or data set that was asked for, for messages.

    Attributes:
        slug: owner/slug.
        kind: "notebook" or "data set".
    """

    kind: str = ""

    @property
    def name(self) -> str:
        """As a person reads it."""
        return f"the {self.kind} {self.slug}"

    @property
    def page(self) -> str:
        """Its page."""
        part = "code" if self.kind == "notebook" else "datasets"
        return f"{self.endpoint or 'https://www.kaggle.com'}/{part}/{self.slug}"


class NotThere(KaggleError):
    """There is no such notebook or data set, or not for this account."""


def about(client: KaggleClient, kind: str, ref: str) -> AskedOwned:
    """What is asked, for messages."""
    return AskedOwned(ref, client.endpoint, client.credentials, kind)


def ask_owned(client: KaggleClient, kind: str, ref: str, call: Callable[[Any], T], tries: int = 3) -> T:
    """Make a call of the official client about a notebook or a data set.

    Args:
        client: whom to ask.
        kind: "notebook" or "data set".
        ref: owner/slug.
        call: takes the official low-level client.
        tries: how often; 1 for what must not be done twice.

    Raises:
        NotThere: there is none.
        KaggleError: the server refused, or could not be reached.
    """

    def told() -> T:
        try:
            return call(client.official())
        except requests.HTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            if status in _NOT_THERE:
                raise NotThere(
                    f"there is no {kind} {ref}, or this account may not see it", hint=f"see {asked.page}"
                ) from None
            raise

    asked = about(client, kind, ref)
    return client.ask(asked, told, tries)


def user_of(client: KaggleClient) -> str:
    """The user's name on the server, in which notebooks and data sets are kept.

    Raises:
        CredentialsRejected: the server does not know whose the credentials are.
    """
    official = client.official()
    known = client.credentials
    if known is not None and known.username:
        return known.username
    from kagglesdk.security.types.oauth_service import IntrospectTokenRequest

    request = IntrospectTokenRequest()
    request.token = known.token if known and known.token else ""
    asked = about(client, "user", "the token's")
    said = client.ask(asked, lambda: official.security.oauth_client.introspect_token(request))
    if not said.username:
        raise CredentialsRejected(
            f"{asked.server} does not say whose token this is", hint="set KAGGLE_USERNAME and KAGGLE_KEY"
        )
    return str(said.username)

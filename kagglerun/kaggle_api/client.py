"""The official Kaggle client behind one door. Nothing else imports `kaggle` or `kagglesdk`.

The official client signs in when it is imported (over the network, or with `exit()`, which also closes standard
input), prints, keeps files, has no time limits and reports a failed upload as a normal return. Here it is
imported with nothing to sign in with, speaks through our own session, and every failure is one of our errors.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import requests

from kagglerun.config.card import CompetitionFacts
from kagglerun.errors import (
    ConnectionFailed,
    CredentialsMissing,
    KaggleError,
    KagglerunError,
    RateLimited,
    UploadFailed,
)
from kagglerun.kaggle_api.credentials import Credentials, find_credentials
from kagglerun.kaggle_api.failures import Asked, as_error, seconds_before_retry
from kagglerun.kaggle_api.importing import nothing_to_sign_in_with
from kagglerun.kaggle_api.records import (
    RemoteFile,
    SubmissionLimits,
    SubmissionRecord,
    competition_facts,
    submission_record,
    utc,
)
from kagglerun.kaggle_api.remote import Remote
from kagglerun.kaggle_api.transport import Session
from kagglerun.kaggle_api.uploading import upload_file

T = TypeVar("T")

_TRIES = 3
_PAGE_SIZE = 200
_MOST_PAGES = 200
_import_lock = threading.Lock()


class KaggleClient:
    """Kaggle, or a practice server that speaks Kaggle's API.

    Args:
        endpoint: the practice server's address, e.g. `http://127.0.0.1:8765`; None for Kaggle.
        credentials: the practice server's own (required there, so that the user's never go to it); for Kaggle
            the user's, found on the first call when left out.
    """

    def __init__(self, endpoint: str | None = None, credentials: Credentials | None = None) -> None:
        if endpoint is not None and credentials is None:
            raise CredentialsMissing(
                f"the practice server ({endpoint}) needs its own key", hint="kagglerun practice start"
            )
        self.endpoint = endpoint.rstrip("/") if endpoint else None
        self._credentials = credentials
        self._session: Session | None = None
        self._sdk: Any = None

    @property
    def source(self) -> str:
        """Where it speaks to: "kaggle" or "practice"."""
        return "practice" if self.endpoint else "kaggle"

    def facts(self, slug: str, *, brief: bool = False) -> CompetitionFacts:
        """What the server says about a competition.

        Args:
            slug: the competition.
            brief: one call, without pages and leaderboard. These may be refused before the rules are accepted, and
                are left empty then.

        Raises:
            KaggleError: CompetitionNotFound, CredentialsMissing, CredentialsRejected, ConnectionFailed ...
        """
        said = self._said(slug, "ApiGetCompetitionRequest", "get_competition")
        if brief:
            return competition_facts(slug, said)
        pages = self._if_allowed(slug, "ApiListCompetitionPagesRequest", "list_competition_pages")
        places = self._if_allowed(slug, "ApiGetLeaderboardRequest", "get_leaderboard", page_size=_PAGE_SIZE)
        return competition_facts(slug, said, pages and pages.pages, places and places.submissions)

    def files(self, slug: str, at_most: int | None = None) -> tuple[RemoteFile, ...]:
        """The data files of a competition, page after page.

        Args:
            slug: the competition.
            at_most: ask for no further page once so many are known; image competitions have hundreds of thousands.
        """
        found: list[RemoteFile] = []
        for page in self._pages(slug, "ApiListDataFilesRequest", "list_data_files"):
            found += [
                RemoteFile(item.name or item.ref, item.total_bytes, utc(item.creation_date)) for item in page.files
            ]
            if at_most is not None and len(found) >= at_most:
                break
        return tuple(found)

    def open_bundle(self, slug: str) -> Remote:
        """All data files as one archive on the server, to be read in any parts.

        Raises:
            RulesNotAccepted: the competition must be joined first.
            KaggleError: the server refused, or could not be reached.
        """
        request = _message("ApiDownloadDataFilesRequest", competition_name=slug)
        return self._remote(slug, lambda: self._competitions().download_data_files(request), "archive.zip")

    def open_file(self, slug: str, name: str) -> Remote:
        """One data file on the server; see `open_bundle`. The server may send it packed, as `name.zip`."""
        request = _message("ApiDownloadDataFileRequest", competition_name=slug, file_name=name)
        return self._remote(slug, lambda: self._competitions().download_data_file(request), name)

    def limits(self, slug: str) -> SubmissionLimits:
        """The server's count of submissions today. All zero for who has not submitted yet on Kaggle."""
        said = self._ask(slug, lambda: self._api().competition_get_submission_limits(slug))
        return SubmissionLimits(said.num_today, said.num_total, said.num_allowed_now, said.limited_by_total)

    def submissions(self, slug: str) -> tuple[SubmissionRecord, ...]:
        """Every submission to a competition, newest first."""
        pages = self._pages(slug, "ApiListSubmissionsRequest", "list_submissions")
        return tuple(submission_record(item) for page in pages for item in page.submissions)

    def submission(self, slug: str, ref: int) -> SubmissionRecord:
        """One submission by its number."""
        request = _message("ApiGetSubmissionRequest", ref=ref)
        return submission_record(self._ask(slug, lambda: self._competitions().get_submission(request)))

    def leaderboard_archive(self, slug: str) -> bytes:
        """The whole leaderboard as the server gives it to download: a zip with one CSV; see `standing`."""
        request = _message("ApiDownloadLeaderboardRequest", competition_name=slug)
        content: bytes = self._ask(slug, lambda: self._competitions().download_leaderboard(request).content)
        return content

    def submit(self, slug: str, file: Path, description: str, before_entering: Callable[[], None] | None = None) -> int:
        """Upload a file and create a submission from it.

        The upload is retried; entering it as a submission never is, since a lost reply may have spent the slot.

        Args:
            slug: the competition.
            file: the submission file.
            description: the message shown beside it.
            before_entering: called when the file has arrived and nothing is spent yet; an error of it stops all.

        Returns:
            The submission's number; 0 when the server does not say.

        Raises:
            UploadFailed: the file did not arrive, so no submission was made.
            ConnectionFailed: it is not known whether a submission was made.
            AllowanceUsedUp, RulesNotAccepted, KaggleError: the server refused.
        """
        api, entering = self._api(), False

        def upload(path: str, url: str, quiet: bool = True, resume: bool = False) -> int:
            nonlocal entering
            del quiet, resume
            status = self._upload(Path(path), url)
            if before_entering:
                before_entering()
            entering = True
            return status

        def submit() -> Any:
            try:
                return api.competition_submit(str(file), description, slug, quiet=True)
            except Exception as error:
                if entering:  # from here on nothing may be tried again
                    raise as_error(error, self._asked(slug)) from None
                raise

        api.upload_complete = upload
        try:
            said = self._ask(slug, submit)
        except ConnectionFailed as error:
            if entering:
                raise
            raise UploadFailed(f"{error.message}; no submission was made", hint=error.hint) from None
        if said.message == api.COMPETITION_SUBMIT_UPLOAD_FAILED_MESSAGE:
            raise UploadFailed(f"{file.name} did not arrive; no submission was made", hint="run the same command again")
        return int(said.ref or 0)

    def _said(self, slug: str, request_type: str, method: str, **fields: Any) -> Any:
        request = _message(request_type, competition_name=slug, **fields)
        return self._ask(slug, lambda: getattr(self._competitions(), method)(request))

    def _if_allowed(self, slug: str, request_type: str, method: str, **fields: Any) -> Any:
        """An answer that we can do without; None when the server does not give it."""
        try:
            return self._said(slug, request_type, method, **fields)
        except KaggleError:
            return None

    def _asked(self, slug: str) -> Asked:
        return Asked(slug, self.endpoint, self._credentials)

    def _ask(self, slug: str, call: Callable[[], T], tries: int = _TRIES) -> T:
        return self.ask(self._asked(slug), call, tries)

    def ask(self, asked: Asked, call: Callable[[], T], tries: int = _TRIES) -> T:
        """Call the official client; a read is repeated when the connection fails or the server asks to wait.

        Args:
            asked: what it is about, for messages.
            call: makes the call.
            tries: how often; 1 for what must not be done twice.

        Raises:
            KagglerunError: whatever went wrong.
        """
        for attempt in range(1, tries + 1):
            try:
                return call()
            except KagglerunError:
                raise
            except Exception as error:
                failure = as_error(error, asked)
                wait = seconds_before_retry(error, attempt)
                if attempt == tries or wait is None or not isinstance(failure, ConnectionFailed | RateLimited):
                    raise failure from None
                time.sleep(wait)
        raise AssertionError("the last try returns or raises")

    def _remote(self, slug: str, call: Callable[[], requests.Response], name: str) -> Remote:
        return Remote(self._http(), call, lambda part: self._ask(slug, part), self._asked(slug), name)

    def _pages(self, slug: str, request_type: str, method: str) -> Iterator[Any]:
        token = ""
        for _ in range(_MOST_PAGES):
            request = _message(request_type, competition_name=slug, page_size=_PAGE_SIZE, page_token=token or None)
            page = self._ask(slug, lambda request=request: getattr(self._competitions(), method)(request))  # type: ignore[misc]
            yield page
            if not page.next_page_token or page.next_page_token == token:
                return
            token = page.next_page_token

    def _competitions(self) -> Any:
        return self.official().competitions.competition_api_client

    def _api(self) -> Any:
        """The official high-level client, speaking through our session."""
        api = _official_api_class()()
        api.build_kaggle_client = self.official
        return api

    @property
    def credentials(self) -> Credentials | None:
        """What is sent along; None until the first call where the user's are looked for."""
        return self._credentials

    def anonymous(self) -> Session:
        """A session for signed addresses: no credentials go with it."""
        return Session(Credentials("none"), local=self.endpoint is not None)

    def official(self) -> Any:
        """The official low-level client, with our session and address instead of its own."""
        if self._sdk is None:
            session = self._http()
            self._sdk = _low_level_client(self.endpoint)
            self._sdk.http_client()._session = session
        return self._sdk

    def _http(self) -> Session:
        if self._session is None:
            if self._credentials is None:
                self._credentials = find_credentials()
            if self._credentials.login_file is not None:
                self._credentials = _token_of_login(self._credentials)
            self._session = Session(self._credentials, local=self.endpoint is not None)
        return self._session

    def _upload(self, file: Path, url: str) -> int:
        """Take the place of the official upload. The address is signed, so no credentials go with it."""
        return upload_file(self.anonymous(), file, url)


def _message(name: str, **fields: Any) -> Any:
    """A request of the official API; fields that are None keep its default."""
    from kagglesdk.competitions.types import competition_api_service

    request = getattr(competition_api_service, name)()
    for field, value in fields.items():
        if value is not None:
            setattr(request, field, value)
    return request


def _low_level_client(endpoint: str | None) -> Any:
    from kagglesdk.kaggle_client import KaggleClient as Official
    from kagglesdk.kaggle_env import KaggleEnv

    client = Official(env=KaggleEnv.LOCAL if endpoint else KaggleEnv.PROD)
    if endpoint:
        client.http_client()._endpoint = endpoint
    return client


def _official_api_class() -> Any:
    """The official high-level client's class, imported so that nothing happens on import.

    It is dropped from `sys.modules` again: code of the user's that imports kaggle gets its own, signed in.
    """
    with _import_lock:
        if "kaggle" in sys.modules:
            return sys.modules["kaggle"].KaggleApi
        if "api" not in _imported:
            with nothing_to_sign_in_with():
                from kaggle.api.kaggle_api_extended import KaggleApi
            for name in [name for name in sys.modules if name == "kaggle" or name.startswith("kaggle.")]:
                del sys.modules[name]
            _imported["api"] = KaggleApi
        return _imported["api"]


_imported: dict[str, Any] = {}


def _token_of_login(credentials: Credentials) -> Credentials:
    """Trade the login kept by `kaggle auth login` for an access token; it is renewed when it is old."""
    from kagglesdk.kaggle_creds import KaggleCredentials

    plain = _low_level_client(None)
    plain.http_client()._session = Session(Credentials("none"), local=False)
    try:
        kept = KaggleCredentials.load(client=plain, file_path=str(credentials.login_file))
        token = kept.get_access_token() if kept else None
    except (requests.RequestException, ValueError, TypeError) as error:
        raise as_error(error, Asked("the login", None, credentials)) from None
    if not token:
        raise CredentialsMissing(f"the login in {credentials.origin} has no token", hint="kaggle auth login")
    return Credentials(credentials.origin, token=token)

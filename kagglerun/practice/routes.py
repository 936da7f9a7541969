"""The JSON calls of Kaggle's API, as kagglesdk makes them: POST /api/v1/<service>/<method>.

Shapes and messages are Kaggle's own, so that the official client cannot tell the difference.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from kagglerun.errors import CompetitionNotFound
from kagglerun.practice import leaderboard as places
from kagglerun.practice import wire
from kagglerun.practice.answers import competition_answer, in_order, page_of, submission_answer
from kagglerun.practice.competitions import Hosted
from kagglerun.practice.host import USER, Host
from kagglerun.practice.pages import pages_of
from kagglerun.practice.state import Status, Upload
from kagglerun.practice.storage import bundle_address, file_address, submission_address, upload_address
from kagglerun.practice.submission_faults import before_entering, hollow_ref, is_known, known_submissions
from kagglerun.practice.wire import ApiError

_MAX_UPLOAD_BYTES = 1 << 31


def host_of(request: Request) -> Host:
    """The server's parts, from the application that got the request."""
    host: Host = request.app.state.host
    return host


HostOf = Annotated[Host, Depends(host_of)]


def with_key(request: Request, host: HostOf) -> Host:
    """Let only requests with the server's key through, as basic credentials or bearer token."""
    if not hmac.compare_digest(_given_key(request.headers.get("Authorization", "")), host.key):
        raise ApiError(401, "Unauthenticated")
    return host


def authenticated(host: Annotated[Host, Depends(with_key)]) -> None:
    """Count a call with the server's key; see `with_key`."""
    host.rate_limit.check()


router = APIRouter(dependencies=[Depends(authenticated)])
open_router = APIRouter()
"""Calls that need no credentials."""

_COMPETITIONS = "/competitions.CompetitionApiService"


def _given_key(authorization: str) -> str:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        user, _, key = base64.b64decode(value).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        return ""
    return key if user == USER else ""


@open_router.post("/security.OAuthService/IntrospectToken")
def introspect_token(message: wire.IntrospectTokenRequest, host: HostOf) -> wire.IntrospectTokenResponse:
    """Whose token it is; the official client asks before it uses an access token."""
    known = hmac.compare_digest(message.token, host.key)
    return wire.IntrospectTokenResponse(active=known, username=USER if known else "")


@router.post(_COMPETITIONS + "/ListCompetitions")
def list_competitions(message: wire.ListCompetitionsRequest, host: HostOf) -> wire.ListCompetitionsResponse:
    """All competitions, or those with the searched text in slug or title."""
    hosted = [host.catalogue.get(slug) for slug in host.catalogue.slugs()]
    searched = (message.search or "").casefold()
    found = [one for one in hosted if searched in f"{one.definition.slug} {one.definition.title}".casefold()]
    if message.group == "COMPETITION_LIST_TAB_ENTERED":
        found = [one for one in found if host.entered(one)]
    page, token = page_of(found, message)
    return wire.ListCompetitionsResponse(
        competitions=tuple(competition_answer(host, one) for one in page), next_page_token=token
    )


@router.post(_COMPETITIONS + "/GetCompetition")
def get_competition(message: wire.CompetitionRequest, host: HostOf) -> wire.Competition:
    """One competition."""
    return competition_answer(host, _hosted(host, message.competition_name))


@router.post(_COMPETITIONS + "/ListCompetitionPages")
def list_competition_pages(message: wire.ListPagesRequest, host: HostOf) -> wire.ListPagesResponse:
    """The competition's pages: description, evaluation, rules, data."""
    pages = pages_of(_hosted(host, message.competition_name))
    return wire.ListPagesResponse(
        pages=tuple(page for page in pages if message.page_name in (None, "", page.name)),
    )


@router.post(_COMPETITIONS + "/ListDataFiles")
def list_data_files(message: wire.CompetitionPageRequest, host: HostOf) -> wire.ListDataFilesResponse:
    """One page of the competition's files."""
    hosted = _hosted(host, message.competition_name)
    page, token = page_of(hosted.files(), message)
    files = tuple(
        wire.DataFile(
            ref=file.name,
            name=file.name,
            total_bytes=file.bytes,
            url=f"https://www.kaggle.com/competitions/{hosted.definition.slug}/data?select={file.name}",
            creation_date=hosted.definition.created,
        )
        for file in page
    )
    return wire.ListDataFilesResponse(files=files, next_page_token=token)


@router.post(_COMPETITIONS + "/DownloadDataFiles")
def download_data_files(message: wire.CompetitionRequest, host: HostOf, request: Request) -> RedirectResponse:
    """Send the client to the bundle's address."""
    hosted = opened(host, message.competition_name)
    return RedirectResponse(absolute(request, bundle_address(host, hosted.definition.slug)), 302)


@router.post(_COMPETITIONS + "/DownloadDataFile")
def download_data_file(message: wire.DownloadDataFileRequest, host: HostOf, request: Request) -> RedirectResponse:
    """Send the client to a single file's address."""
    hosted = opened(host, message.competition_name)
    if message.file_name not in {file.name for file in hosted.files()}:
        raise ApiError(404, f"File {message.file_name!r} was not found in {message.competition_name}")
    return RedirectResponse(absolute(request, file_address(host, hosted.definition.slug, message.file_name)), 302)


@router.post(_COMPETITIONS + "/StartSubmissionUpload")
def start_submission_upload(
    message: wire.StartUploadRequest, host: HostOf, request: Request
) -> wire.StartUploadResponse:
    """Announce a submission file; answers with the address to send it to."""
    hosted = _takes_files(opened(host, message.competition_name or "", "make submissions"))
    if not 0 <= message.content_length <= _MAX_UPLOAD_BYTES:
        raise ApiError(400, f"Content length {message.content_length} is not between 0 and {_MAX_UPLOAD_BYTES}")
    upload = Upload(
        token=secrets.token_urlsafe(24),
        slug=hosted.definition.slug,
        file_name=message.file_name or "submission.csv",
        bytes=message.content_length,
    )
    host.store.add_upload(upload, host.clock())
    return wire.StartUploadResponse(token=upload.token, create_url=absolute(request, upload_address(upload.token)))


@router.post(_COMPETITIONS + "/CreateSubmission")
def create_submission(message: wire.CreateSubmissionRequest, host: HostOf) -> wire.CreateSubmissionResponse:
    """Enter an uploaded file as a submission, and score it in the background."""
    hosted = _takes_files(opened(host, message.competition_name, "make submissions"))
    definition = hosted.definition
    upload = host.store.upload(message.blob_file_tokens)
    if upload is None or upload.slug != definition.slug:
        raise ApiError(400, "Submission not allowed: The uploaded file was not found")
    if host.store.submission_of_token(upload.token) is not None:
        raise ApiError(400, "Submission not allowed: The uploaded file was submitted already")
    arrived = host.paths.upload(upload.token)
    if not arrived.is_file() or arrived.stat().st_size != upload.bytes:
        raise ApiError(400, "Submission not allowed: The upload is not complete")
    now = host.clock()
    before_entering(host, definition, now)
    done = f"Successfully submitted to {definition.title}"
    if (told := hollow_ref(host)) is not None:
        return wire.CreateSubmissionResponse(message=done, ref=told)
    submission = host.store.add_submission(
        upload, message.submission_description or "", now, definition.max_daily_submissions
    )
    if submission is None:
        raise ApiError(400, allowance_used_up(definition.max_daily_submissions, now))
    host.scorer.add(submission)
    return wire.CreateSubmissionResponse(message=done, ref=submission.ref)


@router.post(_COMPETITIONS + "/GetSubmission")
def get_submission(message: wire.GetSubmissionRequest, host: HostOf) -> wire.Submission:
    """One submission."""
    submission = host.store.submission(message.ref)
    if submission is None or not is_known(host, submission):
        raise ApiError(404, f"Submission {message.ref} was not found")
    return submission_answer(submission)


@router.post(_COMPETITIONS + "/ListSubmissions")
def list_submissions(message: wire.ListSubmissionsRequest, host: HostOf) -> wire.ListSubmissionsResponse:
    """One page of the submissions to a competition."""
    hosted = _hosted(host, message.competition_name)
    known = known_submissions(host, hosted.definition.slug, "ListSubmissions")
    found = in_order(known, message.sort_by, hosted)
    if message.group == "SUBMISSION_GROUP_SUCCESSFUL":
        found = [submission for submission in found if submission.status is Status.COMPLETE]
    page, token = page_of(found, message)
    return wire.ListSubmissionsResponse(submissions=tuple(map(submission_answer, page)), next_page_token=token)


@router.post(_COMPETITIONS + "/DownloadSubmission")
def download_submission(message: wire.DownloadSubmissionRequest, host: HostOf, request: Request) -> RedirectResponse:
    """Send the client to the address of the file that was submitted."""
    submission = host.store.submission(message.submission_id)
    if submission is None:
        raise ApiError(404, f"Submission {message.submission_id} was not found")
    return RedirectResponse(absolute(request, submission_address(host, submission)), 302)


@router.post(_COMPETITIONS + "/GetSubmissionLimits")
def get_submission_limits(message: wire.CompetitionRequest, host: HostOf) -> wire.SubmissionLimits:
    """What is left of the day's allowance."""
    definition = _hosted(host, message.competition_name).definition
    known = known_submissions(host, definition.slug, "GetSubmissionLimits")
    unknown = len(host.store.submissions(definition.slug)) - len(known)
    today = host.store.used_today(definition.slug, host.clock()) - unknown
    return wire.SubmissionLimits(
        num_today=today,
        num_total=len(known),
        num_allowed_now=max(0, definition.max_daily_submissions - today),
    )


@router.post(_COMPETITIONS + "/GetLeaderboard")
def get_leaderboard(message: wire.LeaderboardRequest, host: HostOf) -> wire.LeaderboardResponse:
    """One page of the final leaderboard, or of the public one."""
    hosted = _hosted(host, message.competition_name)
    ours = host.store.submissions(hosted.definition.slug)
    page, token = page_of(places.leaderboard(hosted, ours, bool(message.override_public)), message)
    entries = tuple(
        wire.LeaderboardEntry(
            team_id=place.team_id, team_name=place.team, submission_date=place.time, score=places.shown(place.score)
        )
        for place in page
    )
    return wire.LeaderboardResponse(submissions=entries, next_page_token=token)


@router.post(_COMPETITIONS + "/DownloadLeaderboard")
def download_leaderboard(message: wire.CompetitionRequest, host: HostOf) -> Response:
    """The whole public leaderboard as a zip; the final one where only that is known of other teams."""
    hosted = _hosted(host, message.competition_name)
    ours, public = host.store.submissions(hosted.definition.slug), places.is_downloaded_public(hosted)
    content = places.leaderboard_zip(hosted.definition.slug, places.leaderboard(hosted, ours, public), public)
    return Response(content, media_type="application/zip")


def _hosted(host: Host, slug: str) -> Hosted:
    try:
        return host.catalogue.get(slug)
    except CompetitionNotFound as error:
        raise ApiError(404, "Not found") from error


def opened(host: Host, slug: str, what: str = "download files") -> Hosted:
    """The competition, when its rules are accepted."""
    hosted = _hosted(host, slug)
    if not host.entered(hosted):
        raise ApiError(403, f"You must accept this competition's rules before you'll be able to {what}.")
    return hosted


def _takes_files(hosted: Hosted) -> Hosted:
    if hosted.definition.notebooks_only:
        raise ApiError(400, "Submission not allowed: This competition only accepts Submissions from Notebooks.")
    return hosted


def allowance_used_up(daily: int, now: datetime) -> str:
    """What Kaggle says when the day's submissions are used up."""
    utc = now.astimezone(UTC)
    midnight = utc.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    hours = (midnight - utc).total_seconds() / 3600
    wait = f"{hours:.0f}" if hours >= 10 else f"{hours:.1f}"
    return (
        f"Submission not allowed: Your team has used its daily Submission allowance ({daily}) today, "
        f"please try again tomorrow UTC ({wait} hours from now)."
    )


def absolute(request: Request, address: str) -> str:
    """An address on the host that the client spoke to, which may be a proxy's view of this server."""
    return str(request.base_url).rstrip("/") + address

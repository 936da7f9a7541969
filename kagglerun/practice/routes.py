"""The JSON calls of Kaggle's API, as kagglesdk makes them: POST /api/v1/<service>/<method>.

Shapes and messages are Kaggle's own, so that the official client cannot tell the difference.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from kagglerun.errors import CompetitionNotFound
from kagglerun.practice import leaderboard as places
from kagglerun.practice import wire
from kagglerun.practice.competitions import DEADLINE, Hosted
from kagglerun.practice.host import USER, Host
from kagglerun.practice.pages import pages_of
from kagglerun.practice.state import Status, Submission, Upload
from kagglerun.practice.storage import bundle_address, file_address, submission_address, upload_address
from kagglerun.practice.wire import ApiError

T = TypeVar("T")

_PAGE_SIZE, _LARGEST_PAGE = 20, 200
_MAX_UPLOAD_BYTES = 1 << 31


def host_of(request: Request) -> Host:
    """The server's parts, from the application that got the request."""
    host: Host = request.app.state.host
    return host


HostOf = Annotated[Host, Depends(host_of)]


def authenticated(request: Request, host: HostOf) -> None:
    """Let only requests with the server's key through, as basic credentials or bearer token."""
    if not hmac.compare_digest(_given_key(request.headers.get("Authorization", "")), host.key):
        raise ApiError(401, "Unauthenticated")
    host.rate_limit.check()


router = APIRouter(dependencies=[Depends(authenticated)])
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


@router.post("/security.OAuthService/IntrospectToken")
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
    page, token = _page(found, message)
    return wire.ListCompetitionsResponse(
        competitions=tuple(_competition(host, one) for one in page), next_page_token=token
    )


@router.post(_COMPETITIONS + "/GetCompetition")
def get_competition(message: wire.CompetitionRequest, host: HostOf) -> wire.Competition:
    """One competition."""
    return _competition(host, _hosted(host, message.competition_name))


@router.post(_COMPETITIONS + "/ListCompetitionPages")
def list_competition_pages(message: wire.ListPagesRequest, host: HostOf) -> wire.ListPagesResponse:
    """The competition's pages: description, evaluation, rules, data."""
    pages = pages_of(_hosted(host, message.competition_name).definition)
    return wire.ListPagesResponse(
        pages=tuple(page for page in pages if message.page_name in (None, "", page.name)),
    )


@router.post(_COMPETITIONS + "/ListDataFiles")
def list_data_files(message: wire.CompetitionPageRequest, host: HostOf) -> wire.ListDataFilesResponse:
    """One page of the competition's files."""
    hosted = _hosted(host, message.competition_name)
    page, token = _page(hosted.files(), message)
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
    hosted = _open(host, message.competition_name)
    return RedirectResponse(_absolute(request, bundle_address(host, hosted.definition.slug)), 302)


@router.post(_COMPETITIONS + "/DownloadDataFile")
def download_data_file(message: wire.DownloadDataFileRequest, host: HostOf, request: Request) -> RedirectResponse:
    """Send the client to a single file's address."""
    hosted = _open(host, message.competition_name)
    if message.file_name not in {file.name for file in hosted.files()}:
        raise ApiError(404, f"File {message.file_name!r} was not found in {message.competition_name}")
    return RedirectResponse(_absolute(request, file_address(host, hosted.definition.slug, message.file_name)), 302)


@router.post(_COMPETITIONS + "/StartSubmissionUpload")
def start_submission_upload(
    message: wire.StartUploadRequest, host: HostOf, request: Request
) -> wire.StartUploadResponse:
    """Announce a submission file; answers with the address to send it to."""
    hosted = _open(host, message.competition_name or "", "make submissions")
    if not 0 <= message.content_length <= _MAX_UPLOAD_BYTES:
        raise ApiError(400, f"Content length {message.content_length} is not between 0 and {_MAX_UPLOAD_BYTES}")
    upload = Upload(
        token=secrets.token_urlsafe(24),
        slug=hosted.definition.slug,
        file_name=message.file_name or "submission.csv",
        bytes=message.content_length,
    )
    host.store.add_upload(upload, host.clock())
    return wire.StartUploadResponse(token=upload.token, create_url=_absolute(request, upload_address(upload.token)))


@router.post(_COMPETITIONS + "/CreateSubmission")
def create_submission(message: wire.CreateSubmissionRequest, host: HostOf) -> wire.CreateSubmissionResponse:
    """Enter an uploaded file as a submission, and score it in the background."""
    hosted = _open(host, message.competition_name, "make submissions")
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
    submission = host.store.add_submission(
        upload, message.submission_description or "", now, definition.max_daily_submissions
    )
    if submission is None:
        raise ApiError(400, _allowance_used_up(definition.max_daily_submissions, now))
    target = host.paths.submission(submission.ref)
    target.parent.mkdir(parents=True, exist_ok=True)
    arrived.replace(target)
    host.scorer.add(submission)
    return wire.CreateSubmissionResponse(message=f"Successfully submitted to {definition.title}", ref=submission.ref)


@router.post(_COMPETITIONS + "/GetSubmission")
def get_submission(message: wire.GetSubmissionRequest, host: HostOf) -> wire.Submission:
    """One submission."""
    submission = host.store.submission(message.ref)
    if submission is None:
        raise ApiError(404, f"Submission {message.ref} was not found")
    return _submission(submission)


@router.post(_COMPETITIONS + "/ListSubmissions")
def list_submissions(message: wire.ListSubmissionsRequest, host: HostOf) -> wire.ListSubmissionsResponse:
    """One page of the submissions to a competition."""
    hosted = _hosted(host, message.competition_name)
    found = _sorted(host.store.submissions(hosted.definition.slug), message.sort_by, hosted)
    if message.group == "SUBMISSION_GROUP_SUCCESSFUL":
        found = [submission for submission in found if submission.status is Status.COMPLETE]
    page, token = _page(found, message)
    return wire.ListSubmissionsResponse(submissions=tuple(map(_submission, page)), next_page_token=token)


@router.post(_COMPETITIONS + "/DownloadSubmission")
def download_submission(message: wire.DownloadSubmissionRequest, host: HostOf, request: Request) -> RedirectResponse:
    """Send the client to the address of the file that was submitted."""
    submission = host.store.submission(message.submission_id)
    if submission is None:
        raise ApiError(404, f"Submission {message.submission_id} was not found")
    return RedirectResponse(_absolute(request, submission_address(host, submission)), 302)


@router.post(_COMPETITIONS + "/GetSubmissionLimits")
def get_submission_limits(message: wire.CompetitionRequest, host: HostOf) -> wire.SubmissionLimits:
    """What is left of the day's allowance."""
    definition = _hosted(host, message.competition_name).definition
    today = host.store.used_today(definition.slug, host.clock())
    return wire.SubmissionLimits(
        num_today=today,
        num_total=len(host.store.submissions(definition.slug)),
        num_allowed_now=max(0, definition.max_daily_submissions - today),
    )


@router.post(_COMPETITIONS + "/GetLeaderboard")
def get_leaderboard(message: wire.LeaderboardRequest, host: HostOf) -> wire.LeaderboardResponse:
    """One page of the final leaderboard, or of the public one."""
    hosted = _hosted(host, message.competition_name)
    ours = host.store.submissions(hosted.definition.slug)
    page, token = _page(places.leaderboard(hosted, ours, bool(message.override_public)), message)
    entries = tuple(
        wire.LeaderboardEntry(
            team_id=place.team_id, team_name=place.team, submission_date=place.time, score=places.shown(place.score)
        )
        for place in page
    )
    return wire.LeaderboardResponse(submissions=entries, next_page_token=token)


@router.post(_COMPETITIONS + "/DownloadLeaderboard")
def download_leaderboard(message: wire.CompetitionRequest, host: HostOf) -> Response:
    """The whole final leaderboard as a zip."""
    hosted = _hosted(host, message.competition_name)
    ours = host.store.submissions(hosted.definition.slug)
    content = places.leaderboard_zip(hosted.definition.slug, places.leaderboard(hosted, ours))
    return Response(content, media_type="application/zip")


def _hosted(host: Host, slug: str) -> Hosted:
    try:
        return host.catalogue.get(slug)
    except CompetitionNotFound as error:
        raise ApiError(404, "Not found") from error


def _open(host: Host, slug: str, what: str = "download files") -> Hosted:
    """The competition, when its rules are accepted."""
    hosted = _hosted(host, slug)
    if not host.entered(hosted):
        raise ApiError(403, f"You must accept this competition's rules before you'll be able to {what}.")
    return hosted


def _allowance_used_up(daily: int, now: datetime) -> str:
    utc = now.astimezone(UTC)
    midnight = utc.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    hours = (midnight - utc).total_seconds() / 3600
    wait = f"{hours:.0f}" if hours >= 10 else f"{hours:.1f}"
    return (
        f"Submission not allowed: Your team has used its daily Submission allowance ({daily}) today, "
        f"please try again tomorrow UTC ({wait} hours from now)."
    )


def _page(items: Sequence[T], message: wire.PagedRequest) -> tuple[Sequence[T], str]:
    """The asked-for page of a list, and the token of the next one ("" on the last)."""
    size = min(message.page_size or _PAGE_SIZE, _LARGEST_PAGE)
    if size < 1:
        raise ApiError(400, f"Page size {message.page_size} is not positive")
    start = (max(message.page or 1, 1) - 1) * size
    if message.page_token:
        if not message.page_token.isdecimal():
            raise ApiError(400, "Invalid page token")
        start = int(message.page_token)
    end = start + size
    return items[start:end], str(end) if end < len(items) else ""


def _competition(host: Host, hosted: Hosted) -> wire.Competition:
    definition = hosted.definition
    board = places.leaderboard(hosted, host.store.submissions(definition.slug))
    return wire.Competition(
        id=zlib.crc32(definition.slug.encode()) & 0x7FFFFFFF,
        ref=f"https://www.kaggle.com/competitions/{definition.slug}",
        title=definition.title,
        url=f"https://www.kaggle.com/competitions/{definition.slug}",
        description=definition.description,
        deadline=DEADLINE,
        team_count=len(board),
        user_has_entered=host.entered(hosted),
        user_rank=places.our_rank(board),
        enabled_date=definition.created,
        date_created=definition.created,
        max_daily_submissions=definition.max_daily_submissions,
        evaluation_metric=definition.evaluation_metric,
    )


def _submission(submission: Submission) -> wire.Submission:
    def score(value: float | None) -> str | None:
        return None if value is None else places.shown(value)

    return wire.Submission(
        ref=submission.ref,
        total_bytes=submission.bytes,
        date=submission.time,
        description=submission.description,
        error_description=submission.error,
        file_name=submission.file_name,
        public_score=score(submission.public_score),
        private_score=score(submission.private_score),
        status=submission.status.value,
        submitted_by=USER,
        submitted_by_ref=USER,
        team_name=places.TEAM,
        url=f"https://www.kaggle.com/submissions/{submission.ref}/{submission.ref}.raw",
    )


def _sorted(submissions: list[Submission], order: str, hosted: Hosted) -> list[Submission]:
    """Submissions by date (latest first), by name, or by a score (best first, unscored last)."""
    if order == "SUBMISSION_SORT_BY_NAME":
        return sorted(submissions, key=lambda submission: submission.file_name)
    if order not in ("SUBMISSION_SORT_BY_PUBLIC_SCORE", "SUBMISSION_SORT_BY_PRIVATE_SCORE"):
        return submissions
    sign = -1.0 if hosted.definition.greater_is_better else 1.0

    def key(submission: Submission) -> tuple[bool, float]:
        public = order == "SUBMISSION_SORT_BY_PUBLIC_SCORE"
        score = submission.public_score if public else submission.private_score
        return score is None, sign * (score or 0.0)

    return sorted(submissions, key=key)


def _absolute(request: Request, address: str) -> str:
    """An address on the host that the client spoke to, which may be a proxy's view of this server."""
    return str(request.base_url).rstrip("/") + address

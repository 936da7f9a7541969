"""The JSON of Kaggle's API: field names in camelCase, enums by name, times in UTC, absent fields left out.

The field names are those of kagglesdk's `competition_api_service` types, which the official client reads.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, PlainSerializer, SerializerFunctionWrapHandler, model_serializer
from pydantic.alias_generators import to_camel


def _timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


Moment = Annotated[datetime, PlainSerializer(_timestamp, return_type=str)]
"""A time, written as `2026-01-31T12:00:00.000Z`."""


class Message(BaseModel):
    """Base of requests and responses. Unknown fields are ignored, as Kaggle ignores them."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    @model_serializer(mode="wrap")
    def _without_absent(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in serialize(self).items() if value is not None}


class ApiError(Exception):
    """An answer other than success, in Kaggle's shape: `{"code": 403, "message": "..."}`.

    Args:
        code: HTTP status.
        message: what Kaggle says.
        headers: further headers, e.g. Retry-After.
    """

    def __init__(self, code: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.headers = headers


class PagedRequest(Message):
    """A request for one page of a list."""

    page: int | None = None
    page_token: str | None = None
    page_size: int | None = None


class ListCompetitionsRequest(PagedRequest):
    """Which competitions to list."""

    group: str | None = None
    search: str | None = None


class CompetitionRequest(Message):
    """A request that names a competition only."""

    competition_name: str = ""


class CompetitionPageRequest(CompetitionRequest, PagedRequest):
    """A request for one page of a competition's list."""


class ListSubmissionsRequest(CompetitionPageRequest):
    """Which submissions to list, and in which order."""

    sort_by: str = "SUBMISSION_SORT_BY_DATE"
    group: str = "SUBMISSION_GROUP_ALL"


class LeaderboardRequest(CompetitionPageRequest):
    """Which leaderboard: the final one, or the public one."""

    override_public: bool | None = None


class DownloadDataFileRequest(CompetitionRequest):
    """A single file of a competition."""

    file_name: str = ""


class ListPagesRequest(CompetitionRequest):
    """The competition's pages, or the one named."""

    page_name: str | None = None


class StartUploadRequest(Message):
    """Announces a submission file."""

    competition_name: str | None = None
    content_length: int = 0
    last_modified_epoch_seconds: int = 0
    file_name: str = ""


class CreateSubmissionRequest(CompetitionRequest):
    """Enters an uploaded file as a submission."""

    blob_file_tokens: str = ""
    submission_description: str | None = None


class GetSubmissionRequest(Message):
    """One submission by its number."""

    ref: int = 0


class DownloadSubmissionRequest(Message):
    """A submission's file."""

    submission_id: int = 0


class IntrospectTokenRequest(Message):
    """Asks whose token this is."""

    token: str = ""


class IntrospectTokenResponse(Message):
    """Whose token it is."""

    active: bool
    username: str = ""


class Competition(Message):
    """A competition as Kaggle describes it."""

    id: int
    ref: str
    title: str
    url: str
    description: str
    organization_name: str = "kagglerun"
    organization_ref: str = "kagglerun"
    category: str = "Playground"
    reward: str = "Knowledge"
    tags: tuple[str, ...] = ()
    deadline: Moment
    kernel_count: int = 0
    team_count: int
    user_has_entered: bool
    user_rank: int | None = None
    enabled_date: Moment
    max_daily_submissions: int
    max_team_size: int = 1
    evaluation_metric: str
    awards_points: bool = False
    is_kernels_submissions_only: bool = False
    submissions_disabled: bool = False
    host_name: str = "practice"
    date_created: Moment


class ListCompetitionsResponse(Message):
    """One page of competitions."""

    competitions: tuple[Competition, ...]
    next_page_token: str = ""


class DataFile(Message):
    """A file of a competition."""

    ref: str
    name: str
    description: str = ""
    total_bytes: int
    url: str
    creation_date: Moment


class ListDataFilesResponse(Message):
    """One page of files."""

    files: tuple[DataFile, ...]
    next_page_token: str = ""


class StartUploadResponse(Message):
    """Where to send the file, and the token that stands for it."""

    token: str
    create_url: str


class CreateSubmissionResponse(Message):
    """The number of the new submission."""

    message: str
    ref: int


class Submission(Message):
    """A submission and its scores."""

    ref: int
    total_bytes: int
    date: Moment
    description: str
    error_description: str | None = None
    file_name: str
    public_score: str | None = None
    private_score: str | None = None
    status: str
    submitted_by: str
    submitted_by_ref: str
    team_name: str
    url: str


class ListSubmissionsResponse(Message):
    """One page of submissions."""

    submissions: tuple[Submission, ...]
    next_page_token: str = ""


class SubmissionLimits(Message):
    """What is left of the allowance."""

    num_today: int
    num_total: int
    num_allowed_now: int
    limited_by_total: bool = False


class LeaderboardEntry(Message):
    """A team's place."""

    team_id: int
    team_name: str
    submission_date: Moment
    score: str


class LeaderboardResponse(Message):
    """One page of the leaderboard."""

    submissions: tuple[LeaderboardEntry, ...]
    next_page_token: str = ""


class Page(Message):
    """A page of a competition, as Markdown."""

    name: str
    content: str
    is_published: bool = True
    mime_type: str = "text/markdown"


class ListPagesResponse(Message):
    """A competition's pages."""

    pages: tuple[Page, ...]
